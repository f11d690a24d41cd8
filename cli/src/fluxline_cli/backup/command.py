"""`fluxline backup` and `fluxline restore`."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import asyncpg
import nats.errors
import nats.js.errors
import typer

from fluxline.runtime.redaction import redact_text
from fluxline.runtime.settings import value_of
from fluxline_cli.backup import copying, manifest, restoring, system
from fluxline_cli.backup.errors import BackupError
from fluxline_cli.backup.losses import Report
from fluxline_cli.backup.manifest import Manifest
from fluxline_cli.backup.restoring import Say
from fluxline_cli.console import console, print_json, run
from fluxline_cli.errors import Usage
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.up import HomeOption

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else")]
SHOWN = 20


def backup(
    to: Annotated[Path, typer.Option("--to", help="The folder that gets a folder for each backup")],
    keep: Annotated[int | None, typer.Option(min=1, help="Remove all but that many backups, the oldest first")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Then load it into a database of its own and count")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the database, dead letters and outcomes, and list the stored files, while everything runs.

    Of the servers of DATABASE_URL (the superuser's) and NATS_URL, else of the stack that runs here.
    """
    run(_explained(_backup(to.absolute(), keep, _layout(home), verify=verify, as_json=as_json)))


async def _backup(to: Path, keep: int | None, layout: Layout, *, verify: bool, as_json: bool) -> None:
    say = _say(as_json=as_json)
    async with system.running(layout) as running:
        made = await copying.make_backup(running, to, say)
        facts = manifest.read(made)
        if verify:
            manifest.check(made, facts)
            await restoring.rehearse(running, made, facts, say)
    dropped = copying.drop_old(to, keep) if keep else []
    size = sum(copy.size_bytes for copy in facts.copies)
    if as_json:
        removed = [str(path) for path in dropped]
        print_json({"backup": str(made), "size_bytes": size, "removed": removed} | _facts(facts))
        return
    for path in dropped:
        say(f"removed {path}")
    say(f"{made} ({size / 1e6:.1f} MB, {facts.seconds:.1f} s)")


def restore(
    source: Annotated[Path, typer.Option("--from", help="A backup, or the folder of backups: then the newest one")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only check the files, load them into a database of its own, and count")
    ] = False,
    only_streams: Annotated[
        bool, typer.Option("--only-streams", help="After the loss of NATS alone: put back what only it knew")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup back, with every service stopped, and say what could not be brought back.

    Into the servers of DATABASE_URL, DATABASE_URL_GATEWAY and so on, and NATS_URL, else into a stopped stack's home.
    """
    if verify and only_streams:
        raise typer.BadParameter("choose one", param_hint="--verify, --only-streams")
    say = _say(as_json=as_json)
    if verify:
        work = _verify(source.absolute(), _layout(home), say, as_json=as_json)
    else:
        work = _restore(source.absolute(), _layout(home), say, force=force, only_streams=only_streams, as_json=as_json)
    run(_explained(work))


async def _verify(source: Path, layout: Layout, say: Say, *, as_json: bool) -> None:
    folder, facts = await _opened(source, say)
    async with system.any_server(layout) as server:
        await restoring.rehearse(server, folder, facts, say)
    if as_json:
        print_json({"backup": str(folder)} | _facts(facts))


async def _restore(source: Path, layout: Layout, say: Say, *, force: bool, only_streams: bool, as_json: bool) -> None:
    began = time.monotonic()
    folder, facts = await _opened(source, say)
    if only_streams:
        async with system.any_server(layout) as servers:
            report = Report(messages=await restoring.fill_streams(servers, folder, facts, replicas=_replicas()))
    else:
        async with system.at_rest(layout) as servers:
            report = await restoring.restore(servers, folder, facts, say, force=force, replicas=_replicas())
    if as_json:
        print_json({"backup": str(folder), "seconds": round(time.monotonic() - began, 1)} | asdict(report))
    else:
        _print(report, facts, time.monotonic() - began)


async def _opened(source: Path, say: Say) -> tuple[Path, Manifest]:
    """The backup and what it says of itself, its checksums compared; raises BackupError."""
    folder = manifest.newest(source)
    facts = manifest.read(folder)
    await asyncio.to_thread(manifest.check, folder, facts)
    say(f"{folder} of {facts.database.taken_at:%Y-%m-%d %H:%M:%S} UTC: every checksum holds")
    return folder, facts


async def _explained(work: Awaitable[None]) -> None:
    """What the servers or the disk refuse, in one line without a secret."""
    try:
        await work
    except (asyncpg.PostgresError, nats.errors.Error, nats.js.errors.Error, OSError) as error:
        said = redact_text(str(error)) or "no reason given"
        hint = "nothing was replaced unless a line above says so; mend the cause and repeat the command"
        raise BackupError(f"{type(error).__name__}: {said}", hint=hint) from error


def _print(report: Report, facts: Manifest, seconds: float) -> None:
    taken_at = f"{facts.database.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    _list(f"trainings begun after {taken_at} are not in the backup; they may have been paid", report.lost_trainings)
    _list(f"generations asked for after {taken_at} are not in the backup", report.lost_generations)
    _list("files that the database counts on are not in the storage", report.missing_files)
    console.print(f"restored in {seconds:.1f} s; start the services", highlight=False)


def _list(title: str, items: Sequence[object]) -> None:
    if not items:
        return
    console.print(f"[bold]{len(items)}[/] {title}:", highlight=False, soft_wrap=True)
    for item in items[:SHOWN]:
        console.print(f"  {item}", highlight=False, markup=False)
    if len(items) > SHOWN:
        console.print(f"  … and {len(items) - SHOWN} more: --json lists all", highlight=False)


def _facts(facts: Manifest) -> dict[str, object]:
    return {"taken_at": facts.database.taken_at.isoformat(), "seconds": facts.seconds, "rows": facts.database.rows}


def _layout(home: Path | None) -> Layout:
    return Layout(home.absolute() if home else default_home())


def _replicas() -> int:
    value = value_of("NATS_REPLICAS") or "1"
    if value not in "12345":
        raise Usage("NATS_REPLICAS must be 1 to 5")
    return int(value)


def _say(*, as_json: bool) -> Say:
    def say(line: str) -> None:
        if not as_json:
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    return say
