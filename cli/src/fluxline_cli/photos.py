"""The photos of a training: found in a folder or given one by one, uploaded, judged one by one."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxline.contracts.limits import MAX_CAPTION_CHARS, MAX_IMAGE_BYTES, MAX_IMAGES, MIN_IMAGES
from fluxline_cli.client import Client, Json
from fluxline_cli.errors import Usage

UPLOADS_AT_ONCE = 3
CAPTION_SUFFIX = ".txt"


@dataclass(frozen=True)
class Verdict:
    """What the gateway says of one photo: its image id, or why it is refused."""

    path: Path
    image_id: str | None
    reason: str = ""
    warnings: tuple[str, ...] = ()


def find(paths: Sequence[Path]) -> list[Path]:
    """The files given, and those of the folders given, in order of name; hidden ones left out. Raises Usage."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if _may_be_photo(each))
        elif path.is_file():
            found.append(path)
        else:
            raise Usage(f"{path}: there is no such file or folder")
    if not found:
        raise Usage(f"no photos: {', '.join(map(str, paths))} holds no files")
    return found


def _may_be_photo(path: Path) -> bool:
    """Whatever lies in a folder but hidden files and the texts that `captions` reads."""
    return path.is_file() and not path.name.startswith(".") and path.suffix.lower() != CAPTION_SUFFIX


def captions(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """The captions of uploaded photos by image id: what `photo.txt` beside `photo.jpg` says. Raises Usage."""
    found = {}
    for verdict in verdicts:
        text_file = verdict.path.with_suffix(CAPTION_SUFFIX)
        if verdict.image_id and text_file.is_file():
            text = text_file.read_bytes()[: MAX_CAPTION_CHARS * 4 + 1].decode("utf-8", "replace").strip()
            if len(text) > MAX_CAPTION_CHARS:
                raise Usage(f"{text_file}: a caption has at most {MAX_CAPTION_CHARS} characters; shorten it")
            if text:
                found[verdict.image_id] = text
    return found


async def upload(client: Client, photos: Sequence[Path], done: Callable[[Verdict], None]) -> list[Verdict]:
    """Upload all photos, a few at once; `done` is called for each as it is judged. In the order given."""
    answers = await upload_each(client, photos, lambda photo, answer: done(_verdict(photo, answer)))
    return [_verdict(photo, answer) for photo, answer in zip(photos, answers, strict=True)]


async def upload_each(
    client: Client, photos: Sequence[Path], done: Callable[[Path, Json], None] | None = None
) -> list[Json]:
    """The answer to each photo, `{accepted: [...], rejected: [...]}` with one of them; as `upload` otherwise."""
    slots = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def one(photo: Path) -> Json:
        async with slots:
            answer = await _answer(client, photo)
        if done:
            done(photo, answer)
        return answer

    return await asyncio.gather(*(one(photo) for photo in photos))


def usable(verdicts: Sequence[Verdict]) -> list[str]:
    """The image ids of a training, each once, at most 20; raises Usage when they are too few."""
    ids = list(dict.fromkeys(verdict.image_id for verdict in verdicts if verdict.image_id))
    if len(ids) < MIN_IMAGES:
        raise Usage(
            f"only {len(ids)} of {len(verdicts)} photos can be used, and a training needs {MIN_IMAGES} to {MAX_IMAGES} "
            "different ones: add more photos"
        )
    return ids[:MAX_IMAGES]


async def _answer(client: Client, photo: Path) -> Json:
    if await asyncio.to_thread(os.path.getsize, photo) <= MAX_IMAGE_BYTES:
        return await client.upload(photo)
    reason = f"The file is larger than {MAX_IMAGE_BYTES // 1024**2} MB."
    return {"accepted": [], "rejected": [{"filename": photo.name, "code": "too_large", "reason": reason}]}


def _verdict(photo: Path, answer: Json) -> Verdict:
    if answer["accepted"]:
        image = answer["accepted"][0]
        return Verdict(photo, image["id"], warnings=tuple(image["warnings"]))
    return Verdict(photo, None, answer["rejected"][0]["reason"])
