"""The fluxline command: the local stack, and a client of the gateway."""
