"""The generator's schema."""

SCHEMA = "generator"
AFTER_RESTORE = (
    """
    UPDATE generations
    SET state = 'submitting', submissions = submissions + 1, submit_at = updated_at, updated_at = now()
    WHERE state = 'requested' AND provider = 'replicate' AND NOT failed AND NOT cancel_requested
    """,
)
"""What a database is told that was restored from a copy: what waited then may have been asked for since the row was
written, and is looked for first, at the provider that has a list to look at.
"""
