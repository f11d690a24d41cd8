"""One contract for every storage: the local folder and S3 (SeaweedFS) behave the same."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from fluxline.contracts.errors import ErrorCategory
from fluxline.storage import (
    InvalidKey,
    ObjectMissing,
    ObjectTooLarge,
    SignatureExpired,
    SignatureInvalid,
    SizeMismatch,
    Storage,
    StoredObject,
)
from fluxline.storage.local import LocalStorage
from fluxline.storage.s3 import S3Storage
from fluxline.storage.signing import content_disposition
from polling import poll_until
from servers import SeaweedServer

MIB = 1 << 20
PUBLIC_URL = "http://gateway.test"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s3(seaweed: SeaweedServer) -> AsyncIterator[S3Storage]:
    storage = S3Storage(
        endpoint=seaweed.endpoint,
        bucket=seaweed.bucket,
        access_key_id=seaweed.access_key,
        secret_access_key=seaweed.secret_key,
    )
    yield storage
    await storage.close()


@pytest_asyncio.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalStorage]:
    storage = LocalStorage(tmp_path / "storage", PUBLIC_URL, b"s" * 32)
    yield storage
    await storage.close()


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest) -> Storage:
    made: Storage = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def folder() -> str:
    return f"tests/{uuid4().hex}"


@pytest.fixture
async def outsider(storage: Storage) -> AsyncIterator[httpx.AsyncClient]:
    """Someone who has nothing but a link."""
    transport = httpx.ASGITransport(serve(storage)) if isinstance(storage, LocalStorage) else None
    async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=10) as client:
        yield client


def serve(storage: LocalStorage) -> Callable[..., Awaitable[None]]:
    """The least that a gateway does with a link of the local folder."""

    async def app(scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]) -> None:
        key, params = scope["path"].removeprefix("/storage/"), dict(parse_qsl(scope["query_string"].decode()))
        headers, body, status = {}, b"", 200
        try:
            storage.verify_signature(key, scope["method"], params, datetime.now(UTC).timestamp())
            if scope["method"] == "PUT":
                await storage.receive(key, chunks_of(receive), size_bytes=int(params["size"]))
            else:
                body = await storage.read(key, max_bytes=16 * MIB)
        except (SignatureInvalid, SignatureExpired, InvalidKey):
            status = 403
        except SizeMismatch:
            status = 400
        except ObjectMissing:
            status = 404
        if "filename" in params:
            headers["content-disposition"] = content_disposition(params["filename"])
        raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw_headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def chunks_of(receive: Callable[[], Awaitable[Any]]) -> AsyncIterator[bytes]:
    """An ASGI request's body."""
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def put(storage: Storage, key: str, content: bytes) -> StoredObject:
    return await storage.put(key, content, content_type="application/octet-stream")


async def collect(chunks: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in chunks]


class TestStorage:
    async def test_bytes_come_back_as_they_were_stored(self, storage: Storage, folder: str) -> None:
        content = "läuft 🦊 \x00\r\n".encode()
        stored = await put(storage, f"{folder}/note.txt", content)
        assert stored.key == f"{folder}/note.txt"
        assert stored.size_bytes == len(content)
        assert abs(datetime.now(UTC) - stored.last_modified) < timedelta(minutes=1)
        assert await storage.read(f"{folder}/note.txt", max_bytes=100) == content

    async def test_an_empty_object_is_an_object(self, storage: Storage, folder: str, tmp_path: Path) -> None:
        key = f"{folder}/empty"
        assert (await put(storage, key, b"")).size_bytes == 0
        assert await storage.read(key, max_bytes=0) == b""
        assert await collect(storage.stream(key)) == []
        assert await collect(storage.stream(key, offset=0, length=5)) == []
        assert (await storage.get(key, tmp_path / "out")).size_bytes == 0
        assert (tmp_path / "out").read_bytes() == b""

    @pytest.mark.parametrize("size", [8 * MIB, 33 * MIB + 7])
    async def test_a_large_file_makes_the_round_trip(
        self, storage: Storage, folder: str, tmp_path: Path, size: int
    ) -> None:
        source, target = tmp_path / "in.bin", tmp_path / "out.bin"
        source.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
        stored = await storage.put(f"{folder}/big.bin", source, content_type="application/octet-stream")
        assert stored.size_bytes == size
        assert (await storage.get(f"{folder}/big.bin", target)).size_bytes == size
        assert target.read_bytes() == source.read_bytes()
        assert {path.name for path in tmp_path.iterdir()} <= {"in.bin", "out.bin", "storage"}
        await storage.delete(f"{folder}/big.bin")

    async def test_putting_again_replaces_the_object(self, storage: Storage, folder: str) -> None:
        await put(storage, f"{folder}/a", b"first and longer")
        await put(storage, f"{folder}/a", b"second")
        assert await storage.read(f"{folder}/a", max_bytes=100) == b"second"
        assert [item.size_bytes async for item in storage.list(folder)] == [6]

    async def test_readers_see_the_old_or_the_new_object_and_never_a_part(self, storage: Storage, folder: str) -> None:
        contents = {bytes([65 + i]) * MIB for i in range(4)}
        await put(storage, f"{folder}/a", b"A" * MIB)
        writers = asyncio.gather(*(put(storage, f"{folder}/a", content) for content in contents))
        seen = {await storage.read(f"{folder}/a", max_bytes=MIB) for _ in range(8)}
        await writers
        assert seen <= contents

    async def test_a_source_that_is_not_there_is_the_callers_mistake(
        self, storage: Storage, folder: str, tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            await storage.put(f"{folder}/a", tmp_path / "nothing", content_type="text/plain")
        assert await storage.stat(f"{folder}/a") is None

    async def test_stat_says_what_put_said(self, storage: Storage, folder: str) -> None:
        stored = await put(storage, f"{folder}/a", b"12345")
        assert await storage.stat(f"{folder}/a") == stored
        assert await storage.stat(f"{folder}/b") is None
        assert await storage.stat(folder) is None
        assert await storage.stat(f"{folder}/a/b") is None

    async def test_deleting_is_idempotent_and_leaves_the_neighbours(self, storage: Storage, folder: str) -> None:
        await put(storage, f"{folder}/x/a", b"1")
        await put(storage, f"{folder}/x/ab", b"2")
        await storage.delete(f"{folder}/x/a")
        await storage.delete(f"{folder}/x/a")
        assert [item.key async for item in storage.list(folder)] == [f"{folder}/x/ab"]
        await storage.delete(f"{folder}/x/ab")
        await put(storage, f"{folder}/x", b"a file where a folder was")

    async def test_a_missing_object_is_reported_as_a_file_error(
        self, storage: Storage, folder: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ObjectMissing) as raised:
            await storage.get(f"{folder}/none", tmp_path / "out")
        assert raised.value.category is ErrorCategory.FILE_ERROR
        assert raised.value.context["key"] == f"{folder}/none"
        assert not (tmp_path / "out").exists()
        with pytest.raises(ObjectMissing):
            await storage.read(f"{folder}/none", max_bytes=10)
        for length in (None, 0, 1):
            with pytest.raises(ObjectMissing):
                await collect(storage.stream(f"{folder}/none", length=length))

    async def test_reading_more_than_allowed_is_refused(self, storage: Storage, folder: str) -> None:
        await put(storage, f"{folder}/a", b"12345")
        assert await storage.read(f"{folder}/a", max_bytes=5) == b"12345"
        with pytest.raises(ObjectTooLarge) as raised:
            await storage.read(f"{folder}/a", max_bytes=4)
        assert raised.value.context["size_bytes"] == 5

    async def test_listing_is_by_prefix(self, storage: Storage, folder: str) -> None:
        names = ["a", "b-c", "b/1", "b/2/3", "b0", "bb/1", "c"]
        for name in reversed(names):
            await put(storage, f"{folder}/{name}", name.encode())

        async def listed(prefix: str) -> list[str]:
            return sorted([item.key.removeprefix(f"{folder}/") async for item in storage.list(prefix)])

        assert await listed(folder) == await listed(f"{folder}/") == names
        assert await listed(f"{folder}/b") == ["b-c", "b/1", "b/2/3", "b0", "bb/1"]
        assert await listed(f"{folder}/b/") == ["b/1", "b/2/3"]
        assert await listed(f"{folder}/nothing") == []
        found = [item async for item in storage.list(f"{folder}/b/1")]
        assert [(item.size_bytes, item.last_modified.tzinfo is not None) for item in found] == [(3, True)]

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (3, 4, b"3456"),
            (8, 100, b"89"),
            (10, None, b""),
            (99, 1, b""),
            (2, 0, b""),
        ],
    )
    async def test_a_range_is_streamed(
        self, storage: Storage, folder: str, offset: int, length: int | None, expected: bytes
    ) -> None:
        await put(storage, f"{folder}/a", b"0123456789")
        chunks = await collect(storage.stream(f"{folder}/a", offset=offset, length=length, chunk_bytes=4))
        assert b"".join(chunks) == expected
        assert all(0 < len(chunk) <= 4 for chunk in chunks)

    async def test_a_range_of_negative_numbers_is_refused(self, storage: Storage, folder: str) -> None:
        for wrong in ({"offset": -1}, {"length": -1}, {"chunk_bytes": 0}):
            with pytest.raises(ValueError, match="no such range"):
                await collect(storage.stream(f"{folder}/a", **wrong))

    async def test_a_stream_can_be_left_before_its_end(self, storage: Storage, folder: str) -> None:
        await put(storage, f"{folder}/a", b"x" * 4 * MIB)
        for _ in range(12):
            chunks = storage.stream(f"{folder}/a", chunk_bytes=1000)
            assert len(await anext(chunks)) == 1000
            await chunks.aclose()  # type: ignore[attr-defined]
        assert await storage.stat(f"{folder}/a") is not None

    async def test_many_calls_at_once_all_succeed(self, storage: Storage, folder: str) -> None:
        await asyncio.gather(*(put(storage, f"{folder}/{i}", b"%d" % i) for i in range(40)))
        read = await asyncio.gather(*(storage.read(f"{folder}/{i}", max_bytes=9) for i in range(40)))
        assert read == [b"%d" % i for i in range(40)]

    async def test_a_link_lets_an_outsider_download(
        self, storage: Storage, folder: str, outsider: httpx.AsyncClient
    ) -> None:
        await put(storage, f"{folder}/a.zip", b"zipped")
        answer = await outsider.get(storage.signed_url(f"{folder}/a.zip", expires_s=60, filename='a "b"\r\né🦊.zip'))
        assert (answer.status_code, answer.content) == (200, b"zipped")
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith('attachment; filename="a _b_')
        assert disposition.endswith("filename*=UTF-8''a%20%22b%22%0D%0A%C3%A9%F0%9F%A6%8A.zip")

    async def test_a_link_lets_an_outsider_upload(
        self, storage: Storage, folder: str, outsider: httpx.AsyncClient
    ) -> None:
        link = storage.signed_url(f"{folder}/a", method="PUT", expires_s=60, size_bytes=4)
        for content in (b"sent", b"more"):
            assert (await outsider.put(link, content=content)).status_code == 200
            assert await storage.read(f"{folder}/a", max_bytes=10) == content

    async def test_a_link_takes_a_file_of_its_size_and_no_other(
        self, storage: Storage, folder: str, outsider: httpx.AsyncClient
    ) -> None:
        link = storage.signed_url(f"{folder}/a", method="PUT", expires_s=60, size_bytes=4)
        for content in (b"", b"sen", b"sent and more", b"x" * MIB):
            assert 400 <= (await outsider.put(link, content=content)).status_code < 500
        assert await storage.stat(f"{folder}/a") is None
        assert (await outsider.put(link, content=b"sent", headers={"Content-Type": "image/jpeg"})).status_code == 200

    async def test_a_large_file_is_sent_by_a_link(
        self, storage: Storage, folder: str, outsider: httpx.AsyncClient, tmp_path: Path
    ) -> None:
        content = bytes(range(256)) * 4096 * 24
        link = storage.signed_url(f"{folder}/big", method="PUT", expires_s=60, size_bytes=len(content))
        assert (await outsider.put(link, content=content)).status_code == 200
        await storage.get(f"{folder}/big", tmp_path / "out.bin")
        assert (tmp_path / "out.bin").read_bytes() == content

    async def test_a_link_for_reading_has_no_size_and_one_for_writing_has(self, storage: Storage) -> None:
        for method, size_bytes in (("PUT", None), ("GET", 4), ("PUT", -1)):
            with pytest.raises(ValueError, match="has a size"):
                storage.signed_url("a", method=method, expires_s=60, size_bytes=size_bytes)  # type: ignore[arg-type]

    async def test_a_link_to_nothing_is_answered_as_missing(
        self, storage: Storage, folder: str, outsider: httpx.AsyncClient
    ) -> None:
        assert (await outsider.get(storage.signed_url(f"{folder}/none", expires_s=60))).status_code == 404

    async def test_a_link_allows_one_method_and_one_key(
        self, storage: Storage, folder: str, outsider: httpx.AsyncClient
    ) -> None:
        await put(storage, f"{folder}/a", b"kept")
        await put(storage, f"{folder}/b", b"secret")
        link = storage.signed_url(f"{folder}/a", expires_s=60)
        assert (await outsider.put(link, content=b"overwritten")).status_code == 403
        assert (await outsider.get(link.replace(f"{folder}/a", f"{folder}/b"))).status_code == 403
        assert (await outsider.get(link[:-1] + ("0" if link[-1] != "0" else "1"))).status_code == 403
        assert (await outsider.get(link.partition("?")[0])).status_code == 403
        assert await storage.read(f"{folder}/a", max_bytes=100) == b"kept"

    async def test_a_link_expires(self, storage: Storage, folder: str, outsider: httpx.AsyncClient) -> None:
        await put(storage, f"{folder}/a", b"brief")
        link = storage.signed_url(f"{folder}/a", expires_s=1)

        async def is_refused() -> bool:
            return (await outsider.get(link)).status_code == 403

        await poll_until(is_refused)

    async def test_links_signed_as_of_one_moment_are_the_same_and_count_from_it(
        self, storage: Storage, folder: str, outsider: httpx.AsyncClient
    ) -> None:
        await put(storage, f"{folder}/a", b"lasting")
        asked, then = {"key": f"{folder}/a", "expires_s": 900, "filename": 'a "b"é.zip'}, int(time.time()) - 600
        link = storage.signed_url(**asked, signed_at=then)
        began = int(time.time())
        await poll_until(lambda: int(time.time()) > began)
        assert storage.signed_url(**asked, signed_at=then) == link
        assert (await outsider.get(link)).content == b"lasting"
        assert (await outsider.get(storage.signed_url(**asked, signed_at=then - 600))).status_code == 403

    @pytest.mark.parametrize("expires_s", [0, -1, 7 * 24 * 3600 + 1])
    def test_a_link_lives_a_second_to_a_week(self, storage: Storage, expires_s: int) -> None:
        with pytest.raises(ValueError, match="1 to 604800 seconds"):
            storage.signed_url("a", expires_s=expires_s)

    @pytest.mark.parametrize(
        "key",
        [
            *["", "/", "/etc/passwd", "../secret", "a/../../b", "a/..", "a//b", "a/", "./a", "a/./b", ".incoming/x"],
            *["a\\b", "a b", "a\n", "a\x00b", "é", "a%2e%2e", "a?b", "x" * 256, "a/" * 256 + "b", "-" + "/a" * 256],
        ],
    )
    async def test_a_key_that_is_no_plain_path_is_refused(self, storage: Storage, tmp_path: Path, key: str) -> None:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: storage.put(key, b"x", content_type="text/plain"),
            lambda: storage.get(key, tmp_path / "out"),
            lambda: storage.read(key, max_bytes=1),
            lambda: storage.stat(key),
            lambda: storage.delete(key),
            lambda: collect(storage.stream(key)),
        ]
        for call in calls:
            with pytest.raises(InvalidKey):
                await call()
        with pytest.raises(InvalidKey):
            storage.signed_url(key, expires_s=60)

    async def test_a_listing_cannot_leave_the_storage(self, storage: Storage) -> None:
        for prefix in ("../", "/", "a/../", "..", ".incoming/"):
            with pytest.raises(InvalidKey):
                _ = [item async for item in storage.list(prefix)]

    async def test_a_usable_storage_passes_its_check_and_keeps_nothing_of_it(self, storage: Storage) -> None:
        await storage.check()
        await storage.check()
        assert [item.key async for item in storage.list("checks/")] == []
