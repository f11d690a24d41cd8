"""A new version beside the old one: schemas and events that both understand, on real servers."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import EVENTS, ZIPPER
from fluxline.postgres.migrate import migrate
from fluxline.runtime import provisioned as provisioned_module
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import read_event
from fluxline.runtime.provision import consumer_config
from fluxline.runtime.provisioned import Provisioned
from fluxline.runtime.settings import ServiceSettings
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_cli.stack.credentials import ROLES
from servers import NatsServer

ROOT = Path(__file__).parents[1]
GOLDEN = sorted((ROOT / "shared" / "tests" / "golden").glob("*.json"))
PACKAGES = tuple(f"fluxline_{role}" for role in ROLES)
FORBIDDEN = re.compile(
    r"\bDROP\s+(TABLE|COLUMN|SCHEMA|VIEW|TYPE|DEFAULT)\b|\bRENAME\b|\bSET\s+NOT\s+NULL\b|\bTRUNCATE\b"
    r"|\bALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE\b",
    re.IGNORECASE,
)
BEFORE_THE_RULE = {("fluxline_collector", "0002")}
"""Moves the events into partitions, in one transaction, and takes the old table's place; no release had the old one."""
LONGEST_WAIT_S = 5.0
"""How long a statement of a running version may wait for a migration; a request gives up after more."""
COLUMNS = """
SELECT c.table_name || '.' || c.column_name AS name, c.data_type, c.is_nullable = 'YES' AS nullable,
    c.column_default IS NOT NULL OR c.is_identity = 'YES' OR c.is_generated = 'ALWAYS' AS has_default
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = $1 AND t.table_type = 'BASE TABLE'
"""
RULES = """
SELECT r.relname || ': ' || pg_get_constraintdef(c.oid) AS rule, r.relname || '.' || a.attname AS name
FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY (c.conkey)
WHERE n.nspname = $1 AND c.contype IN ('c', 'f', 'u', 'x')
UNION
SELECT r.relname || ': unique ' || i.indexrelid::regclass::text, r.relname || '.' || a.attname
FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid JOIN pg_namespace n ON n.oid = r.relnamespace
    JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY (i.indkey)
WHERE n.nspname = $1 AND i.indisunique
"""
OUTBOX = "INSERT INTO outbox (event_id, subject, body, headers) VALUES ($1, 'stage.started', '{}', '{}')"
"""What every version since the first writes."""


@dataclass(frozen=True)
class Column:
    data_type: str
    nullable: bool
    has_default: bool


@dataclass(frozen=True)
class Shape:
    """The columns of a schema by table.column, and the columns that each of its rules is about."""

    columns: dict[str, Column]
    rules: dict[str, set[str]]

    def breaks(self, newer: "Shape") -> list[str]:
        """What a version that was written for this shape cannot do on the newer one."""
        return [*self._gone(newer), *self._demanded(newer), *self._refused(newer)]

    def _gone(self, newer: "Shape") -> list[str]:
        found = newer.columns
        gone = [f"{name} is gone" for name in self.columns if name not in found]
        common = [(name, each, found[name]) for name, each in self.columns.items() if name in found]
        changed = [f"{name} has another type" for name, old, new in common if old.data_type != new.data_type]
        return [
            *gone,
            *changed,
            *(f"{name} may not be null" for name, old, new in common if old.nullable > new.nullable),
        ]

    def _demanded(self, newer: "Shape") -> list[str]:
        tables = {name.partition(".")[0] for name in self.columns}
        return [
            f"{name} is new and has no default"
            for name, column in newer.columns.items()
            if name not in self.columns and name.partition(".")[0] in tables
            if not (column.nullable or column.has_default)
        ]

    def _refused(self, newer: "Shape") -> list[str]:
        """Rules about what older versions write, and nothing else."""
        new = {rule: names for rule, names in newer.rules.items() if rule not in self.rules}
        return [f"new rule {rule}" for rule, names in new.items() if names <= set(self.columns)]


def revisions(package: str) -> dict[str, str]:
    """The source of each revision, by its number, in order."""
    folder = Path(str(import_module(f"{package}.migrations").__file__)).parent
    return {path.name.partition("_")[0]: path.read_text() for path in sorted(folder.glob("0*.py"))}


async def shape(url: str, package: str) -> Shape:
    schema = import_module(f"{package}.migrations").SCHEMA
    async with connected(url) as connection:
        columns = {row["name"]: Column(*list(row)[1:]) for row in await connection.fetch(COLUMNS, schema)}
        rules: dict[str, set[str]] = {}
        for row in await connection.fetch(RULES, schema):
            rules.setdefault(row["rule"], set()).add(row["name"])
    return Shape(columns, rules)


@asynccontextmanager
async def connected(url: str, package: str | None = None) -> AsyncIterator[asyncpg.Connection]:
    path = {"search_path": import_module(f"{package}.migrations").SCHEMA} if package else {}
    connection = await asyncpg.connect(url, server_settings=path)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("package", PACKAGES)
async def test_every_migration_leaves_what_the_version_before_it_uses(package: str, empty_database_url: str) -> None:
    before: Shape | None = None
    for number in revisions(package):
        await migrate(empty_database_url, package, number)
        after = await shape(empty_database_url, package)
        assert after.columns
        if before is not None and (package, number) not in BEFORE_THE_RULE:
            assert before.breaks(after) == [], number
        before = after


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER TABLE outbox DROP COLUMN refusal", "outbox.refusal is gone"),
        ("ALTER TABLE outbox ADD COLUMN kind text NOT NULL", "outbox.kind is new and has no default"),
        ("ALTER TABLE outbox ALTER COLUMN refusal SET NOT NULL", "outbox.refusal may not be null"),
        ("ALTER TABLE outbox ALTER COLUMN subject TYPE varchar(9)", "outbox.subject has another type"),
        ("CREATE UNIQUE INDEX one_subject ON outbox (subject)", "new rule outbox: unique trainer.one_subject"),
        ("ALTER TABLE outbox ADD CHECK (length(subject) < 9)", "new rule outbox: CHECK ((length(subject) < 9))"),
    ],
)
async def test_a_migration_that_breaks_the_running_version_would_be_found(
    statement: str, said: str, empty_database_url: str
) -> None:
    await migrate(empty_database_url, "fluxline_trainer")
    before = await shape(empty_database_url, "fluxline_trainer")
    async with connected(empty_database_url, "fluxline_trainer") as connection:
        await connection.execute(statement)
    assert before.breaks(await shape(empty_database_url, "fluxline_trainer")) == [said]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_migration_takes_away(package: str) -> None:
    taking = {(package, number) for number, source in revisions(package).items() if FORBIDDEN.search(source)}
    assert taking <= BEFORE_THE_RULE


@pytest.mark.parametrize("package", ["fluxline_gateway", "fluxline_trainer"])
async def test_the_running_version_goes_on_writing_while_the_next_ones_migrate(
    package: str, empty_database_url: str
) -> None:
    numbers = list(revisions(package))
    first = 2 if package == "fluxline_gateway" else 1
    await migrate(empty_database_url, package, numbers[first - 1])
    done = asyncio.Event()
    writing = asyncio.create_task(_write_until(done, empty_database_url, package))
    try:
        for number in numbers[first:]:
            await migrate(empty_database_url, package, number)
    finally:
        done.set()
    written, longest_s = await writing
    async with connected(empty_database_url, package) as connection:
        assert {row["event_id"] for row in await connection.fetch("SELECT event_id FROM outbox")} == written
    assert len(written) > len(numbers)
    assert longest_s < LONGEST_WAIT_S


async def _write_until(done: asyncio.Event, url: str, package: str) -> tuple[set[object], float]:
    """The ids of what was written, and how long the slowest statement took."""
    written: set[object] = set()
    longest_s = 0.0
    async with connected(url, package) as connection:
        while not done.is_set():
            event_id, began = uuid4(), time.monotonic()
            await connection.execute(OUTBOX, event_id, timeout=30)
            await connection.execute("UPDATE outbox SET published_at = now() WHERE event_id = $1", event_id, timeout=30)
            written.add(event_id)
            longest_s = max(longest_s, time.monotonic() - began)
            await asyncio.sleep(0)
    return written, longest_s


@pytest.mark.parametrize("package", PACKAGES)
async def test_an_older_version_leaves_a_newer_schema_alone(package: str, empty_database_url: str) -> None:
    """So that a rollback works, whose preparation is that of the older version."""
    await migrate(empty_database_url, package)
    async with connected(empty_database_url, package) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        await migrate(empty_database_url, package)
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_this_version_reads_what_the_next_one_adds_to_an_event(path: Path) -> None:
    subject = path.name.rsplit(".", 2)[0]
    payload = json.loads(path.read_text())
    newer = payload | {"of_the_next_version": {"a": [1, None, "two"]}, "another": None}
    assert read_event(subject, json.dumps(newer).encode()) == read_event(subject, path.read_bytes())


def test_every_event_is_among_them() -> None:
    assert {path.name.rsplit(".", 2)[0] for path in GOLDEN} == set(EVENTS)


async def test_a_running_service_bears_the_streams_and_consumers_of_the_next_version(
    nats: NatsServer, jetstream: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioned_module, "WATCH_S", 0.05)
    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None))
    await bus.broker.connect()
    provisioned = Provisioned(bus, ServiceSettings.model_validate({"nats_url": nats.url}))
    provisioned.consumers.append(ZIPPER)
    await provisioned.wait()
    watching = asyncio.create_task(provisioned.watch())
    config = consumer_config(ZIPPER)
    config.ack_wait, config.max_ack_pending = 60.0, 50
    config.filter_subjects = [*(config.filter_subjects or []), "training.paused"]
    await jetstream.add_consumer("EVENTS", config=config)
    await jetstream.add_stream(name="NEXT", subjects=["next.>"])
    for _ in range(5):
        await asyncio.sleep(0.1)
        await provisioned.check()
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await jetstream.delete_stream("NEXT")
    bus.stopping = True
    await bus.broker.stop()
