"""What a trainer does with `input_images`: fetch the ZIP, open it, decode every image, read the captions."""

import asyncio
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

import httpx
from PIL import Image, UnidentifiedImageError

from fluxline_sandbox.store import Document

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"})
_MAX_FILES = 5_000
_MAX_CAPTION_BYTES = 100_000
_FETCH_SECONDS = 300.0
RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)


class DatasetError(Exception):
    """The training images cannot be used; the message is what the training fails with."""


async def fetch(http: httpx.AsyncClient, url: str, max_bytes: int, into: IO[bytes]) -> None:
    """Download `url`, at most `max_bytes`; raises DatasetError for any answer that is not the whole file.

    A connection that breaks is tried again a few times, as a provider's downloader does.
    """
    for wait_s in (*RETRY_WAITS_S, None):
        try:
            await _fetch_once(http, url, max_bytes, into)
            return
        except httpx.HTTPStatusError as error:
            raise DatasetError(f"HTTP Error {error.response.status_code}: {error.response.reason_phrase}") from error
        except (httpx.HTTPError, httpx.InvalidURL, AttributeError) as error:
            # anyio: AttributeError is what a server that dies between connecting and asking may surface as
            if wait_s is None or not isinstance(error, httpx.TransportError | AttributeError):
                raise DatasetError(f"<urlopen error {error or type(error).__name__}>") from error
            await asyncio.sleep(wait_s)


async def _fetch_once(http: httpx.AsyncClient, url: str, max_bytes: int, into: IO[bytes]) -> None:
    into.seek(0)
    into.truncate()
    async with http.stream("GET", url, timeout=httpx.Timeout(_FETCH_SECONDS, connect=5)) as answer:
        answer.raise_for_status()
        size = 0
        async for chunk in answer.aiter_bytes(1 << 20):
            size += len(chunk)
            if size > max_bytes:
                raise DatasetError(f"input_images is larger than {max_bytes} bytes")
            into.write(chunk)


def spool() -> IO[bytes]:
    """A temporary file that stays in memory while it is small."""
    return tempfile.SpooledTemporaryFile(max_size=8 << 20)


def inspect(archive: IO[bytes]) -> Document:
    """`{"images": [name], "captions": {txt name: text}}` of a ZIP whose images all decode.

    Skips `__MACOSX/` and `._*`, as the trainer does; every other file with an image suffix must be an image.
    Raises DatasetError in the trainer's words.
    """
    if not zipfile.is_zipfile(archive):
        raise DatasetError("input_images must be a zip file")
    images: list[str] = []
    captions: dict[str, str] = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in _entries(opened):
                name = PurePosixPath(entry.filename)
                if name.suffix.lower() in _IMAGES:
                    _decode(opened, entry)
                    images.append(str(name))
                elif name.suffix.lower() == ".txt":
                    captions[name.name] = _caption(opened, entry)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise DatasetError(f"input_images must be a zip file: {error}") from error
    if not images:
        raise DatasetError("No images found in input_images. Supported: png, jpg, jpeg, bmp, gif, webp")
    return {"images": images, "captions": captions}


def _entries(opened: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = [
        entry
        for entry in opened.infolist()
        if not entry.is_dir()
        and not entry.filename.startswith("__MACOSX/")
        and not PurePosixPath(entry.filename).name.startswith("._")
    ]
    if len(entries) > _MAX_FILES:
        raise DatasetError(f"input_images holds more than {_MAX_FILES} files")
    return entries


def _decode(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Decode one image completely: a truncated one must not pass."""
    name = f"input_images/{entry.filename}"
    try:
        with opened.open(entry) as file, Image.open(file) as image:
            image.load()
    except UnidentifiedImageError as error:
        raise DatasetError(f"cannot identify image file '{name}'") from error
    except Exception as error:  # a decoder fed with a hostile file raises anything
        raise DatasetError(f"{error} ('{name}')") from error


def _caption(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    with opened.open(entry) as file:
        return file.read(_MAX_CAPTION_BYTES).decode("utf-8", errors="replace")


def caption_name(image: str) -> str:
    """The caption file that belongs to an image: same stem, `.txt`."""
    return Path(image).stem + ".txt"
