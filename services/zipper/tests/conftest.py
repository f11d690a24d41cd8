"""Photos for the zipper's tests."""

from pathlib import Path

import pytest

import photos


@pytest.fixture(scope="session")
def hostile_set(tmp_path_factory: pytest.TempPathFactory) -> list[photos.Case]:
    return photos.write_hostile_set(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """One plain photo of 1600 × 1200 pixels."""
    (path,) = photos.write_photos(tmp_path / "photo", 1)
    return path
