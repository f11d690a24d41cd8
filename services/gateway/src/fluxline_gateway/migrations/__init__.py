"""The gateway's schema, revision by revision."""

SCHEMA = "gateway"
STORED_KEYS = "SELECT storage_key FROM images UNION SELECT weights_key FROM models"
"""The files that the tables count on."""
