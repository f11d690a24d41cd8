"""Prompts to images with a trained LoRA."""
