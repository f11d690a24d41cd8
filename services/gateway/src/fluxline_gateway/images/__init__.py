"""Photos: uploads, verdicts, review, contents."""
