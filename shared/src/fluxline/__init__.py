"""fluxline: what its services say to each other (contracts) and how they say it (runtime)."""
