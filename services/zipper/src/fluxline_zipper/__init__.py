"""Photos to one verified, captioned archive."""
