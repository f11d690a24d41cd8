"""Backup and restore of what a deployment keeps: the database, the streams with facts of their own, a list of files."""
