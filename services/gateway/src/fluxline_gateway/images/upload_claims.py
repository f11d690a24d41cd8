"""One request at a time completes an upload, whichever gateway it came to: a claim in the upload's row.

No transaction is held meanwhile. Whoever holds a claim renews it; that of a gateway that died ends by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from fluxline.postgres.pool import Database, database_error
from fluxline.runtime.logs import get_logger

CLAIM: Final = timedelta(seconds=20)
WAIT_S: Final = 5.0
POLL_S: Final = 0.1

_CLAIM = """
UPDATE image_uploads SET claim = $2, claimed_until = now() + $3::interval
WHERE id = $1 AND (claim = $2 OR claimed_until IS NULL OR claimed_until < now()) RETURNING true
"""
_RELEASE = "UPDATE image_uploads SET claim = NULL, claimed_until = NULL WHERE id = $1 AND claim = $2"


log = get_logger(__name__)


class UploadClaimed(Exception):
    """Another request is completing the upload."""


@asynccontextmanager
async def claimed(database: Database, upload_id: UUID) -> AsyncIterator[None]:
    """Hold an upload; raises UploadClaimed when another request still has it after `WAIT_S`."""
    claim, clock = uuid4(), asyncio.get_running_loop().time
    deadline = clock() + WAIT_S
    while not await _claim(database, upload_id, claim):
        if clock() >= deadline:
            raise UploadClaimed
        await asyncio.sleep(POLL_S)
    renewing = asyncio.create_task(_renew(database, upload_id, claim))
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await database.pool.execute(_RELEASE, upload_id, claim)


async def _renew(database: Database, upload_id: UUID, claim: UUID) -> None:
    """For ever; a database that is away for a moment does not end the claim."""
    while True:
        await asyncio.sleep(CLAIM.total_seconds() / 4)
        try:
            await _claim(database, upload_id, claim)
        except Exception as error:
            if database_error(error) is None:
                raise
            log.warning("upload_claim.waiting", reason=type(error).__name__)


async def _claim(database: Database, upload_id: UUID, claim: UUID) -> bool:
    return await database.pool.fetchval(_CLAIM, upload_id, claim, CLAIM) is not None
