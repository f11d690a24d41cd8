"""Rows of `trainings` that are changed: locked first, saved with what their state says."""

from uuid import UUID

import asyncpg

from fluxline.postgres.pool import Connection
from fluxline_gateway.errors import NotFound
from fluxline_gateway.trainings.state import TrainingState
from fluxline_gateway.webhooks.deliveries import tell_status

_LOCK = "SELECT * FROM trainings WHERE owner = $1 AND id = $2 AND (NOT deleting OR $3) FOR UPDATE"
_SAVE = """
UPDATE trainings SET state = $2, status = $3, waiting_reason = NULL, updated_at = clock_timestamp()
FROM (SELECT status FROM trainings WHERE id = $1) AS before
WHERE id = $1 RETURNING trainings.*, before.status AS status_before
"""


async def lock(
    connection: Connection, owner: str, training_id: UUID, *, even_deleting: bool = False
) -> tuple[asyncpg.Record, TrainingState]:
    """The owner's row and its state, unchanged until the transaction ends; raises `NotFound`."""
    row = await connection.fetchrow(_LOCK, owner, training_id, even_deleting)
    if row is None:
        raise NotFound("Training")
    return row, TrainingState.model_validate_json(row["state"])


async def save(connection: Connection, training_id: UUID, state: TrainingState) -> asyncpg.Record:
    """The row with its new state, which the running transaction has locked; what was said of its waiting is void.

    A new status is told to the webhook that the training was asked for with.
    """
    [row] = await connection.fetch(_SAVE, training_id, state.model_dump_json(), state.status)
    if row["status_before"] != state.status:
        await tell_status(connection, row, state)
    return row
