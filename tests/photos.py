"""Photos for tests, made procedurally: plain ones in any number, and what real cameras and hostile users send."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageDraw
from pillow_heif import from_pillow

Size = tuple[int, int]

_SKETCH_SIDE_PX: Final = 640
_GRAIN_SIGMA: Final = 5.0
_PORTRAIT: Final = (1080, 1440)
_LANDSCAPE: Final = (1440, 1080)
_PANORAMA: Final = (12_000, 4_000)
_EXIF_MAKE, _EXIF_ORIENTATION, _EXIF_GPS = 0x010F, 0x0112, 0x8825
_P3_PRIMARIES: Final = {  # XYZ relative to D50, as in the Display P3 profile (SMPTE EG 432-1, Bradford-adapted)
    b"rXYZ": (0.51512, 0.24120, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.15710, 0.06657, 0.78407),
}


@dataclass(frozen=True)
class Case:
    """One file of the hostile set: where it is, what the client calls it, and the verdict it deserves."""

    path: Path
    upload_name: str
    accepted: bool
    code: str | None = None  # of the refusal


def scene(size: Size, seed: int) -> Image.Image:
    """An RGB picture with the statistics of a photo: soft light, hard edges, sensor grain."""
    rng = np.random.default_rng(seed)
    scale = min(1.0, _SKETCH_SIDE_PX / max(size))
    sketch = _light(rng).resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.BICUBIC)
    _draw_shapes(sketch, rng)
    return ImageChops.add(sketch.resize(size, Image.Resampling.BICUBIC), _grain(size, rng), 1.0, -128)


def write_photos(folder: Path, count: int, size: Size = (1600, 1200), seed: int = 0) -> list[Path]:
    """Write `count` different, valid JPEG photos `photo_01.jpg`, … and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"photo_{number:02d}.jpg" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        scene(size, seed * 1000 + number).save(path, quality=88)
    return paths


def write_hostile_set(folder: Path) -> list[Case]:
    """Write what cameras, editors, pranksters and broken transfers produce, with the verdict for each."""
    folder.mkdir(parents=True, exist_ok=True)
    return [*_write_accepted(folder), *_write_refused(folder)]


def camera_exif(orientation: int) -> Image.Exif:
    """EXIF as a phone writes it: make, orientation and the place where the photo was taken."""
    exif = Image.Exif()
    exif[_EXIF_MAKE] = "Fluxline Optics"
    exif[_EXIF_ORIENTATION] = orientation
    exif.get_ifd(_EXIF_GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    return exif


def display_p3_profile() -> bytes:
    """A Display P3 ICC profile: lcms's sRGB profile (same tone curve and white) with the primaries of P3."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (tag_count,) = struct.unpack_from(">I", profile, 128)
    for index in range(tag_count):
        name, offset, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if name in _P3_PRIMARIES:
            struct.pack_into(">3i", profile, offset + 8, *(round(value * 65536) for value in _P3_PRIMARIES[name]))
        if name == b"desc":
            text = bytes(profile[offset : offset + length])
            profile[offset : offset + length] = text.replace("sRGB".encode("utf-16-be"), "DiP3".encode("utf-16-be"))
    return bytes(profile)


def rotated_for(image: Image.Image, orientation: int) -> Image.Image:
    """The sensor's view of an upright picture, so that the EXIF orientation turns it upright again."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image.transpose(turns[orientation])


def png_bytes(size: Size, depth: int, colour_type: int, samples: bytes) -> bytes:
    """A PNG of these big-endian samples, also in combinations that Pillow cannot write (PNG specification, 11.2)."""
    stride = len(samples) // size[1]
    rows = b"".join(b"\0" + samples[start : start + stride] for start in range(0, len(samples), stride))
    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def bomb_png(size: Size = (60_000, 60_000)) -> bytes:
    """A hundred bytes that claim to be a PNG of `size` RGBA pixels."""
    whole = png_bytes((1, 1), 8, 6, bytes(4))
    header = b"IHDR" + struct.pack(">II", *size) + whole[24:29]
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def jpeg_bytes(image: Image.Image, quality: int = 90) -> bytes:
    """The picture as a plain JPEG."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def heic_bytes(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    """The picture as a phone's HEIC."""
    buffer = BytesIO()
    options = {"exif": exif.tobytes()} if exif else {}
    from_pillow(image).save(buffer, quality=60, enc_params={"preset": "ultrafast"}, **options)
    return buffer.getvalue()


def _light(rng: np.random.Generator) -> Image.Image:
    """A few pixels of colour, to be enlarged into a soft background."""
    return Image.fromarray(rng.integers(40, 216, (5, 7, 3), dtype=np.uint8))


def _draw_shapes(sketch: Image.Image, rng: np.random.Generator) -> None:
    draw = ImageDraw.Draw(sketch)
    for _ in range(24):
        left, top = rng.uniform(-0.1, 0.9, 2) * sketch.size
        width, height = rng.uniform(0.03, 0.3, 2) * min(sketch.size)
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        shape = draw.ellipse if rng.random() < 0.6 else draw.rectangle
        shape((left, top, left + width, top + height), fill=colour)


def _grain(size: Size, rng: np.random.Generator) -> Image.Image:
    """Sensor noise around 128; one tile repeated, because random numbers are the slow part of a large picture."""
    tile = np.clip(rng.normal(128, _GRAIN_SIGMA, (509, 503, 3)), 0, 255).astype(np.uint8)
    rows, columns = -(-size[1] // 509), -(-size[0] // 503)
    return Image.fromarray(np.tile(tile, (rows, columns, 1))[: size[1], : size[0]])


def _write_accepted(folder: Path) -> Iterator[Case]:
    for orientation in (3, 6, 8):
        sideways = rotated_for(scene(_PORTRAIT, orientation), orientation)
        sideways.save(folder / f"rotated_{orientation}.jpg", quality=90, exif=camera_exif(orientation))
        yield _accepted(folder / f"rotated_{orientation}.jpg")
    yield from _write_formats(folder)
    for place in ("beach", "city"):
        (folder / place).mkdir(exist_ok=True)
        scene(_LANDSCAPE, len(place)).save(folder / place / "IMG_0001.jpg", quality=90)
        yield _accepted(folder / place / "IMG_0001.jpg")
    awkward = folder / "it's a “holiday” 🌴 ..jpg"
    scene(_LANDSCAPE, 20).save(awkward, "JPEG", quality=90, exif=camera_exif(1))
    yield Case(awkward, '../../../tmp/it\'s a "holiday" 🌴 ..jpg', accepted=True)
    scene(_LANDSCAPE, 21).save(folder / "DSC_0042.JPG", "JPEG", quality=90)
    yield _accepted(folder / "DSC_0042.JPG")


def _write_formats(folder: Path) -> Iterator[Case]:
    transparent = scene(_LANDSCAPE, 9)
    transparent.putalpha(Image.linear_gradient("L").resize(_LANDSCAPE))
    deep = np.asarray(scene((1200, 900), 10), dtype=">u2") * 257
    scene(_LANDSCAPE, 11).save(folder / "picture.webp", quality=85)
    transparent.save(folder / "transparent.png", compress_level=1)
    (folder / "phone.heic").write_bytes(heic_bytes(scene((1200, 900), 12)))
    scene(_LANDSCAPE, 13).convert("CMYK").save(folder / "print.jpg", quality=90)
    scene(_LANDSCAPE, 14).convert("L").save(folder / "grey.jpg", quality=90)
    (folder / "deep.png").write_bytes(png_bytes((1200, 900), 16, 2, deep.astype(">u2").tobytes()))
    scene(_LANDSCAPE, 15).save(folder / "wide_gamut.jpg", quality=90, icc_profile=display_p3_profile())
    scene(_PANORAMA, 16).save(folder / "panorama.jpg", quality=85)
    names = "picture.webp transparent.png phone.heic print.jpg grey.jpg deep.png wide_gamut.jpg panorama.jpg"
    for name in names.split():
        yield _accepted(folder / name)


def _write_refused(folder: Path) -> Iterator[Case]:
    whole = jpeg_bytes(scene(_LANDSCAPE, 30))
    frames = [scene((600, 600), seed).quantize(32) for seed in (31, 32, 33)]
    animation = BytesIO()
    frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:], duration=100)
    contents = {
        "truncated.jpg": (whole[: len(whole) * 6 // 10], "truncated"),
        "letter.jpg": (b"Dear trainer,\nthis is not a photo.\n" * 40, "not_an_image"),
        "animation.gif": (animation.getvalue(), "animated"),
        "bomb.png": (bomb_png(), "too_many_pixels"),
        "tiny.jpg": (jpeg_bytes(scene((400, 300), 34)), "too_small"),
        "empty.jpg": (b"", "empty_file"),
    }
    for name, (content, code) in contents.items():
        (folder / name).write_bytes(content)
        yield Case(folder / name, name, accepted=False, code=code)


def _accepted(path: Path) -> Case:
    return Case(path, path.name, accepted=True)
