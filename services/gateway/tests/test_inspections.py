"""Photos are looked at in processes of their own: they crash, hang and grow there, and never outlive the gateway."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from PIL import Image

from fluxline.images import ImageRejected, inspect
from fluxline_gateway.deps import Gateway
from fluxline_gateway.images import inspections
from fluxline_gateway.images.inspections import InspectionFailed, Inspections, end_idle
from photos import heic_bytes, jpeg_bytes, scene
from polling import poll_until

UNRULY = (sys.executable, str(Path(__file__).with_name("unruly_inspector.py")))
FORSAKEN = """
import asyncio, sys
from pathlib import Path
from fluxline_gateway.images import inspections
inspections._COMMAND = tuple(sys.argv[2:])
asyncio.run(inspections.Inspections().inspect(Path(sys.argv[1])))
"""


def processes(parent: int | None = None) -> list[int]:
    """The children of a process, of this one unless told, that look at photos."""
    found = []
    for thread in Path(f"/proc/{parent or os.getpid()}/task").iterdir():
        with suppress(OSError):  # a thread or a child that has just ended
            for pid in map(int, (thread / "children").read_text().split()):
                found += [pid] if b"inspector" in Path(f"/proc/{pid}/cmdline").read_bytes() else []
    return found


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    end_idle()
    yield
    end_idle()
    assert processes() == []


@pytest.fixture
def unruly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspections, "_COMMAND", UNRULY)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg_bytes(scene((800, 600), 1)))
    return path


def told(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / content.decode()
    path.write_bytes(content)
    return path


async def test_the_facts_are_those_of_a_look_in_this_process(photo: Path, tmp_path: Path) -> None:
    heic = tmp_path / "photo.heic"
    heic.write_bytes(heic_bytes(scene((900, 600), 2)))
    for path in (photo, heic):
        assert await Inspections().inspect(path) == inspect(path)


async def test_a_rejection_keeps_its_code_and_its_reason(tmp_path: Path) -> None:
    path = told(tmp_path, b"letter")
    with pytest.raises(ImageRejected) as here:
        inspect(path)
    with pytest.raises(ImageRejected) as there:
        await Inspections().inspect(path)
    assert (there.value.code, there.value.reason) == (here.value.code, here.value.reason)


@pytest.mark.parametrize("content", [b"crash", b"grows", b"lies!"])
@pytest.mark.usefixtures("unruly")
async def test_a_decoder_that_dies_costs_its_own_file_only(content: bytes, photo: Path, tmp_path: Path) -> None:
    looks = Inspections()
    path = told(tmp_path, content)
    verdicts = await asyncio.gather(*map(looks.inspect, (photo, path, photo)), return_exceptions=True)
    assert isinstance(verdicts[1], ImageRejected)
    assert verdicts[1].code == "truncated"
    assert verdicts[0] == verdicts[2] == inspect(photo)


@pytest.mark.usefixtures("unruly")
async def test_an_upload_with_a_file_that_kills_its_decoder_is_answered_for_each_file(
    client: httpx.AsyncClient, photo: Path
) -> None:
    contents = (photo.read_bytes(), b"crash", jpeg_bytes(scene((600, 600), 5)))
    answer = await client.post("/v1/images", files=[("files", (f"{n}.jpg", c)) for n, c in enumerate(contents)])
    assert answer.status_code == 201
    assert [image["filename"] for image in answer.json()["accepted"]] == ["0.jpg", "2.jpg"]
    [rejected] = answer.json()["rejected"]
    assert (rejected["filename"], rejected["code"]) == ("1.jpg", "truncated")


@pytest.mark.usefixtures("unruly")
async def test_a_decoder_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ImageRejected) as rejected:
        await Inspections(timeout_s=0.5).inspect(told(tmp_path, b"hangs"))
    assert rejected.value.code == "too_complex"
    await poll_until(lambda: processes() == [])


@pytest.mark.usefixtures("unruly")
async def test_who_is_cancelled_leaves_no_process_at_work_and_frees_the_turn(photo: Path, tmp_path: Path) -> None:
    looks = Inspections(1)
    hanging = asyncio.create_task(looks.inspect(told(tmp_path, b"hangs")))
    await poll_until((tmp_path / "hangs.reached").exists)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await poll_until(lambda: processes() == [])
    assert await looks.inspect(photo) == inspect(photo)


async def test_an_idle_process_that_was_killed_is_replaced_without_a_word(photo: Path) -> None:
    looks = Inspections()
    await looks.inspect(photo)
    [first] = processes()
    os.kill(first, signal.SIGKILL)
    assert await looks.inspect(photo) == inspect(photo)
    assert first not in processes()


async def test_there_are_never_more_processes_than_allowed_and_they_are_kept(photo: Path) -> None:
    looks, seen = Inspections(2), set()
    tasks = [asyncio.create_task(looks.inspect(photo)) for _ in range(12)]
    while not all(task.done() for task in tasks):
        seen.update(processes())
        await asyncio.sleep(0.005)
    assert len(seen) == 2
    await Inspections(2).inspect(photo)
    assert set(processes()) == seen


async def test_a_process_is_replaced_after_many_photos(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspections, "MAX_TASKS", 2)
    looks = Inspections()
    await looks.inspect(photo)
    [first] = processes()
    await looks.inspect(photo)
    await poll_until(lambda: processes() == [])
    await looks.inspect(photo)
    assert first not in processes()


async def test_a_process_that_cannot_start_is_no_verdict_on_a_photo(
    client: httpx.AsyncClient, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspections, "_COMMAND", (sys.executable, "-c", "raise SystemExit(1)"))
    with pytest.raises(InspectionFailed):
        await Inspections().inspect(photo)
    answer = await client.post("/v1/images", files=[("files", ("a.jpg", photo.read_bytes()))])
    assert answer.status_code >= 500
    assert answer.json()["hint"]


async def test_a_decoder_is_given_no_secret(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@db/fluxline")
    await Inspections().inspect(photo)
    [pid] = processes()
    assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_gateway_that_is_killed_leaves_no_process_even_in_the_middle_of_a_photo(
    how: signal.Signals, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", FORSAKEN, str(told(tmp_path, b"hangs")), *UNRULY)
    with subprocess.Popen(command) as gateway:
        await poll_until((tmp_path / "hangs.reached").exists, 20)
        [child] = processes(gateway.pid)
        gateway.send_signal(how)
    await poll_until(lambda: not Path(f"/proc/{child}").exists())


async def test_a_thumbnail_is_made_outside_of_the_gateway(gateway: Gateway, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.jpg"
    await gateway.inspections.thumbnail(photo, target)
    with Image.open(target) as small:
        assert (small.format, small.size) == ("JPEG", (512, 384))
    assert len(processes()) == 1
