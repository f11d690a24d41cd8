"""What housekeeping drops, and what it leaves."""

import asyncio
import os
import time
from pathlib import Path
from uuid import uuid4

import pytest

from fluxline.postgres.pool import Database
from fluxline.storage import StorageUnreachable
from fluxline.storage.local import LocalStorage
from fluxline_gateway.deps import Gateway
from fluxline_gateway.housekeeping import Housekeeping
from fluxline_gateway.images import upload_store
from polling import poll_until

_KEY = """
INSERT INTO idempotency_keys (owner, key, request_sha256, created_at)
VALUES ('ada', $1, '', now() - make_interval(days => $2))
"""
_TRAINING = """
INSERT INTO trainings (id, owner, name, status, request, image_ids, state)
VALUES ($1, 'ada', 'a', $2, '{}', '{}', '{}')
"""
_WATCH = "INSERT INTO stage_watches (training_id, run, stage, newest, at_work) VALUES ($1, 0, 'zip_creation', 1, true)"


def housekeeping(gateway: Gateway, *, every_s: float = 3600) -> Housekeeping:
    return Housekeeping(gateway.database, gateway.storage, every_s=every_s)


async def test_keys_of_idempotency_are_kept_for_thirty_days(gateway: Gateway, database: Database) -> None:
    await database.pool.execute(_KEY, "old", 31)
    await database.pool.execute(_KEY, "young", 29)
    await housekeeping(gateway).clean()
    assert [row["key"] for row in await database.pool.fetch("SELECT key FROM idempotency_keys")] == ["young"]


async def test_the_watchdog_forgets_only_what_has_ended_or_is_gone(gateway: Gateway, database: Database) -> None:
    running, ended, gone = uuid4(), uuid4(), uuid4()
    await database.pool.execute(_TRAINING, running, "training")
    await database.pool.execute(_TRAINING, ended, "failed")
    for training_id in (running, ended, gone):
        await database.pool.execute(_WATCH, training_id)
    await housekeeping(gateway).clean()
    assert [row["training_id"] for row in await database.pool.fetch("SELECT training_id FROM stage_watches")] == [
        running
    ]


async def test_it_cleans_again_and_again(gateway: Gateway, database: Database) -> None:
    work = asyncio.create_task(housekeeping(gateway, every_s=0.05).run())
    try:
        for n in range(2):
            await database.pool.execute(_KEY, f"old-{n}", 31)
            await poll_until(lambda: database.pool.fetchval("SELECT count(*) = 0 FROM idempotency_keys"))
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


_UPLOAD = "INSERT INTO image_uploads (id, owner, expires_at) VALUES ($1, 'ada', now() + make_interval(hours => $2))"
_FILE = (
    "INSERT INTO image_upload_files (upload_id, number, filename, size_bytes, storage_key) VALUES ($1, 1, '', 1, '')"
)


async def test_uploads_go_when_they_are_no_longer_open_and_so_does_what_lies_in_the_storage_for_them(
    gateway: Gateway, database: Database, storage: LocalStorage, tmp_path: Path
) -> None:
    expired, open_ = uuid4(), uuid4()
    for upload_id, hours in ((expired, -1), (open_, 1)):
        await database.pool.execute(_UPLOAD, upload_id, hours)
        await database.pool.execute(_FILE, upload_id)
    kept = [f"incoming/ada/{open_}/1", "uploads/ada/old.jpg"]
    for key in (f"incoming/ada/{expired}/1", f"incoming/bob/{uuid4()}/7", *kept):
        await storage.put(key, b"x", content_type="image/jpeg")
        if key != kept[0]:
            os.utime(tmp_path / "storage" / key, (time.time() - 25 * 3600,) * 2)
    await housekeeping(gateway).clean()
    assert [row["id"] for row in await database.pool.fetch("SELECT id FROM image_uploads")] == [open_]
    assert await database.pool.fetchval("SELECT count(*) FROM image_upload_files") == 1
    assert [item.key async for item in storage.list("")] == kept


async def test_it_clears_away_a_bounded_number_at_a_time(
    gateway: Gateway, database: Database, storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_store, "MAX_PURGED", 2)
    for n in range(3):
        await database.pool.execute(_UPLOAD, uuid4(), -1)
        await storage.put(f"incoming/ada/u/{n}", b"x", content_type="image/jpeg")
        os.utime(tmp_path / "storage" / f"incoming/ada/u/{n}", (time.time() - 25 * 3600,) * 2)
    for left in (1, 0):
        await housekeeping(gateway).clean()
        assert await database.pool.fetchval("SELECT count(*) FROM image_uploads") == left
        assert len([item async for item in storage.list("incoming/")]) == left


async def test_it_waits_for_a_storage_that_is_out_of_reach(
    gateway: Gateway, database: Database, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def out_of_reach(_prefix: str) -> None:
        nonlocal calls
        calls += 1
        raise StorageUnreachable

    monkeypatch.setattr(storage, "list", out_of_reach)
    work = asyncio.create_task(housekeeping(gateway, every_s=0.05).run())
    try:
        await poll_until(lambda: calls >= 2)
        await database.pool.execute(_KEY, "old", 31)
        await poll_until(lambda: database.pool.fetchval("SELECT count(*) = 0 FROM idempotency_keys"))
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
