"""Revisions of the collector's schema, oldest first."""

SCHEMA = "collector"
