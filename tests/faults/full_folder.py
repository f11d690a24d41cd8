"""A storage folder that takes nothing in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRATCH = ".incoming"
"""Where the storage folder takes files in."""


@contextmanager
def takes_nothing(storage: Path) -> Iterator[None]:
    """The folder can be read, and nobody, root included, may store anything: /sys allows no new files."""
    aside = storage.with_name("incoming-aside")
    (storage / SCRATCH).rename(aside)
    (storage / SCRATCH).symlink_to("/sys")
    try:
        yield
    finally:
        (storage / SCRATCH).unlink()
        aside.rename(storage / SCRATCH)
