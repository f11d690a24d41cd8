"""Revisions of the trainer's schema, oldest first."""

SCHEMA = "trainer"
