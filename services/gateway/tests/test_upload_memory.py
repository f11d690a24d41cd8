"""The largest upload there may be, to a gateway process of its own: what it costs in memory."""

import re
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from nats.js import JetStreamContext
from PIL import Image

from fluxline.contracts.limits import MAX_IMAGE_BYTES, MAX_IMAGES
from polling import poll_until
from servers import NatsServer

from .test_app import START_TIMEOUT_S, new_key, running_gateway, status_of

MAX_GROWTH_BYTES = 64 * 2**20
MAX_BYTES_OF_DECODER = 256 * 2**20
COMMENT = b"\xff\xfe\x00\x06%04d"
FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def large_photo() -> bytes:
    """A JPEG of 17 megapixels that nothing could be saved on: more than 24 MiB."""
    noise = np.random.default_rng(1).integers(0, 256, (3400, 5120, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=97)
    assert 0.9 * MAX_IMAGE_BYTES < buffer.tell() < MAX_IMAGE_BYTES - len(COMMENT % 0)
    return buffer.getvalue()


def form(photo: bytes, count: int) -> tuple[AsyncIterator[bytes], int]:
    """The body of an upload of photos that differ in a comment, and its length."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%d.jpg"\r\n\r\n'
    parts = [(head % n + photo[:2] + COMMENT % n, photo[2:], b"\r\n") for n in range(count)]

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            for piece in part:
                yield piece
        yield b"--b--\r\n"

    return body(), sum(len(piece) for part in parts for piece in part) + len(b"--b--\r\n")


async def uploaded(client: httpx.AsyncClient, photo: bytes, count: int) -> list[str]:
    """The distinct ids of the images that were accepted."""
    content, length = form(photo, count)
    answer = await client.post("/v1/images", content=content, headers=FORM | {"content-length": str(length)})
    assert answer.status_code == 201, answer.text
    assert answer.json()["rejected"] == []
    return sorted({image["id"] for image in answer.json()["accepted"]})


def memory_bytes(pid: int, what: str) -> int:
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


@pytest.mark.timeout(180)
async def test_twenty_of_the_largest_photos_raise_the_gateway_by_less_than_64_mib(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path, large_photo: bytes
) -> None:
    with running_gateway(nats, database_url, tmp_path) as (process, url):
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=120) as client:

            async def ready() -> bool:
                return await status_of(client, "/readyz") == 200

            await poll_until(ready, START_TIMEOUT_S)
            client.headers["Authorization"] = f"Bearer {await new_key(database_url)}"
            before = memory_bytes(process.pid, "VmRSS")
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak starts anew (proc(5))
            assert len(await uploaded(client, large_photo, MAX_IMAGES)) == MAX_IMAGES
            growth = memory_bytes(process.pid, "VmHWM") - before
            decoders = [memory_bytes(child, "VmHWM") for child in children(process.pid)]
    print(f"the gateway grew by {growth / 2**20:.1f} MiB, decoders took {[size >> 20 for size in decoders]} MiB")
    assert growth < MAX_GROWTH_BYTES
    assert 1 <= len(decoders) <= 2
    assert max(decoders) < MAX_BYTES_OF_DECODER
