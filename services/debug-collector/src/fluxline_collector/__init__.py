"""Every event stored, with its error category and timing."""
