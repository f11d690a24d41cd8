"""Housekeeping: each hour, what nobody needs any more is dropped from the gateway's tables and from the storage.

The outbox is not for this: its relay purges it.
"""

import asyncio
from datetime import timedelta

from fluxline.postgres.pool import Database, database_error
from fluxline.runtime.logs import get_logger
from fluxline.storage import Storage, StorageError
from fluxline_gateway.identity import audit
from fluxline_gateway.images.upload_store import UploadStore, remove_abandoned
from fluxline_gateway.trainings import watches
from fluxline_gateway.webhooks import deliveries, endpoint_secrets

EVERY_S = 3600.0
KEEP_KEYS = timedelta(days=30)
"""How long a repeated request with the same Idempotency-Key gets the first answer."""
_PURGE_KEYS = "DELETE FROM idempotency_keys WHERE created_at < now() - $1::interval"

log = get_logger(__name__)


class Housekeeping:
    """Drops old rows; any number may run, at once too."""

    def __init__(self, database: Database, storage: Storage, *, every_s: float = EVERY_S) -> None:
        self.database = database
        self.storage = storage
        self.every_s = every_s

    async def run(self) -> None:
        """Clean up now and then for ever; outages are waited out."""
        while True:
            try:
                await self.clean()
            except Exception as error:
                if database_error(error) is None and not isinstance(error, StorageError):
                    raise
                log.warning("housekeeping.waiting", reason=type(error).__name__)
            await asyncio.sleep(self.every_s)

    async def clean(self) -> None:
        """Drop what is old or has ended; what lies in the storage comes last, for that may be out of reach."""
        async with self.database.transaction() as connection:
            await connection.execute(_PURGE_KEYS, KEEP_KEYS)
            await watches.purge(connection)
            await deliveries.purge(connection)
            await endpoint_secrets.purge(connection)
            await audit.purge(connection)
        await UploadStore(self.database).purge()
        await remove_abandoned(self.storage)
