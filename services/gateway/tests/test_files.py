"""Signed links of the local folder: whoever has one gets the file, in parts too; nobody else gets anything."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fluxline.runtime.telemetry import make_tracer_provider
from fluxline.storage.local import LocalStorage
from fluxline_gateway import files
from fluxline_gateway.api import make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.errors import PROBLEM_JSON
from fluxline_gateway.images import uploads
from fluxline_gateway.images.uploads import UploadSlots
from fluxline_gateway.streaming import byte_range, matches

URL = "http://gateway.test"
CONTENT = bytes(range(256)) * 8
KEY = "zips/ada/archive.zip"


@pytest.fixture
async def link(storage: LocalStorage) -> str:
    await storage.put(KEY, CONTENT, content_type="application/zip")
    return storage.signed_url(KEY, expires_s=60)


async def test_a_link_serves_the_file_without_an_api_key(anonymous: httpx.AsyncClient, link: str) -> None:
    answer = await anonymous.get(link)
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_head_tells_the_size_and_sends_nothing(anonymous: httpx.AsyncClient, link: str) -> None:
    answer = await anonymous.head(link)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("range_", "expected", "content_range"),
    [
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/2048"),
        ("bytes=2000-", CONTENT[2000:], "bytes 2000-2047/2048"),
        ("bytes=-5", CONTENT[-5:], "bytes 2043-2047/2048"),
        ("bytes=2040-9999", CONTENT[2040:], "bytes 2040-2047/2048"),
    ],
)
async def test_a_range_is_served_as_a_part(
    anonymous: httpx.AsyncClient, link: str, range_: str, expected: bytes, content_range: str
) -> None:
    answer = await anonymous.get(link, headers={"Range": range_})
    assert answer.status_code == 206
    assert answer.content == expected
    assert answer.headers["content-range"] == content_range
    assert answer.headers["content-length"] == str(len(expected))


async def test_a_range_past_the_end_is_refused(anonymous: httpx.AsyncClient, link: str) -> None:
    answer = await anonymous.get(link, headers={"Range": "bytes=2048-"})
    assert (answer.status_code, answer.headers["content-type"]) == (416, PROBLEM_JSON)
    assert answer.headers["content-range"] == "bytes */2048"
    assert (answer.json()["title"], answer.json()["category"]) == ("Range not satisfiable", "validation")
    assert "2048" in answer.json()["hint"]
    assert "cache-control" not in answer.headers or "immutable" not in answer.headers["cache-control"]


async def test_a_range_of_another_version_becomes_the_whole(anonymous: httpx.AsyncClient, link: str) -> None:
    etag = (await anonymous.head(link)).headers["etag"]
    same = await anonymous.get(link, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = await anonymous.get(link, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)
    assert (await anonymous.get(link, headers={"If-None-Match": etag})).status_code == 304


async def test_a_file_is_saved_under_the_name_in_its_link(anonymous: httpx.AsyncClient, storage: LocalStorage) -> None:
    await storage.put(KEY, CONTENT, content_type="application/zip")
    answer = await anonymous.get(storage.signed_url(KEY, expires_s=60, filename='a "b" ü.zip'))
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "filename*=UTF-8''a%20%22b%22%20%C3%BC.zip" in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    "change",
    [
        ("expires=", "expires=9"),
        ("signature=", "signature=0"),
        ("archive.zip", "archive2.zip"),
        ("method=GET", "method=PUT"),
        ("?", "?filename=x&"),
    ],
)
async def test_a_changed_link_is_refused(anonymous: httpx.AsyncClient, link: str, change: tuple[str, str]) -> None:
    answer = await anonymous.get(link.replace(*change, 1))
    if change[0] == "method=GET":  # what is signed is the method that is used
        assert answer.status_code == 200
        return
    assert answer.status_code == 403
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.json()["category"] == "authentication"


async def test_an_expired_link_is_refused_with_a_hint(anonymous: httpx.AsyncClient, storage: LocalStorage) -> None:
    await storage.put(KEY, CONTENT, content_type="application/zip")
    old = storage._signer.link(KEY, "GET", 1, None)
    answer = await anonymous.get(old)
    assert answer.status_code == 403
    assert "fresh link" in answer.json()["hint"]


async def test_a_link_for_reading_does_not_allow_writing_nor_the_other_way(
    anonymous: httpx.AsyncClient, storage: LocalStorage, link: str
) -> None:
    put = storage.signed_url(KEY, method="PUT", expires_s=60, size_bytes=1)
    assert (await anonymous.get(put)).status_code == 403
    for written in (link, link + "&size=1", link.replace("method=GET", "method=PUT")):
        assert (await anonymous.put(written, content=b"x")).status_code == 403
    assert (await anonymous.get(link)).content == CONTENT


@pytest.mark.parametrize("path", ["../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "", ".incoming/x", "a//b", "a\0b"])
async def test_a_path_that_is_no_key_is_refused(anonymous: httpx.AsyncClient, path: str) -> None:
    answer = await anonymous.get(httpx.URL(URL, raw_path=f"/storage/{path}?signature=0".replace("\0", "%00").encode()))
    assert answer.status_code in (403, 404)


async def test_a_good_link_to_nothing_is_404(anonymous: httpx.AsyncClient, storage: LocalStorage) -> None:
    assert (await anonymous.get(storage.signed_url("zips/none.zip", expires_s=60))).status_code == 404


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=", "bytes=-", "bytes=a-b", "é"])
def test_what_is_not_one_range_is_answered_with_everything(header: str) -> None:
    assert byte_range(header, 100) == (0, 100)


def test_an_empty_file_has_no_range() -> None:
    assert byte_range("bytes=0-0", 0) is None
    assert byte_range("bytes=-1", 0) is None
    assert byte_range(None, 0) == (0, 0)


def test_if_none_match_knows_lists_weak_tags_and_the_star() -> None:
    assert matches('"a", W/"b"', "b")
    assert matches("*", "b")
    assert not matches('"a"', "b")
    assert not matches(None, "b")


def sent(parts: int, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """A body that is made while it is sent."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(parts):
            yield b"x" * size

    return chunks()


async def test_a_link_takes_its_file_again_and_again(anonymous: httpx.AsyncClient, storage: LocalStorage) -> None:
    put = storage.signed_url("incoming/ada/u/1", method="PUT", expires_s=60, size_bytes=5)
    for content in (b"first", b"again"):
        answer = await anonymous.put(put, content=content, headers={"Content-Type": "image/jpeg"})
        assert (answer.status_code, answer.content) == (200, b"")
        assert await storage.read("incoming/ada/u/1", max_bytes=5) == content


@pytest.mark.parametrize(("content", "status"), [(b"", 400), (b"1234", 400), (b"123456", 413), (b"x" * 5000, 413)])
async def test_a_file_of_another_size_is_refused_with_what_to_do(
    anonymous: httpx.AsyncClient, storage: LocalStorage, content: bytes, status: int
) -> None:
    put = storage.signed_url("incoming/ada/u/1", method="PUT", expires_s=60, size_bytes=5)
    answer = await anonymous.put(put, content=content)
    assert (answer.status_code, answer.json()["title"]) == (status, "Not the announced size")
    assert "5 bytes" in answer.json()["detail"]
    assert "signature" not in answer.text
    assert await storage.stat("incoming/ada/u/1") is None


@pytest.mark.parametrize(("parts", "status"), [(1, 400), (3, 413)])
async def test_a_body_that_is_not_as_long_as_it_says_is_not_stored(
    anonymous: httpx.AsyncClient, storage: LocalStorage, parts: int, status: int
) -> None:
    put = storage.signed_url("incoming/ada/u/1", method="PUT", expires_s=60, size_bytes=2 << 16)
    answer = await anonymous.put(put, content=sent(parts), headers={"Content-Length": str(2 << 16)})
    assert answer.status_code == status
    assert [item async for item in storage.list("")] == []


async def test_a_body_of_unknown_length_is_refused(anonymous: httpx.AsyncClient, storage: LocalStorage) -> None:
    put = storage.signed_url("incoming/ada/u/1", method="PUT", expires_s=60, size_bytes=1 << 16)
    answer = await anonymous.put(put, content=sent(1))
    assert answer.status_code == 411
    assert "Content-Length: 65536" in answer.json()["hint"]


async def test_a_large_file_takes_no_memory(anonymous: httpx.AsyncClient, storage: LocalStorage) -> None:
    size = 400 << 16
    put = storage.signed_url("incoming/ada/u/1", method="PUT", expires_s=60, size_bytes=size)
    tracemalloc.start()
    try:
        answer = await anonymous.put(put, content=sent(400), headers={"Content-Length": str(size)})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 200
    assert peak < 4 << 20
    stored = await storage.stat("incoming/ada/u/1")
    assert stored is not None
    assert stored.size_bytes == size


async def test_a_file_that_crawls_in_is_ended(
    anonymous: httpx.AsyncClient, storage: LocalStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SLOW_START_S", 0.2)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b"x"

    put = storage.signed_url("incoming/ada/u/1", method="PUT", expires_s=60, size_bytes=1 << 20)
    answer = await anonymous.put(put, content=drip(), headers={"Content-Length": str(1 << 20)})
    assert answer.status_code == 408
    assert [path for path in (tmp_path / "storage").rglob("*") if path.is_file()] == []


async def test_files_beyond_an_owners_places_are_told_to_come_back(
    anonymous: httpx.AsyncClient, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_slots", UploadSlots(total=2, per_owner=1))
    links = [
        storage.signed_url(f"incoming/{key}", method="PUT", expires_s=60, size_bytes=1 << 16)
        for key in ("ada/u/1", "ada/v/1", "bob/w/1", "eve/x/1")
    ]
    started, go_on = asyncio.Event(), asyncio.Event()

    async def waits() -> AsyncIterator[bytes]:
        started.set()
        await go_on.wait()
        yield b"x" * (1 << 16)

    async def put(link: str) -> httpx.Response:
        started.clear()
        return await anonymous.put(link, content=waits(), headers={"Content-Length": str(1 << 16)})

    first = asyncio.create_task(put(links[0]))
    await started.wait()
    assert (await put(links[1])).status_code == 429
    second = asyncio.create_task(put(links[2]))
    await started.wait()
    refused = await put(links[3])
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    go_on.set()
    assert [answer.status_code for answer in await asyncio.gather(first, second)] == [200, 200]
    assert (await put(links[1])).status_code == 200


async def test_a_browser_of_a_known_frontend_may_send_files(gateway: Gateway, storage: LocalStorage) -> None:
    origin = "https://app.example.com"
    with_cors = replace(gateway, settings=gateway.settings.model_copy(update={"cors_origins": (origin,)}))
    app = make_app(with_cors, routers(storage), probes={}, tracer_provider=make_tracer_provider("gateway", None))
    put = storage.signed_url("incoming/ada/u/1", method="PUT", expires_s=60, size_bytes=1)
    asks = {"Origin": origin, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as browser:
        preflight = await browser.options(put, headers=asks)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        sent_ = await browser.put(put, content=b"x", headers={"Origin": origin, "Content-Type": "image/jpeg"})
        assert (sent_.status_code, sent_.headers["access-control-allow-origin"]) == (200, origin)
        other = await browser.options(put, headers=asks | {"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers
