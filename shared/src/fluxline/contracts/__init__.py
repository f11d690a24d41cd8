"""Facts that every service agrees on: events, catalog, errors, limits. Imports pydantic alone."""
