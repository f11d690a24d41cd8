"""Files of a multipart upload (RFC 7578), written to disk as they come in: memory does not grow with them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from fastapi import Request
from multipart import (  # type: ignore[import-untyped]  # has annotations, but no py.typed
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.limits import MAX_FILENAME_CHARS, MAX_IMAGE_BYTES, MAX_IMAGES
from fluxline.storage.files import translated
from fluxline_gateway.errors import ApiError, FieldError, InvalidFields

FIELD: Final = "files"
MAX_UPLOAD_FILES: Final = 50
MAX_UPLOAD_BYTES: Final = MAX_IMAGES * MAX_IMAGE_BYTES + 1024 * 1024
IDLE_TIMEOUT_S: Final = 30.0
MIN_BYTES_PER_S: Final = 16 * 1024
SLOW_START_S: Final = 30.0
"""How long an upload may be slower than `MIN_BYTES_PER_S`, all in all."""
DEADLINE_S: Final = 1800.0
MAX_UPLOADS: Final = 16
"""At a time in one process: each may take `MAX_UPLOAD_BYTES` of the disk."""
MAX_UPLOADS_OF_OWNER: Final = 12
_SPLIT_HINT = "Send the images in several uploads: the limits are at GET /v1/limits."


@dataclass(frozen=True)
class IncomingFile:
    """A file as it was sent; `filename` is what the client calls it: to be shown, never to be used.

    Of a file larger than an image may be, `path` has the size but not the content: the end of it is a hole.
    """

    filename: str
    path: Path


class UploadSlots:
    """Bounds how many uploads one process takes at a time, and one owner's share of them."""

    def __init__(self, total: int = MAX_UPLOADS, per_owner: int = MAX_UPLOADS_OF_OWNER) -> None:
        self.total, self.per_owner = total, per_owner
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, owner: str) -> Iterator[None]:
        """Hold one; raises ApiError 429 when the owner holds as many as one may, 503 when all are taken."""
        if self._taken[owner] >= self.per_owner:
            raise _busy(429, ErrorCategory.RATE_LIMIT, f"At most {self.per_owner} of your uploads run at a time.")
        if self._taken.total() >= self.total:
            raise _busy(503, ErrorCategory.SERVICE_ERROR, f"All {self.total} places for uploads are taken.")
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            self._taken += Counter()  # forgets who holds none


async def receive_files(request: Request, folder: Path) -> AsyncGenerator[IncomingFile, None]:
    """Each file of the field `files`, once it lies complete in `folder`.

    Raises ApiError for an upload that is malformed (400), stalls or crawls (408), is too large (413), of another
    content type (415) or has other fields (422); a StorageError when the disk fails.
    """
    receiver = _Receiver(_boundary(request), folder)
    try:
        async for chunk in limited_body(request, MAX_UPLOAD_BYTES):
            for file in receiver.feed(chunk):
                yield file
    finally:
        receiver.close()
    if receiver.count == 0:
        raise InvalidFields(FieldError(field=FIELD, message="holds no file; send at least one image"))


class _Receiver:
    """Turns chunks of a body into files of a folder."""

    def __init__(self, boundary: str, folder: Path) -> None:
        self.parser = PushMultipartParser(boundary, header_charset="latin-1")
        self.folder = folder
        self.count = 0
        self._name, self._size = "", 0
        self._file: BinaryIO | None = None

    def feed(self, chunk: bytes) -> list[IncomingFile]:
        """The files that are complete with this chunk; an empty chunk is the end of the body."""
        complete = []
        try:
            with translated():
                for event in self.parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        self._begin(event)
                    elif event is None:
                        complete.append(self._finish())
                    else:
                        self._write(event)
        except MultipartError as error:
            raise _malformed(str(error)) from error
        return complete

    def close(self) -> None:
        """Let go of a file that did not come to its end."""
        if self._file:
            self._file.close()

    def _begin(self, segment: MultipartSegment) -> None:
        if segment.name != FIELD:
            raise InvalidFields(FieldError(field=_text(segment.name), message=f"is not known; the field is {FIELD!r}"))
        self.count += 1
        if self.count > MAX_UPLOAD_FILES:
            raise _too_large(f"An upload has at most {MAX_UPLOAD_FILES} files.")
        self._name, self._size = display_name(_text(segment.filename)), 0
        self._file = (self.folder / str(self.count)).open("xb", buffering=0)

    def _write(self, chunk: bytes | bytearray) -> None:
        if self._file and self._size <= MAX_IMAGE_BYTES:
            self._file.write(chunk)
        self._size += len(chunk)

    def _finish(self) -> IncomingFile:
        if self._file:
            self._file.truncate(self._size)
            self._file.close()
        return IncomingFile(self._name, self.folder / str(self.count))


def display_name(filename: str) -> str:
    """A client's file name as one line of at most 255 visible characters."""
    visible = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in filename)
    return " ".join(visible.split())[:MAX_FILENAME_CHARS] or "unnamed"


def _text(header: str | None) -> str:
    """What a header says in UTF-8, as RFC 7578 wants it; what is not UTF-8 is shown as replacement characters."""
    return (header or "").encode("latin-1", "replace").decode("utf-8", "replace")


def _boundary(request: Request) -> str:
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    if content_type != "multipart/form-data":
        raise ApiError(
            415,
            "Unsupported media type",
            category=ErrorCategory.VALIDATION,
            hint=f"Send multipart/form-data with the images in the field {FIELD!r}.",
        )
    boundary: str = options.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii() or not boundary.isprintable():  # RFC 2046, 5.1.1
        raise _malformed("The content type names no valid boundary")
    return boundary


async def limited_body(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body's chunks, and an empty one at its end.

    Raises ApiError for a body that stalls or crawls (408) or has more than `max_bytes` (413).
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_much(max_bytes)
    chunks, clock = request.stream(), asyncio.get_running_loop().time
    started, received, chunk = clock(), 0, b"first"
    while chunk:
        slow_until = started + SLOW_START_S + received / MIN_BYTES_PER_S
        try:
            async with asyncio.timeout_at(min(clock() + IDLE_TIMEOUT_S, slow_until, started + DEADLINE_S)):
                chunk = await anext(chunks)
        except TimeoutError as error:
            raise _stalled(received, clock() - started) from error
        received += len(chunk)
        if received > max_bytes:
            raise _too_much(max_bytes)
        yield chunk


def _too_much(max_bytes: int) -> ApiError:
    return _too_large(f"An upload has at most {max_bytes / 2**20:.0f} MB.")


def _malformed(detail: str) -> ApiError:
    return ApiError(
        400,
        "Malformed upload",
        category=ErrorCategory.VALIDATION,
        hint="Let an HTTP library write the multipart body, and send it to its end.",
        detail=detail,
    )


def _stalled(received: int, elapsed_s: float) -> ApiError:
    return ApiError(
        408,
        "Upload stalled",
        category=ErrorCategory.TIMEOUT,
        hint="Send it again, on a steadier connection or in smaller uploads; what was accepted before is kept.",
        detail=f"Only {received} bytes came in within {elapsed_s:.0f} seconds.",
    )


def _busy(status: int, category: ErrorCategory, detail: str) -> ApiError:
    return ApiError(
        status,
        "Too many uploads at once",
        category=category,
        hint="Send it again in a moment.",
        detail=detail,
        headers={"Retry-After": "5"},
    )


def _too_large(detail: str) -> ApiError:
    return ApiError(413, "Upload too large", category=ErrorCategory.VALIDATION, hint=_SPLIT_HINT, detail=detail)
