"""Uploaded photos become one verified archive, or a reason why not."""

import asyncio
import hashlib
import zipfile
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import photos
from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.job import ImageRef
from fluxline.storage import StorageUnreachable, StoredObject
from fluxline.storage.local import LocalStorage
from fluxline_zipper.archiver import ArchiveChanged, Archiver, StoredArchive, TooFewPhotos
from fluxline_zipper.judging import Progress


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)


@pytest.fixture(scope="module")
def six_photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return photos.write_photos(tmp_path_factory.mktemp("six"), 6, size=(900, 700))


async def upload(storage: LocalStorage, path: Path, caption: str | None = None) -> ImageRef:
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    key = f"uploads/ada/{sha256}.jpg"
    await storage.put(key, content, content_type="image/jpeg")
    return ImageRef(key=key, sha256=sha256, caption=caption)


async def bundle(
    storage: LocalStorage,
    images: list[ImageRef],
    training_id: UUID | None = None,
    *,
    default_caption: str | None = None,
    reports: list[Progress] | None = None,
    workers: int | None = None,
) -> StoredArchive:
    async def report(progress: Progress) -> None:
        if reports is not None:
            reports.append(progress)

    archiver = Archiver(storage, longest_side=512, workers=workers)
    archive = await archiver.bundle(
        training_id or uuid4(), images, default_caption=default_caption, report=report, wanted=always
    )
    assert archive is not None
    return archive


async def always() -> bool:
    return True


async def opened(storage: LocalStorage, archive: StoredArchive, folder: Path) -> dict[str, bytes]:
    await storage.get(archive.key, folder / "opened.zip")
    with zipfile.ZipFile(folder / "opened.zip") as file:
        return {name: file.read(name) for name in file.namelist()}


async def keys(storage: LocalStorage, prefix: str) -> list[str]:
    return [item.key async for item in storage.list(prefix)]


async def test_six_photos_become_an_archive_that_opens_as_stored(
    storage: LocalStorage, six_photos: list[Path], tmp_path: Path
) -> None:
    training_id = uuid4()
    images = [await upload(storage, path, f"photo {path.stem}") for path in six_photos]
    archive = await bundle(storage, images, training_id)
    files = await opened(storage, archive, tmp_path)
    stems = [f"image_{number:03d}" for number in range(1, 7)]
    assert sorted(files) == sorted([f"{s}.jpg" for s in stems] + [f"{s}.txt" for s in stems])
    assert files["image_003.txt"] == b"photo photo_03"
    assert archive.key == f"zips/{training_id}/0/{archive.facts.sha256[:16]}.zip"
    assert archive.facts.image_count == 6
    assert [(verdict.accepted, verdict.width, verdict.height) for verdict in archive.verdicts] == [(True, 512, 398)] * 6


async def test_the_same_photos_give_the_same_archive(storage: LocalStorage, six_photos: list[Path]) -> None:
    training_id = uuid4()
    images = [await upload(storage, path) for path in six_photos]
    first = await bundle(storage, images, training_id)
    assert await bundle(storage, images, training_id) == first
    assert await keys(storage, f"zips/{training_id}/") == [first.key]


async def test_the_number_of_workers_changes_nothing_in_the_archive(
    storage: LocalStorage, six_photos: list[Path], tmp_path: Path
) -> None:
    large = photos.write_photos(tmp_path / "large", 1, size=(4000, 3000))  # the first one ends last
    images = [await upload(storage, path, path.stem) for path in [*large, *six_photos]]
    archives = []
    for workers in (1, 4):
        reports: list[Progress] = []
        archives.append(await bundle(storage, images, UUID(int=workers), reports=reports, workers=workers))
        assert [report.done for report in reports] == list(range(1, 8))
        assert [report.current for report in reports] == [f"image_{number:03d}.jpg" for number in range(1, 8)]
    assert archives[0].facts == archives[1].facts
    assert archives[0].verdicts == archives[1].verdicts


async def test_few_photos_are_in_memory_at_a_time(tmp_path: Path, six_photos: list[Path]) -> None:
    storage = Counting(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)
    images = [await upload(storage, six_photos[number % 6]) for number in range(20)]
    await bundle(storage, images, workers=2)
    assert storage.most == 3


async def test_a_bad_photo_is_left_out_with_a_reason_and_the_names_stay_in_one_row(
    storage: LocalStorage, six_photos: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(six_photos[0].read_bytes()[:5000])
    images = [await upload(storage, path) for path in [six_photos[0], bad, *six_photos[1:]]]
    reports: list[Progress] = []
    archive = await bundle(storage, images, reports=reports)
    refused = archive.verdicts[1]
    assert (refused.accepted, refused.code, refused.archive_name) == (False, "truncated", None)
    assert refused.reason
    assert archive.verdicts[2].archive_name == "image_002.jpg"
    assert archive.facts.image_count == 6
    assert [report.done for report in reports] == list(range(1, 8))
    assert [report.current for report in reports][:3] == ["image_001.jpg", images[1].key, "image_002.jpg"]
    assert [report.size_bytes for report in reports] == sorted(report.size_bytes for report in reports)


async def test_the_hostile_set_trains_with_what_is_good_in_it(
    storage: LocalStorage, hostile_set: list[photos.Case]
) -> None:
    images = [await upload(storage, case.path) for case in hostile_set]
    archive = await bundle(storage, images)
    assert [(verdict.accepted, verdict.code) for verdict in archive.verdicts] == [
        (case.accepted, case.code) for case in hostile_set
    ]


async def test_four_good_photos_end_the_job_before_money_is_spent(
    storage: LocalStorage, six_photos: list[Path], tmp_path: Path
) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_bytes(b"Dear trainer")
    training_id = uuid4()
    missing = ImageRef(key="uploads/ada/missing.jpg", sha256="0" * 64)
    images = [await upload(storage, path) for path in [*six_photos[:4], letter]]
    with pytest.raises(TooFewPhotos, match="Only 4 of 6 photos are usable") as raised:
        await bundle(storage, [*images, missing], training_id)
    assert raised.value.category is ErrorCategory.FILE_ERROR
    assert "missing.jpg: The uploaded photo is gone" in raised.value.hint
    assert "not an image" in raised.value.hint
    assert await keys(storage, "zips/") == []


async def test_a_photo_that_changed_in_storage_is_refused(storage: LocalStorage, six_photos: list[Path]) -> None:
    images = [await upload(storage, path) for path in six_photos]
    await storage.put(images[0].key, six_photos[1], content_type="image/jpeg")
    archive = await bundle(storage, images)
    assert [verdict.code for verdict in archive.verdicts] == ["hash_mismatch", *[None] * 5]


async def test_an_image_without_a_caption_gets_the_default_one(
    storage: LocalStorage, six_photos: list[Path], tmp_path: Path
) -> None:
    images = [await upload(storage, path) for path in six_photos[:5]]
    images[1] = images[1].model_copy(update={"caption": "ADATOK at sea"})
    files = await opened(storage, await bundle(storage, images, default_caption="ADATOK"), tmp_path)
    assert (files["image_001.txt"], files["image_002.txt"]) == (b"ADATOK", b"ADATOK at sea")
    files = await opened(storage, await bundle(storage, images), tmp_path)
    assert [name for name in files if name.endswith(".txt")] == ["image_002.txt"]


class Counting(LocalStorage):
    """A storage that takes its time, and knows how many photos were asked for at once."""

    now = most = 0

    async def read(self, key: str, *, max_bytes: int) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.01)
        self.now -= 1
        return await super().read(key, max_bytes=max_bytes)


class Unreachable(LocalStorage):
    """A storage that is down."""

    async def read(self, key: str, *, max_bytes: int) -> bytes:
        raise StorageUnreachable


class Forgetful(LocalStorage):
    """A storage that gives back archives with one byte too many."""

    async def get(self, key: str, target: Path) -> StoredObject:
        found = await super().get(key, target)
        if key.endswith(".zip"):
            with target.open("ab") as file:
                file.write(b"\0")
        return found


async def test_a_storage_that_is_down_is_an_error_to_retry_and_no_verdict(tmp_path: Path) -> None:
    storage = Unreachable(tmp_path, "http://127.0.0.1:8000", b"s" * 32)
    with pytest.raises(StorageUnreachable) as raised:
        await bundle(storage, [ImageRef(key="uploads/ada/1.jpg", sha256="0" * 64)])
    assert raised.value.category.retryable


async def test_an_archive_that_changed_in_storage_is_not_announced(tmp_path: Path, six_photos: list[Path]) -> None:
    storage = Forgetful(tmp_path, "http://127.0.0.1:8000", b"s" * 32)
    with pytest.raises(ArchiveChanged) as raised:
        await bundle(storage, [await upload(storage, path) for path in six_photos])
    assert raised.value.category.retryable


async def test_cleaning_deletes_the_training_s_archives_and_no_other(storage: LocalStorage) -> None:
    mine, other = uuid4(), uuid4()
    for key in (f"zips/{mine}/a.zip", f"zips/{mine}/b.zip", f"zips/{other}/a.zip"):
        await storage.put(key, b"PK", content_type="application/zip")
    archiver = Archiver(storage, longest_side=1024)
    await archiver.clean(mine)
    await archiver.clean(mine)
    assert await keys(storage, "zips/") == [f"zips/{other}/a.zip"]


@pytest.mark.parametrize("looks", [0, 1])
async def test_an_archive_that_nobody_wants_any_more_leaves_nothing_in_storage(
    storage: LocalStorage, six_photos: list[Path], looks: int
) -> None:
    """Canceled before it is stored, and while it is stored."""
    answers = iter([True] * looks + [False])
    training_id, stored = uuid4(), []

    async def wanted() -> bool:
        stored.append(len(await keys(storage, f"zips/{training_id}/")))
        return next(answers)

    async def report(_progress: Progress) -> None:
        return None

    images = [await upload(storage, path) for path in six_photos]
    archiver = Archiver(storage, longest_side=512)
    assert await archiver.bundle(training_id, images, default_caption=None, report=report, wanted=wanted) is None
    assert stored == [0, 1][: looks + 1]
    assert await keys(storage, f"zips/{training_id}/") == []
