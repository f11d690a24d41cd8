"""Signed links of the local folder: whoever has one gets the file, in parts too; nobody else gets anything."""

import httpx
import pytest

from fluxline.storage.local import LocalStorage
from fluxline_gateway.errors import PROBLEM_JSON
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
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */2048"


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


async def test_a_link_does_not_allow_writing(anonymous: httpx.AsyncClient, storage: LocalStorage) -> None:
    put = storage.signed_url(KEY, method="PUT", expires_s=60)
    assert (await anonymous.get(put)).status_code == 403
    assert (await anonymous.put(put, content=b"x")).status_code == 405


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
