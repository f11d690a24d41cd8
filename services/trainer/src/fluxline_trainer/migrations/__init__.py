"""Revisions of the trainer's schema, oldest first."""

SCHEMA = "trainer"
AFTER_RESTORE = (
    """
    UPDATE jobs SET state = CASE WHEN state = 'zip_ready' THEN 'submitting' ELSE state END, submit_at = now(),
        first_submit_at = coalesce(first_submit_at, updated_at),
        next_check_at = CASE WHEN state <> 'failed' THEN now() END, updated_at = now()
    WHERE destination IS NOT NULL AND provider_id IS NULL AND state IN ('zip_ready', 'submitting', 'failed')
    """,
)
"""What a database is told that was restored from a copy: what it believes not to be paid for may have been since the
row was written, and is looked for at the provider first. A job without a destination is recognised by it (`Submitter`).
"""
