"""A backup and its way back on real servers: everything or nothing, checked before anything is touched."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from nats.js import JetStreamContext
from typer.testing import CliRunner, Result

from fluxline.contracts.catalog import DLQ_STREAM, EVENTS_STREAM, OUTCOMES_BUCKET
from fluxline.runtime.provision import stream_configs
from fluxline.storage.local import LocalStorage
from fluxline_cli.backup import copying, manifest, restoring, streams
from fluxline_cli.backup.database import with_database
from fluxline_cli.backup.errors import BackupError
from fluxline_cli.backup.losses import Report
from fluxline_cli.backup.system import System
from fluxline_cli.main import app
from fluxline_cli.stack.credentials import ROLES
from fluxline_cli.stack.prepare import DATABASE, prepare
from servers import NatsServer, PostgresServer, postgres_server
from streams import messages_of, requested

TRAINING, DONE, LATER = uuid4(), uuid4(), uuid4()
JOB = """
INSERT INTO trainer.jobs (training_id, state, cause, trace, destination, next_check_at, provider_id, submit_at)
VALUES ($1, $2, '{}', '{}', $3, now(), $4, now())
"""
PASSWORD = "a" * 12
Lines = list[str]


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server of its own, prepared: the services' database has a fixed name."""
    with postgres_server() as server:
        asyncio.run(_make_template(server.url))
        yield server


async def _make_template(url: str) -> None:
    await prepare(url, _roles(url))
    await _statement(url, f"ALTER DATABASE {DATABASE} RENAME TO pristine")


def _roles(url: str) -> dict[str, str]:
    database = with_database(url, DATABASE)
    return {role: database.replace("postgres@", f"{role}:{PASSWORD}@") for role in ROLES}


async def _statement(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def system(
    own_postgres: PostgresServer, nats: NatsServer, jetstream: JetStreamContext, tmp_path: Path
) -> AsyncIterator[System]:
    """A small system with something in every place."""
    url = with_database(own_postgres.url, DATABASE)
    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    await _statement(own_postgres.url, drop, f"CREATE DATABASE {DATABASE} TEMPLATE pristine STRATEGY file_copy")
    storage = LocalStorage(tmp_path / "storage", "http://127.0.0.1", b"s" * 32)
    system = System(own_postgres.url, _roles(own_postgres.url), nats.url, storage)
    connection = await asyncpg.connect(url)
    await connection.execute(JOB, TRAINING, "zip_ready", "me/fluxline-a", None)
    await connection.execute(JOB, DONE, "succeeded", "me/fluxline-b", "run")
    await connection.execute("INSERT INTO gateway.api_keys (owner, key_sha256) VALUES ('ada', '\\x00')")
    await connection.close()
    await storage.put(f"zips/{TRAINING}/0/data.zip", b"zip", content_type="application/zip")
    await jetstream.publish("dlq.trainer", b"letter", headers={"Nats-Msg-Id": "letter", "reason": "because"})
    await (await jetstream.key_value(OUTCOMES_BUCKET)).put("a.0", b"published")
    await jetstream.publish("training.requested", b"an event", headers={"Nats-Msg-Id": "event"})
    yield system
    await storage.close()


async def _query(system: System, sql: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(system.database_url)
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()


async def _back_up(system: System, parent: Path, lines: Lines | None = None) -> Path:
    return await copying.make_backup(system, parent, (lines if lines is not None else []).append)


async def _restore(system: System, folder: Path, *, force: bool = False) -> Report:
    return await restoring.restore(system, folder, manifest.read(folder), [].append, force=force)


async def test_what_was_lost_comes_back(system: System, jetstream: JetStreamContext, tmp_path: Path) -> None:
    before = await _query(system, "SELECT * FROM trainer.jobs WHERE training_id = $1", DONE)
    folder = await _back_up(system, tmp_path / "backups")
    late = requested(LATER)
    await jetstream.publish(late.subject, late.model_dump_json().encode())
    await _query(system, "DELETE FROM trainer.jobs")
    await jetstream.delete_stream(DLQ_STREAM.name)
    sequence = (await jetstream.stream_info(EVENTS_STREAM.name)).state.last_seq

    report = await _restore(system, folder, force=True)

    assert await _query(system, "SELECT * FROM trainer.jobs WHERE training_id = $1", DONE) == before
    [letter] = await messages_of(jetstream, DLQ_STREAM.name)
    assert (letter.data, (letter.headers or {})["reason"]) == (b"letter", "because")
    assert (await (await jetstream.key_value(OUTCOMES_BUCKET)).get("a.0")).value == b"published"
    state = (await jetstream.stream_info(EVENTS_STREAM.name)).state
    assert state.messages == 0
    assert state.first_seq > sequence
    assert report.lost_trainings[0] == LATER, "the surviving stream knew of it"
    assert TRAINING in report.lost_trainings, "only its archive is there: the gateway has no such training"
    [job] = await _query(system, "SELECT * FROM trainer.jobs WHERE training_id = $1", TRAINING)
    assert job["state"] == "submitting", "it may have been paid for since"
    assert job["first_submit_at"] < manifest.read(folder).database.taken_at < job["submit_at"]
    for role, url in system.roles.items():
        connection = await asyncpg.connect(url, server_settings={"search_path": role})
        assert await connection.fetchval("SELECT version_num FROM alembic_version")
        await connection.execute("CREATE TABLE of_a_later_migration (id int)")
        await connection.close()


async def test_a_system_that_holds_something_is_replaced_by_force_alone(system: System, tmp_path: Path) -> None:
    folder = await _back_up(system, tmp_path / "backups")
    with pytest.raises(BackupError, match="not empty"):
        await _restore(system, folder)
    assert len(await _query(system, "SELECT * FROM trainer.jobs")) == 2


async def test_services_at_work_are_never_pulled_the_rug_from_under(system: System, tmp_path: Path) -> None:
    folder = await _back_up(system, tmp_path / "backups")
    service = await asyncpg.connect(system.database_url, server_settings={"application_name": "fluxline-trainer"})
    with pytest.raises(BackupError, match="trainer"):
        await _restore(system, folder, force=True)
    await service.close()


async def test_who_only_looks_on_does_not_stop_a_restore(system: System, tmp_path: Path) -> None:
    folder = await _back_up(system, tmp_path / "backups")
    onlooker = await asyncpg.connect(system.database_url, server_settings={"application_name": "grafana"})
    await _restore(system, folder, force=True)
    assert onlooker.is_closed()
    assert len(await _query(system, "SELECT * FROM trainer.jobs")) == 2


async def test_a_restore_that_fails_leaves_everything_as_it_was(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await _back_up(system, tmp_path / "backups")
    monkeypatch.setattr(streams, "MADE_ANEW", ("no stream's name",))
    with pytest.raises(ValueError, match="stream name"):
        await _restore(system, folder, force=True)
    names = await _query(system, "SELECT datname FROM pg_database WHERE datname LIKE 'fluxline%'")
    assert [row["datname"] for row in names] == [DATABASE]
    assert len(await _query(system, "SELECT * FROM trainer.jobs")) == 2


async def test_a_service_that_reads_the_stream_is_at_work(
    system: System, jetstream: JetStreamContext, tmp_path: Path
) -> None:
    folder = await _back_up(system, tmp_path / "backups")
    zipper = await jetstream.pull_subscribe_bind(consumer="zipper", stream=EVENTS_STREAM.name)
    await zipper.fetch(1)
    waiting = asyncio.create_task(zipper.fetch(1, timeout=5))
    await asyncio.sleep(0)
    with pytest.raises(BackupError, match="zipper"):
        await _restore(system, folder, force=True)
    waiting.cancel()


@pytest.mark.parametrize("name", ["postgres.dump", "DLQ.jsonl.gz", "files.jsonl.gz"])
async def test_one_changed_byte_is_noticed(system: System, tmp_path: Path, name: str) -> None:
    folder = await _back_up(system, tmp_path / "backups")
    changed = bytearray((folder / name).read_bytes())
    changed[len(changed) // 2] ^= 1
    (folder / name).write_bytes(changed)
    with pytest.raises(BackupError, match=name):
        manifest.check(folder, manifest.read(folder))


async def test_a_rehearsal_counts_and_leaves_nothing_behind(system: System, tmp_path: Path) -> None:
    folder = await _back_up(system, tmp_path / "backups")
    facts = manifest.read(folder)
    await restoring.rehearse(system, folder, facts, [].append)
    wrong = facts.database.model_copy(update={"rows": {**facts.database.rows, "trainer.jobs": 3}})
    with pytest.raises(BackupError, match="not those of the backup"):
        await restoring.rehearse(system, folder, facts.model_copy(update={"database": wrong}), [].append)
    names = await _query(system, "SELECT datname FROM pg_database WHERE datname LIKE 'fluxline%'")
    assert [row["datname"] for row in names] == [DATABASE]


async def test_a_backup_that_was_cut_off_is_none(system: System, tmp_path: Path) -> None:
    parent = tmp_path / "backups"
    nowhere = replace(system, superuser_url="postgresql://postgres@127.0.0.1:1/postgres")
    with pytest.raises(BackupError, match="cannot be used"):
        await _back_up(nowhere, parent)
    assert not list(parent.iterdir())
    with pytest.raises(BackupError, match="holds no backup"):
        manifest.newest(parent)


def test_the_newest_backups_are_kept(tmp_path: Path) -> None:
    for day in range(1, 6):
        folder = tmp_path / f"fluxline-2026010{day}T000000Z"
        folder.mkdir()
        (folder / manifest.NAME).write_text("{}")
    (tmp_path / "fluxline-20260109T000000Z").mkdir()
    dropped = copying.drop_old(tmp_path, 2)
    assert [path.name for path in dropped] == [f"fluxline-2026010{day}T000000Z" for day in (1, 2, 3)]
    assert [path.name for path in manifest.whole(tmp_path)] == [f"fluxline-2026010{day}T000000Z" for day in (4, 5)]


async def test_no_secret_is_in_what_a_backup_says_of_itself(system: System, tmp_path: Path) -> None:
    lines: Lines = []
    folder = await _back_up(system, tmp_path / "backups", lines)
    said = (folder / manifest.NAME).read_text() + "\n".join(lines) + repr(system)
    assert PASSWORD not in said
    assert json.loads((folder / manifest.NAME).read_text())["database"]["rows"]["trainer.jobs"] == 2


async def test_a_stream_of_many_messages_comes_back_in_its_order(jetstream: JetStreamContext, tmp_path: Path) -> None:
    for number in range(2 * streams.BATCH + 7):
        await jetstream.publish("dlq.trainer", b"%d" % number, headers={"Nats-Msg-Id": str(number)})
    before = [message.data async for message in streams.messages_of(jetstream, DLQ_STREAM.name)]
    copied = await streams.copy(jetstream, DLQ_STREAM.name, tmp_path / "letters")
    assert copied.messages == len(before) == 2 * streams.BATCH + 7
    await jetstream.delete_stream(DLQ_STREAM.name)
    await provision_again(jetstream)
    assert await streams.put_back(jetstream, DLQ_STREAM.name, tmp_path / "letters") == copied.messages
    assert [message.data async for message in streams.messages_of(jetstream, DLQ_STREAM.name)] == before


async def test_the_commands_say_what_they_did_and_end_with_a_status(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", system.superuser_url)
    monkeypatch.setenv("NATS_URL", system.nats_url)
    for role, url in system.roles.items():
        monkeypatch.setenv(f"DATABASE_URL_{role.upper()}", url)
    made = await fluxline("backup", "--to", str(tmp_path / "backups"), "--verify", "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["rows"]["trainer.jobs"] == 2
    checked = await fluxline("restore", "--from", str(tmp_path / "backups"), "--verify")
    assert (checked.exit_code, "every checksum holds" in checked.stdout) == (0, True), checked.output
    refused = await fluxline("restore", "--from", str(tmp_path / "backups"))
    assert (refused.exit_code, "--force" in refused.output) == (1, True)
    restored = await fluxline("restore", "--from", str(tmp_path / "backups"), "--force", "--json")
    assert restored.exit_code == 0, restored.output
    assert json.loads(restored.stdout)["messages"] == {"KV_outcomes": 1}, "the dead letters survived"
    unwritable = await fluxline("backup", "--to", "/proc/backups")
    assert unwritable.exit_code == 1
    assert "Traceback" not in unwritable.output


async def fluxline(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def provision_again(jetstream: JetStreamContext) -> None:
    for config in stream_configs(1):
        if config.name == DLQ_STREAM.name:
            await jetstream.add_stream(config)
