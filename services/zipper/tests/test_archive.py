"""The archive: what a trainer finds in it, that it is reproducible, and that nothing else passes for it."""

import os
import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import photos
from fluxline.contracts.errors import ErrorCategory
from fluxline_zipper.archive import ArchiveFacts, ArchiveInvalid, PreparedPhoto, build, verify
from fluxline_zipper.photo import prepare

SIDE = 256


@pytest.fixture(scope="session")
def prepared_photos() -> list[PreparedPhoto]:
    captions = ["a red toy robot", None, "  ein Roboter – 玩具 🤖 \n", " ", "the robot from behind"]
    return [
        PreparedPhoto(photos.jpeg_bytes(photos.scene((SIDE, 192), number)), caption)
        for number, caption in enumerate(captions)
    ]


@pytest.fixture
def archive(tmp_path: Path, prepared_photos: list[PreparedPhoto]) -> Path:
    path = tmp_path / "photos.zip"
    build(prepared_photos, path)
    return path


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with its entries changed."""
    with zipfile.ZipFile(archive) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    change(entries)
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in entries.items():
            new.writestr(name, content)
    return archive


def checked(path: Path, count: int = 5, longest_side: int = SIDE) -> ArchiveFacts:
    return verify(path, image_count=count, longest_side=longest_side)


def test_an_archive_holds_generated_names_and_captions_in_utf_8(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == [
            "image_001.jpg",
            "image_001.txt",
            "image_002.jpg",
            "image_003.jpg",
            "image_003.txt",
            "image_004.jpg",
            "image_005.jpg",
            "image_005.txt",
        ]
        assert opened.read("image_003.txt").decode() == "ein Roboter – 玩具 🤖"
        assert opened.testzip() is None
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}


def test_verification_states_size_hash_and_counts(archive: Path) -> None:
    facts = checked(archive)
    assert (facts.size_bytes, facts.image_count, facts.caption_count) == (archive.stat().st_size, 5, 3)
    assert len(facts.sha256) == 64


def test_the_same_photos_give_an_identical_archive(
    archive: Path, tmp_path: Path, prepared_photos: list[PreparedPhoto]
) -> None:
    again = tmp_path / "again.zip"
    build(iter(prepared_photos), again)
    assert checked(again) == checked(archive)
    assert again.read_bytes() == archive.read_bytes()


def test_photos_are_taken_one_at_a_time(tmp_path: Path, prepared_photos: list[PreparedPhoto]) -> None:
    target = tmp_path / "photos.zip"
    sizes: list[int] = []

    def one_by_one() -> Iterator[PreparedPhoto]:
        for photo in prepared_photos:
            sizes.append(target.stat().st_size)
            yield photo

    build(one_by_one(), target)
    assert sizes == sorted(sizes)
    assert sizes[-1] > 3 * len(prepared_photos[0].jpeg) // 2


def test_real_photos_of_every_kind_make_a_sound_archive(tmp_path: Path, hostile_set: list[photos.Case]) -> None:
    accepted = [case.path for case in hostile_set if case.accepted]
    target = tmp_path / "photos.zip"
    build((PreparedPhoto(prepare(path.read_bytes(), longest_side=512).jpeg) for path in accepted), target)
    assert checked(target, len(accepted), 512).image_count == len(accepted)


@pytest.mark.skipif(shutil.which("unzip") is None and "CI" not in os.environ, reason="needs unzip")
def test_unzip_agrees(archive: Path) -> None:
    outcome = subprocess.run(["unzip", "-tq", str(archive)], capture_output=True, text=True, timeout=20)
    assert outcome.returncode == 0, outcome.stdout


def with_exif(jpeg: bytes) -> bytes:
    buffer = BytesIO()
    Image.open(BytesIO(jpeg)).save(buffer, "JPEG", exif=photos.camera_exif(1))
    return buffer.getvalue()


def as_(format_: str, mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    buffer = BytesIO()
    photos.scene(size, 1).convert(mode).save(buffer, format_)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entries: entries.pop("image_004.jpg"), "should hold 5 images"),
        (lambda entries: entries.update({"image_006.jpg": entries["image_001.jpg"]}), "should hold 5 images"),
        (lambda entries: entries.update({"../evil.jpg": b"x"}), "should hold 5 images"),
        (lambda entries: entries.update({"folder/": b""}), "should hold 5 images"),
        (lambda entries: entries.update({"notes.txt": b"x"}), "without an image"),
        (lambda entries: entries.update({"image_001.jpg": as_("PNG")}), "image_001.jpg is not a JPEG"),
        (lambda entries: entries.update({"image_001.jpg": as_("JPEG", "L")}), "image_001.jpg is L"),
        (lambda entries: entries.update({"image_001.jpg": as_("JPEG", size=(300, 200))}), "300 × 200"),
        (lambda entries: entries.update({"image_001.jpg": entries["image_001.jpg"][:999]}), "cannot be decoded"),
        (lambda entries: entries.update({"image_001.jpg": with_exif(entries["image_001.jpg"])}), "metadata: APP1"),
        (lambda entries: entries.update({"image_001.jpg": b""}), "0 bytes"),
        (lambda entries: entries.update({"image_001.txt": b"\xff\xfe"}), "not UTF-8"),
        (lambda entries: entries.update({"image_001.txt": b"a" * 9000}), "9000 bytes"),
    ],
)
def test_anything_else_is_refused(archive: Path, change: Callable[[dict[str, bytes]], None], reason: str) -> None:
    with pytest.raises(ArchiveInvalid, match=reason) as caught:
        checked(rewritten(archive, change))
    assert caught.value.category is ErrorCategory.FILE_ERROR
    assert caught.value.hint


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_appears_twice_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("image_001.jpg", opened.read("image_002.jpg"))
    with pytest.raises(ArchiveInvalid):
        checked(archive)


def test_damaged_archives_are_refused_and_raise_nothing_else(archive: Path) -> None:
    whole = archive.read_bytes()
    dice = random.Random(7)
    for _ in range(200):
        content = bytearray(whole[: dice.choice([len(whole), dice.randrange(len(whole))])])
        for _ in range(dice.choice([1, 5])):
            at = dice.randrange(len(content))
            content[at if dice.random() < 0.3 else max(0, len(content) - 1 - at % 700)] = dice.randrange(256)
        archive.write_bytes(content)
        try:
            checked(archive)
        except ArchiveInvalid:
            continue
        # what still verifies differs in nothing that a reader of the entries could see
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
