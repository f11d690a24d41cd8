"""What the debug-collector knows, passed on."""
