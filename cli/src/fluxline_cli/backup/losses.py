"""What a restore could not bring back, as far as the stream that survived and the storage still know of it."""

import importlib
from dataclasses import dataclass, field
from types import ModuleType
from uuid import UUID

import asyncpg
from nats.js import JetStreamContext

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.contracts.events import GenerationRequested, TrainingRequested
from fluxline_cli.backup import files, streams
from fluxline_cli.backup.database import connected
from fluxline_cli.backup.manifest import Manifest
from fluxline_cli.backup.system import System


@dataclass
class Report:
    """What came back, and what did not: orders later than the backup, files that are gone."""

    rows: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    lost_trainings: list[UUID] = field(default_factory=list)
    lost_generations: list[UUID] = field(default_factory=list)
    missing_files: list[str] = field(default_factory=list)


async def note_lost_orders(report: Report, url: str, jetstream: JetStreamContext, manifest: Manifest) -> None:
    """Orders on a stream that survived, later than the backup and unknown to the restored database at `url`."""
    async with connected(url) as connection:
        known = await _known_trainings(connection)
        known_generations = {row[0] for row in await connection.fetch("SELECT id FROM gateway.generations")}
    name, after = EVENTS_STREAM.name, manifest.event_sequence
    async for message in streams.messages_of(jetstream, name, subject=TrainingRequested.subject, after=after):
        training_id = TrainingRequested.model_validate_json(message.data).training_id
        if training_id not in known:
            report.lost_trainings.append(training_id)
    async for message in streams.messages_of(jetstream, name, subject=GenerationRequested.subject, after=after):
        generation_id = GenerationRequested.model_validate_json(message.data).generation_id
        if generation_id not in known_generations:
            report.lost_generations.append(generation_id)


async def compare_files(report: Report, system: System) -> None:
    """Files that the restored database counts on and the storage lacks; trainings that only the storage knows."""
    if system.storage is None:
        return
    async with connected(system.database_url) as connection:
        known = await _known_trainings(connection)
        await connection.execute('SET search_path TO "gateway"')
        needed = [row[0] for row in await connection.fetch(migrations_of("gateway").STORED_KEYS)]
    found = await files.differences(system.storage, needed, known)
    report.missing_files = found.missing
    report.lost_trainings += [each for each in found.unknown_trainings if each not in report.lost_trainings]


def migrations_of(role: str) -> ModuleType:
    """The service's own page of migrations, which knows its tables; found by name, as by Alembic."""
    return importlib.import_module(f"fluxline_{role}.migrations")


async def _known_trainings(connection: asyncpg.Connection) -> set[UUID]:
    return {row[0] for row in await connection.fetch("SELECT id FROM gateway.trainings")}
