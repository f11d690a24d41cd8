"""Everything that the stack has written down, by where it lies: a name, and text."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats

from servers import SeaweedServer
from streams import messages_of

Found = tuple[str, str]
_TABLES = """
SELECT table_schema, table_name FROM information_schema.tables
WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'
"""
EXPORT = "/v1/trainings/{training_id}/debug/export"
HTML = f"{EXPORT}?format=html"
PROVIDERS_OWN = ("sandbox",)
"""Folders and logs of the stand-in: a provider knows what it says."""
CONFIGURATION = ("credentials.json", "stack.json")
"""What the processes are configured from has to hold the secrets; it is readable by its owner alone."""


async def tables(postgres_url: str) -> AsyncIterator[Found]:
    """Every row of every table of every schema."""
    connection = await asyncpg.connect(postgres_url, timeout=10)
    try:
        for schema, table in await connection.fetch(_TABLES):
            for row in await connection.fetch(f'SELECT * FROM "{schema}"."{table}"'):
                yield f"table {schema}.{table}", " ".join(_text(value) for value in row.values())
    finally:
        await connection.close()


def _text(value: Any) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value)


async def streams(nats_url: str) -> AsyncIterator[Found]:
    """Every message of every stream, registers and dead letters among them, with its headers."""
    client = await nats.connect(nats_url, connect_timeout=5)
    try:
        jetstream = client.jetstream()
        for info in await jetstream.streams_info():
            name = str(info.config.name)
            for message in await messages_of(jetstream, name):
                body = (message.data or b"").decode(errors="replace")
                yield f"stream {name}, {message.subject}", f"{message.headers} {body}"
    finally:
        await client.close()


def files(home: Path) -> Iterator[Found]:
    """Every file of the home: logs, the servers' own files, what was printed."""
    for path in [*home.rglob("*"), home.parent / "output"]:
        part = path.relative_to(home.parent)
        own = any(name == part.stem or name in part.parts for name in PROVIDERS_OWN)
        if path.is_file() and not own and path.name not in CONFIGURATION:
            yield f"file {part}", path.read_bytes().decode(errors="replace")


def bucket(server: SeaweedServer) -> Iterator[Found]:
    """Every object in the bucket."""
    with closing(server.client()) as client:
        for item in client.list_objects_v2(Bucket=server.bucket).get("Contents", []):
            content = client.get_object(Bucket=server.bucket, Key=item["Key"])["Body"].read()
            yield f"object {item['Key']}", content.decode(errors="replace")


async def answers(api: httpx.AsyncClient, known: dict[str, list[str]]) -> AsyncIterator[Found]:
    """Every answer to a GET of the API whose path parameters are among `known`, exports included."""
    paths = (await api.get("/openapi.json")).json()["paths"]
    for template in [*(path for path, operations in paths.items() if "get" in operations), HTML]:
        for path in _filled(template, known):
            answer = await api.get(path, headers={"Accept": "application/json, */*;q=0.5"}, timeout=20)
            assert answer.status_code == 200 or "/debug" not in path, f"{path}: {answer.text}"
            yield f"answer {template}", f"{dict(answer.headers)} {answer.content.decode(errors='replace')}"


def _filled(template: str, known: dict[str, list[str]]) -> list[str]:
    names = [part[1:-1] for part in template.partition("?")[0].split("/") if part.startswith("{")]
    if not names:
        return [template] if "stream" not in template else []
    if len(names) > 1 or names[0] not in known:
        return []
    return [template.replace(f"{{{names[0]}}}", value) for value in known[names[0]]]
