"""The gateway as a process: it says what it lacks, waits for its database, recovers, and ends when it is told to."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import httpx
from nats.js import JetStreamContext

from fluxline.postgres.migrate import migrate
from fluxline.postgres.pool import Database
from fluxline_gateway.errors import PROBLEM_JSON
from fluxline_gateway.identity import keys
from fluxline_gateway.migrations import SCHEMA
from polling import poll_until
from processes import free_ports
from servers import NatsServer

from .jobs import order_of

START_TIMEOUT_S = 30
Process: TypeAlias = "subprocess.Popen[bytes]"
COMMAND = [sys.executable, "-m", "fluxline_gateway"]


@contextmanager
def running_gateway(nats: NatsServer, database_url: str, folder: Path) -> Iterator[tuple[Process, str]]:
    """A gateway process and its URL; killed at the end if it still runs."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    environment = {
        "NATS_URL": nats.url,
        "DATABASE_URL": database_url,
        "COLLECTOR_TOKEN": "the collector's token",
        "STORAGE_DIR": str(folder / "storage"),
        "STORAGE_PUBLIC_URL": url,
        "STORAGE_SECRET": "s" * 32,
        "GATEWAY_HTTP_PORT": str(port),
        "PATH": os.environ["PATH"],
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(COMMAND, env=environment, stderr=log)
    try:
        yield process, url
    finally:
        process.kill()
        process.wait()


async def status_of(client: httpx.AsyncClient, path: str) -> int:
    try:
        return (await client.get(path)).status_code
    except httpx.TransportError:
        return 0


async def end_connections(database_url: str) -> None:
    """As a restart of PostgreSQL does it."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await connection.close()


async def new_key(database_url: str) -> str:
    connection = await asyncpg.connect(database_url, server_settings={"search_path": SCHEMA})
    key, _ = await keys.create(connection, "ada")
    await connection.close()
    return key


async def test_a_gateway_waits_for_its_schema_serves_recovers_and_ends(
    nats: NatsServer, jetstream: JetStreamContext, empty_database_url: str, tmp_path: Path
) -> None:
    with running_gateway(nats, empty_database_url, tmp_path) as (process, url):
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:

            async def ready() -> bool:
                return await status_of(client, "/readyz") == 200

            await poll_until(lambda: status_of(client, "/healthz"), START_TIMEOUT_S)
            early = await client.get("/v1/me", headers={"Authorization": "Bearer fl_" + "A" * 40})
            assert early.status_code == 503
            assert early.headers["content-type"] == PROBLEM_JSON
            assert early.headers["retry-after"]
            assert await status_of(client, "/readyz") == 503
            await migrate(empty_database_url, "fluxline_gateway")
            await poll_until(ready, START_TIMEOUT_S)
            client.headers["Authorization"] = f"Bearer {await new_key(empty_database_url)}"
            assert (await client.get("/v1/me")).json()["owner"] == "ada"
            await end_connections(empty_database_url)
            await poll_until(ready, START_TIMEOUT_S)
            assert await status_of(client, "/v1/images") == 200
            assert "fluxline_stage_duration_seconds" in (await client.get("/metrics")).text
        process.send_signal(signal.SIGTERM)
        await poll_until(lambda: process.poll() is not None, START_TIMEOUT_S)
        assert process.returncode in (0, -signal.SIGTERM)


def test_a_gateway_without_configuration_names_what_is_missing() -> None:
    done = subprocess.run(COMMAND, env={}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    for variable in ("NATS_URL", "DATABASE_URL", "COLLECTOR_TOKEN"):
        assert f"{variable}: is not set → " in done.stderr
    assert "Traceback" not in done.stderr


async def test_open_event_streams_do_not_hold_up_the_end_and_clients_are_not_told_of_one(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> None:
    with running_gateway(nats, database_url, tmp_path) as (process, url):
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            await poll_until(lambda: _answers(client, "/readyz"), START_TIMEOUT_S)
            database = Database(database_url, SCHEMA)
            await database.open()
            key, _ = await keys.create(database.pool, "ada")
            order = await order_of(database)
            await database.close()
            client.headers["Authorization"] = f"Bearer {key}"
            training = (await client.post("/v1/trainings", json=order)).json()
            async with client.stream("GET", f"/v1/trainings/{training['id']}/events") as stream:
                lines = stream.aiter_lines()
                assert await anext(lines)
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                rest = [line async for line in lines]
            process.wait(10)
    assert time.monotonic() - began < 5
    assert "event: end" not in rest


async def _answers(client: httpx.AsyncClient, path: str) -> bool:
    return await status_of(client, path) == 200
