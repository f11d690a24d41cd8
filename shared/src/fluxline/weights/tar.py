"""Walking through a tar file by its headers, with a bound on everything that is read.

Format: POSIX pax and ustar (IEEE Std 1003.1, pax), plus GNU long names. Only plain files and folders pass;
`tarfile` itself would hold names and sparse maps of any size in memory.
"""

import re
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from fluxline.weights.errors import ArchiveTooLarge, UnreadableArchive, UnsafeMember

MAX_EXTENSION_BYTES = 64 * 1024
MAX_EXTENSIONS_BYTES = 2 * 1024 * 1024  # of all members together; each has a few dozen bytes
_PAX_LENGTH = re.compile(rb"(\d{1,9}) ")
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)


class Member(NamedTuple):
    """A plain file in the tar: its relative name, and where in the tar its `size` bytes begin."""

    name: PurePosixPath
    offset: int
    size: int


def members(tar: BinaryIO, *, max_members: int, max_total_bytes: int) -> Iterator[Member]:
    """Every plain file of an uncompressed tar, in order.

    Raises UnreadableArchive, UnsafeMember for anything but files and folders with relative names, and
    ArchiveTooLarge when there are more than `max_members` headers or `max_total_bytes` of content.
    """
    end = tar.seek(0, 2)
    position = count = total = extensions = 0
    extended: dict[str, str] = {}
    while block := _header_at(tar, position):
        info = _parsed(block)
        size = _size(info, extended)
        count, total = count + 1, total + size
        if count > max_members or total > max_total_bytes:
            raise ArchiveTooLarge(members=count, total_bytes=total)
        begin = position + tarfile.BLOCKSIZE
        if begin + size > end:
            raise UnreadableArchive("The archive ends in the middle of a file.", size_bytes=end)
        position = begin + size + -size % tarfile.BLOCKSIZE
        if info.type in _EXTENSIONS:
            extensions += size
            if size > MAX_EXTENSION_BYTES or extensions > MAX_EXTENSIONS_BYTES:
                raise ArchiveTooLarge("The archive holds file names of impossible length.", size_bytes=size)
            extended |= _extension(tar, info.type, begin, size)
            continue
        name = _safe_name(extended.get("path") or info.name, info)
        extended = {}
        if info.type in _FILES:
            yield Member(name, begin, size)


def _header_at(tar: BinaryIO, position: int) -> bytes:
    """The next header; empty at the end of the archive, which is a block of zeros or the end of the file."""
    tar.seek(position)
    block = tar.read(tarfile.BLOCKSIZE)
    return block if block.strip(b"\0") else b""


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        raise UnreadableArchive(reason=str(error)) from error


def _size(info: tarfile.TarInfo, extended: dict[str, str]) -> int:
    """Bytes of content: pax overrides the header's own field, which ends at 8 GiB. Folders have none."""
    if info.type == tarfile.DIRTYPE:
        return 0
    try:
        size = info.size if info.type in _EXTENSIONS else int(extended.get("size", info.size))
    except ValueError as error:
        raise UnreadableArchive("The archive states a size that is no number.") from error
    if size < 0:
        raise UnreadableArchive("The archive states a negative size.")
    return size


def _extension(tar: BinaryIO, kind: bytes, begin: int, size: int) -> dict[str, str]:
    """What a pax or GNU header says of the file that follows it: `path`, `size`; the rest does not matter here."""
    tar.seek(begin)
    content = tar.read(size)
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.rstrip(b"\0").decode(errors="surrogateescape")}
    if kind == tarfile.XGLTYPE:
        return {}
    records = _pax_records(content)
    if any(key.startswith("GNU.sparse") for key in records):
        raise UnsafeMember("The archive holds a sparse file.")
    return {key: value for key, value in records.items() if key in ("path", "size")}


def _pax_records(content: bytes) -> dict[str, str]:
    """`<length> <key>=<value>\\n`, where the length counts the whole record."""
    records = {}
    position = 0
    while position < len(content):
        stated = _PAX_LENGTH.match(content, position)
        end = position + int(stated[1]) if stated else 0
        if stated is None or not stated.end() < end <= len(content):
            raise UnreadableArchive("The archive's extended header is malformed.")
        key, _, value = content[stated.end() : end - 1].decode(errors="surrogateescape").partition("=")
        records[key] = value
        position = end
    return records


def _safe_name(raw: str, info: tarfile.TarInfo) -> PurePosixPath:
    """The member's name; raises UnsafeMember unless it is a plain file or folder below the archive's root."""
    name = PurePosixPath(raw)
    shown = ascii(raw)[:200]
    if info.type not in (*_FILES, tarfile.DIRTYPE):
        raise UnsafeMember("The archive holds a link or a device.", name=shown)
    if name.is_absolute() or ".." in name.parts or "\\" in raw or "\0" in raw:
        raise UnsafeMember("The archive holds a name that leaves its folder.", name=shown)
    return name
