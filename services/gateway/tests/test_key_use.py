"""When a key was last used: noted without waiting, written once a minute at most."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from fluxline.postgres.pool import Database, DatabaseUnavailable
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import key_use, keys
from fluxline_gateway.identity.key_use import KeyUse
from fluxline_gateway.migrations import SCHEMA


async def used_at(database: Database, key_id: UUID) -> datetime | None:
    at: datetime | None = await database.pool.fetchval("SELECT last_used_at FROM api_keys WHERE id = $1", key_id)
    return at


async def test_a_request_notes_its_key_and_the_background_writes_it(
    client: httpx.AsyncClient, gateway: Gateway, database: Database
) -> None:
    key_id = UUID((await client.get("/v1/me")).json()["key_id"])
    assert await used_at(database, key_id) is None
    await gateway.key_use.flush(database)
    [shown] = (await client.get("/v1/keys")).json()["items"]
    assert datetime.now(UTC) - datetime.fromisoformat(shown["last_used_at"]) < timedelta(minutes=1)


async def test_a_key_is_written_once_a_minute_however_often_it_is_used(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key_id = await keys.create(database.pool, "ada")
    use = KeyUse()
    use.note(key_id)
    await use.flush(database)
    first = await used_at(database, key_id)
    use.note(key_id)
    await use.flush(database)
    assert await used_at(database, key_id) == first
    monkeypatch.setattr(key_use, "EVERY_S", 0.0)
    use.note(key_id)
    await use.flush(database)
    later = await used_at(database, key_id)
    assert first
    assert later
    assert later > first


async def test_an_older_use_never_replaces_a_newer_one(database: Database) -> None:
    _, key_id = await keys.create(database.pool, "ada")
    newer = datetime.now(UTC) + timedelta(minutes=5)
    await database.pool.execute("UPDATE api_keys SET last_used_at = $2 WHERE id = $1", key_id, newer)
    use = KeyUse()
    use.note(key_id)
    await use.flush(database)
    assert await used_at(database, key_id) == newer


async def test_what_could_not_be_written_is_written_later(database: Database) -> None:
    _, key_id = await keys.create(database.pool, "ada")
    use = KeyUse()
    use.note(key_id)
    with pytest.raises(DatabaseUnavailable):
        await use.flush(Database("postgresql://nobody@127.0.0.1:1/none", SCHEMA))
    await use.flush(database)
    assert await used_at(database, key_id)


def test_what_waits_is_bounded_and_other_tokens_are_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_use, "MAX_NOTED", 3)
    use = KeyUse()
    use.note(None)
    for _ in range(10):
        use.note(uuid4())
    assert len(use._pending) == 3
    assert len(use._noted) <= 3
