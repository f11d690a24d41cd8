"""HTTP API and owner of training state."""
