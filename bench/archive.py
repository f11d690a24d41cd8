"""The archive stage beside its floor and its peers: CPU per photo, memory, and what is left of the picture.

    python -m bench.archive [--rounds 5] [--photos 10] [--only jpeg-1024,jpeg-1536,jpeg-2048,mixed,heic]

Ours is the whole stage (photos read from a storage, their hashes compared, the archive stored, read back and verified);
the peers only make a ZIP of files; the floor does not even resize. Two threads each, but for naive Pillow. What counts
is CPU time: it hardly depends on what else the machine does.
"""

import argparse
import json
import math
import shutil
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from bench import peers_at_hand as at_hand
from bench.measure import RESULTS, ROOT, SCRATCH, Figure, Run, bars, figure, markdown, publish, ratio, run, taking_turns
from PIL import Image, ImageOps

from fluxline.contracts.limits import MIN_IMAGES

sys.path.insert(0, str(ROOT / "tests"))
import photos  # the folder of the tests is on no path

PEERS: Final = ROOT / "bench" / "peers"
THREADS: Final = 2
SIZE: Final = (4000, 3000)
JUDGED: Final = 4
"""So many photos' results are compared with a reference."""
OURS, NAIVE, VIPS, SHARP, FLOOR = "fluxline", "naive Pillow", "libvips", "sharp + archiver", "libjpeg-turbo (floor)"
HEIC_FLOOR: Final = "libheif decoding (floor)"

Ways = dict[str, Callable[[], Run]]


def jpegs(count: int) -> list[Path]:
    """Photos of 12 megapixels and 3.8 MB, a third of which are sideways."""
    return [_made("jpg", number) for number in range(count)]


def mixed(count: int) -> list[Path]:
    """Half of them JPEG, a quarter WebP, a quarter PNG."""
    kinds = ("jpg", "webp", "jpg", "png")
    return [_made(kinds[number % 4], 100 + number) for number in range(count)]


def heics(count: int) -> list[Path]:
    """As phones save them."""
    return [_made("heic", 200 + number) for number in range(count)]


def _made(kind: str, number: int) -> Path:
    """A photo, made once and kept."""
    path = SCRATCH / "photos" / f"{number}.{kind}"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    picture, new = photos.scene(SIZE, number), path.with_suffix(".new")
    match kind:
        case "heic":
            new.write_bytes(photos.heic_bytes(picture))
        case "png":
            picture.save(new, "PNG", compress_level=1)
        case "webp":
            picture.save(new, "WEBP", quality=90, method=2)
        case _:
            picture.save(new, "JPEG", quality=95, exif=photos.camera_exif(6 if number % 3 == 2 else 1))
    new.rename(path)
    return path


def ways(paths: Sequence[Path], side: int, folder: Path) -> Ways:
    """How to archive these files, by the names of those who do it; those that are not at hand are left out."""
    files = [str(path) for path in paths]
    archive = {name: str(folder / f"{name}.zip") for name in (OURS, NAIVE, VIPS, SHARP)}
    found: Ways = {
        OURS: partial(run, [sys.executable, PEERS / "stage.py", str(side), archive[OURS], str(THREADS), *files]),
        NAIVE: partial(run, [sys.executable, PEERS / "naive.py", str(side), archive[NAIVE], *files]),
    }
    if python := at_hand.imaging():
        found[VIPS] = partial(run, [python, PEERS / "vips.py", str(side), archive[VIPS], str(THREADS), *files])
    if modules := at_hand.node_modules():
        node: list[str | Path] = [shutil.which("node") or "node", PEERS / "sharp.mjs", modules]
        found[SHARP] = partial(run, [*node, str(side), archive[SHARP], str(THREADS), *files])
    if all(path.suffix == ".jpg" for path in paths) and (floor := at_hand.floor()):
        found[FLOOR] = partial(run, [*floor, str(side), str(THREADS), *files])
    if all(path.suffix == ".heic" for path in paths):
        found = {name: way for name, way in found.items() if name in (OURS, NAIVE)}
        found[HEIC_FLOOR] = partial(run, [sys.executable, PEERS / "heic_decode.py", str(THREADS), *files])
    return found


def compare(paths: Sequence[Path], side: int, rounds: int) -> dict[str, Any]:
    """Cost and quality of every way, by name."""
    folder = SCRATCH / "archives"
    folder.mkdir(parents=True, exist_ok=True)
    runs = taking_turns(ways(paths, side, folder), rounds)
    cpu = {name: [one.said["cpu_s"] / len(paths) * 1e3 for one in each] for name, each in runs.items()}
    wall = {name: [len(paths) / one.said["wall_s"] for one in each] for name, each in runs.items()}
    floor = next((name for name in (FLOOR, HEIC_FLOOR) if name in cpu), None)
    quality = qualities(paths, side, folder, [name for name in runs if name not in (FLOOR, HEIC_FLOOR)])
    return {
        name: {
            "cpu_ms": figure(cpu[name]),
            "images_per_s": figure(wall[name]),
            "peak_mib": figure([one.peak_mib for one in runs[name]]),
            "times_naive": ratio(cpu[NAIVE], cpu[name]),
            "of_floor": ratio(cpu[floor], cpu[name]) if floor else None,
            "ours_is_times": ratio(cpu[name], cpu[OURS]),
            "psnr_db": quality.get(name),
        }
        for name in runs
    }


def qualities(paths: Sequence[Path], side: int, folder: Path, names: Sequence[str]) -> dict[str, float]:
    """The mean PSNR in dB of each archive's pictures, of full decoding and LANCZOS before any saving."""
    references = [_reference(path, side) for path in paths[:JUDGED]]
    found = {}
    for name in names:
        with zipfile.ZipFile(folder / f"{name}.zip") as archive:
            pictures = [archive.read(f"image_{number:03d}.jpg") for number in range(1, len(references) + 1)]
        found[name] = float(np.mean([_psnr(*both) for both in zip(pictures, references, strict=True)]))
    return found


def _reference(path: Path, side: int) -> Image.Image:
    import pillow_heif

    pillow_heif.register_heif_opener()
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    scale = min(1.0, side / max(picture.size))
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _psnr(jpeg: bytes, reference: Image.Image) -> float:
    picture = Image.open(BytesIO(jpeg))
    if picture.size != reference.size:
        return math.nan
    difference = np.asarray(picture, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def memory_growth(few: int, many: int, side: int) -> dict[int, float]:
    """Our peak in MiB with a few photos and with many."""
    stage: list[str | Path] = [
        sys.executable,
        PEERS / "stage.py",
        str(side),
        SCRATCH / "archives" / "growth.zip",
        str(THREADS),
    ]
    return {count: run([*stage, *jpegs(count)]).peak_mib for count in (few, many)}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each way, ours first."""
    head = ["", "CPU ms a photo", "images/s", "peak MiB", "× naive", "of the floor", "its CPU ÷ ours", "PSNR dB"]
    rows = [
        [
            f"**{name}**" if name == OURS else name,
            Figure(**one["cpu_ms"]),
            Figure(**one["images_per_s"]),
            f"{one['peak_mib']['median']:.0f}",
            f"{one['times_naive']['median']:.2f}",
            f"{one['of_floor']['median']:.2f}" if one["of_floor"] else "–",
            Figure(**one["ours_is_times"]) if name != OURS else "1",
            "–" if one["psnr_db"] is None else f"{one['psnr_db']:.2f}",
        ]
        for name, one in found.items()
    ]
    return markdown(head, rows)


def sets(count: int) -> Mapping[str, tuple[str, Callable[[], list[Path]], int]]:
    """A title for people, the files, and the size they are archived at, by the set's name."""
    jpeg = {
        f"jpeg-{side}": (f"{count} JPEG photos to {side}", partial(jpegs, count), side) for side in (1024, 1536, 2048)
    }
    return jpeg | {
        "mixed": (f"{count} of JPEG, WebP and PNG to 1024", partial(mixed, count), 1024),
        "heic": (f"{MIN_IMAGES} HEIC photos to 1024", partial(heics, MIN_IMAGES), 1024),
    }


def plain(found: Any) -> Any:
    """Figures as numbers, for JSON."""
    if isinstance(found, Figure):
        return vars(found)
    return {str(name): plain(one) for name, one in found.items()} if isinstance(found, dict) else found


def told(known: Mapping[str, Any]) -> None:
    """Write all that is known: sets that were measured now, and those of the run before."""
    tables = [f"**{one['title']}**, {one['rounds']} rounds\n\n{table(one['ways'])}" for one in known["sets"].values()]
    growth = ", ".join(f"{mib:.0f} MiB with {count} photos" for count, mib in known["peak_mib_by_photos"].items())
    pictures = {
        f"archive-{name}": bars(
            f"CPU ms a photo: {one['title']}",
            {way: cost["cpu_ms"]["median"] for way, cost in one["ways"].items()},
            unit="ms",
            ours=OURS,
        )
        for name, one in known["sets"].items()
        if name in ("jpeg-1024", "mixed")
    }
    publish("archive", known, "\n\n".join([*tables, f"Our peak memory: {growth}."]), pictures)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--only", type=lambda text: text.split(","), help="sets, divided by commas; keeps the others")
    options = parser.parse_args()
    saved = RESULTS / "archive.json"
    known = json.loads(saved.read_text()) if options.only and saved.exists() else {"sets": {}}
    for name, (title, paths, side) in sets(options.photos).items():
        if not options.only or name in options.only:
            ways_found = plain(compare(paths(), side, options.rounds))
            known["sets"][name] = {"title": title, "rounds": options.rounds, "ways": ways_found}
            print(f"{title}\n\n{table(ways_found)}\n", flush=True)
            saved.parent.mkdir(parents=True, exist_ok=True)
            saved.write_text(json.dumps(known))
    if "peak_mib_by_photos" not in known or not options.only:
        known["peak_mib_by_photos"] = plain(memory_growth(5, 20, 1024))
    told(known)


if __name__ == "__main__":
    main()
