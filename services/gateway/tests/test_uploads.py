"""Hostile ways to send an upload: too slow, too many at once, never finished, with names made to deceive."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxline_gateway.errors import PROBLEM_JSON, ApiError
from fluxline_gateway.images import upload_routes as image_uploads
from fluxline_gateway.images import uploads
from fluxline_gateway.images.uploads import UploadSlots, display_name
from photos import jpeg_bytes, scene
from polling import poll_until

from .serving import served_gateway

ClientOf = Callable[[str], AbstractAsyncContextManager[httpx.AsyncClient]]
FORM = {"content-type": "multipart/form-data; boundary=b"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'


async def drip(stop: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """A body that never ends and never pauses for long."""
    yield HEAD
    while stop is None or not stop.is_set():
        await asyncio.sleep(0.005)
        yield b"x"
    yield b"\r\n--b--\r\n"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


async def test_an_upload_that_crawls_is_ended_although_it_never_idles(
    client: httpx.AsyncClient, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SLOW_START_S", 0.2)
    started = time.monotonic()
    answer = await client.post("/v1/images", content=drip(), headers=FORM)
    assert answer.status_code == 408
    assert answer.json()["category"] == "timeout"
    assert time.monotonic() - started < 5
    assert list(temporary.iterdir()) == []


async def test_an_upload_that_is_fast_enough_has_a_deadline_all_the_same(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "DEADLINE_S", 0.2)
    monkeypatch.setattr(uploads, "MIN_BYTES_PER_S", 1)
    assert (await client.post("/v1/images", content=drip(), headers=FORM)).status_code == 408


async def test_uploads_beyond_the_places_are_told_to_come_back(
    client: httpx.AsyncClient, client_of: ClientOf, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_uploads, "_slots", UploadSlots(total=3, per_owner=2))
    stop = asyncio.Event()
    async with client_of("bob") as bob:
        slow = [asyncio.create_task(who.post("/v1/images", content=drip(stop), headers=FORM)) for who in (client, bob)]
        await poll_until(lambda: len(list(temporary.iterdir())) == 2)
        slow.append(asyncio.create_task(client.post("/v1/images", content=drip(stop), headers=FORM)))
        await poll_until(lambda: len(list(temporary.iterdir())) == 3)
        for who, status in ((client, 429), (bob, 503)):
            refused = await who.post("/v1/images", content=HEAD + b"x\r\n--b--\r\n", headers=FORM)
            assert refused.status_code == status
            assert refused.headers["content-type"] == PROBLEM_JSON
            assert int(refused.headers["retry-after"]) > 0
        assert (await client.get("/v1/images")).status_code == 200
        stop.set()
        assert [answer.status_code for answer in await asyncio.gather(*slow)] == [201] * 3
        assert (await bob.post("/v1/images", content=HEAD + b"x\r\n--b--\r\n", headers=FORM)).status_code == 201
    assert list(temporary.iterdir()) == []


def test_a_place_is_free_again_however_its_upload_ended() -> None:
    slots = UploadSlots(total=1, per_owner=1)
    for _ in range(3):
        with pytest.raises(RuntimeError), slots.taken("ada"):
            raise RuntimeError("a crash")
    with slots.taken("ada"), pytest.raises(ApiError), slots.taken("bob"):
        pass


async def test_clients_that_vanish_leave_no_file_and_no_place_taken(
    nats: Any, jetstream: Any, database_url: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = UploadSlots(total=5, per_owner=5)
    monkeypatch.setattr(image_uploads, "_slots", slots)
    async with served_gateway(nats.url, database_url, tmp_path) as served:
        url, key = served.client.base_url, served.client.headers["authorization"]
        head = f"POST /v1/images HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: 900000\r\n"
        head += f"Content-Type: {FORM['content-type']}\r\n\r\n"
        writers = [(await asyncio.open_connection(url.host, url.port))[1] for _ in range(5)]
        for writer in writers:
            writer.write(head.encode() + HEAD + bytes(1000))
        await poll_until(lambda: len(list(temporary.rglob("1"))) == 5)
        for writer in writers:
            writer.transport.abort()
        await poll_until(lambda: not list(temporary.iterdir()))
        content = HEAD + jpeg_bytes(scene((600, 600), 1)) + b"\r\n--b--\r\n"
        assert (await served.client.post("/v1/images", content=content, headers=FORM)).status_code == 201


async def test_a_json_body_that_is_too_large_is_refused_before_it_is_read(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65536
        raise AssertionError("the body was read to its end")

    json_type = {"content-type": "application/json"}
    for path in ("/v1/trainings", "/v1/generations", "/v1/webhooks/replicate"):
        declared = await client.post(path, content=b"{}", headers=json_type | {"content-length": str(2**40)})
        assert declared.status_code in (404, 413)
    for path in ("/v1/trainings", "/v1/generations"):
        assert (await client.post(path, content=endless(), headers=json_type)).status_code == 413


HOSTILE_NAMES = [
    'a";\r\nSet-Cookie: owned=1\r\n\r\n<html>.jpg',
    "a\nlevel=error msg=forged\x1b[2J\x1b]0;owned\x07.jpg",
    "a\u2028b\u2029c\u0085d.jpg",
    "\u202egpj.exe",
    "%0d%0aSet-Cookie: owned=1.jpg",
    "<script>alert(1)</script>.jpg",
    "{{7*7}}${jndi:ldap://x}.jpg",
    "a" * 2000,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
async def test_a_hostile_name_is_one_harmless_line_everywhere(
    client: httpx.AsyncClient, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    photo = jpeg_bytes(scene((600, 600), len(name)))
    answer = await client.post("/v1/images", files=[("files", (name, photo)), ("files", (name, b"no image"))])
    verdicts = answer.json()
    [shown] = [image["filename"] for image in verdicts["accepted"]]
    assert shown == verdicts["rejected"][0]["filename"] == display_name(shown)
    assert shown.isprintable()
    content = await client.get(f"/v1/images/{verdicts['accepted'][0]['id']}/content")
    assert "set-cookie" not in content.headers
    assert all(value.isprintable() for value in content.headers.values())
    logged = [record.getMessage() for record in caplog.records] + capfd.readouterr().err.splitlines()
    assert not any("\x1b" in line or line.startswith("level=error msg=forged") for line in logged)
    assert json.loads(json.dumps(shown)) == shown


async def test_a_field_name_with_line_breaks_stays_inside_its_json_string(client: httpx.AsyncClient) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="a%0d%0aX: y\x1b[31m"\r\n\r\nx\r\n--b--\r\n'
    answer = await client.post("/v1/images", content=body, headers=FORM)
    assert answer.status_code in (400, 422)
    assert b"\x1b" not in answer.content
    assert answer.headers["content-type"] == PROBLEM_JSON
