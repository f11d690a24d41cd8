"""Weights to a checked model on Hugging Face."""
