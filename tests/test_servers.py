"""The test servers themselves: they start, survive a crash on the same address, and leave nothing behind."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import nats as nats_client
import pytest

from polling import poll_until
from processes import free_ports
from servers import NatsServer, PostgresServer, SeaweedServer, nats_server, postgres_server, seaweedfs_server

HERE = Path(__file__).parent


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_nats_keeps_its_address_and_its_messages_over_a_crash() -> None:
    with nats_server() as server:
        client = await nats_client.connect(server.url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"still here")
        await client.close()
        before = server.pid
        server.kill()
        server.restart()
        client = await nats_client.connect(server.url)
        message = await client.jetstream().get_msg("KEPT", 1)
        await client.close()
    assert message.data == b"still here"
    assert not _is_alive(before)


async def test_postgres_is_usable_and_comes_back_after_a_crash() -> None:
    with postgres_server() as server:
        url = server.create_database()
        await _execute(url, "CREATE TABLE kept (id int)")
        server.kill()
        server.restart()
        await _execute(url, "SELECT * FROM kept")
        server.drop_database(url)
        pid = server.pid
    assert not _is_alive(pid)


def test_seaweedfs_comes_back_on_the_same_address() -> None:
    with seaweedfs_server() as server:
        server.create_bucket("another")
        server.restart()
        server.create_bucket("another")
        pid = server.pid
    assert not _is_alive(pid)


async def test_a_database_is_fresh_for_each_test(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    assert tables == 0


def test_the_shared_servers_have_distinct_addresses(
    nats: NatsServer, postgres: PostgresServer, seaweed: SeaweedServer
) -> None:
    assert len({nats.url, nats.monitor_url, postgres.url, seaweed.endpoint}) == 4


async def test_a_server_ends_with_a_test_process_that_is_killed(tmp_path: Path) -> None:
    program = "import sys, servers\nwith servers.nats_server() as s: print(s.pid, flush=True); sys.stdin.read()"
    tests = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=HERE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert tests.stdout is not None
    pid = int(await asyncio.to_thread(tests.stdout.readline))
    tests.kill()
    tests.communicate()
    await poll_until(lambda: not _is_alive(pid))


async def test_polling_gives_up_and_says_what_it_last_saw() -> None:
    with pytest.raises(TimeoutError, match="last value was 0"):
        await poll_until(lambda: 0, timeout_s=0.05)


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(20))) == 20


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
