"""Webhooks: Replicate's, and ours to whoever asked for them."""
