"""The fault suite: the real stack, broken on purpose, row by row."""
