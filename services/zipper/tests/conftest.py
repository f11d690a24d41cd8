"""Photos for the zipper's tests."""

from pathlib import Path

import pytest

import photos


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """One plain photo of 1600 × 1200 pixels."""
    (path,) = photos.write_photos(tmp_path / "photo", 1)
    return path
