"""The whole stack, from outside."""
