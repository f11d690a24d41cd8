"""A trained model's tar, composed while it is read: nothing but the shared tensor bytes lies on disk."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 512
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One file of the tar: some bytes, followed by the content of a file when there is one."""

    path: str
    head: bytes
    rest: Path | None = None

    @property
    def size(self) -> int:
        """Length of the content in bytes."""
        return len(self.head) + (self.rest.stat().st_size if self.rest else 0)

    def chunks(self) -> Iterator[bytes]:
        """The content from first to last byte."""
        yield self.head
        if self.rest is not None:
            with self.rest.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk


def size(members: list[Member]) -> int:
    """Length of the whole tar in bytes."""
    return sum(len(_header(member)) + member.size + -member.size % _BLOCK for member in members) + 2 * _BLOCK


def chunks(members: list[Member], modified: int) -> Iterator[bytes]:
    """The tar from its first to its last byte; `modified` is the files' time in Unix seconds."""
    for member in members:
        yield _header(member, modified)
        yield from member.chunks()
        yield bytes(-member.size % _BLOCK)
    yield bytes(2 * _BLOCK)


def _header(member: Member, modified: int = 0) -> bytes:
    info = tarfile.TarInfo(member.path)
    info.size, info.mtime, info.mode = member.size, modified, 0o644
    return info.tobuf(tarfile.GNU_FORMAT)
