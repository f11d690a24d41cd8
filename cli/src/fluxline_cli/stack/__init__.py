"""The local stack: every server and service of fluxline as a process of its own on this machine."""
