"""Stand-in for Together: images from base FLUX models."""
