"""The generator's schema."""

SCHEMA = "generator"
