"""Alerts: rules are evaluated, what they find becomes incidents, and notices of these go out through apprise."""
