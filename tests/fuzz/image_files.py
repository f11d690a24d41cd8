"""Image files that are damaged, forged or made to cost: `image_file(seed, index)` is always the same file."""

import random
from functools import cache, partial
from io import BytesIO

from PIL import Image, ImageCms
from pillow_heif import from_pillow

import photos
from fuzz import image_decoys
from fuzz.image_parts import mutated_parts

SIZE = (528, 516)
INTERESTING = (
    *(b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\xff\xff", b"\xff\xff\0\0"),
    *(b"\0\0\0\1", b"\1\0\0\0", b"\0\0\xff\xd9", b"\0\0\x27\x10", b"\x10\x27\0\0", b"\0\0\0\x08"),
)


def image_file(seed: int, index: int) -> tuple[str, bytes]:
    """What it is, and its bytes: seven of ten are mutated photos of all formats, the others crafted decoys."""
    dice = random.Random(f"{seed}/{index}")
    if dice.random() < 0.3:
        name, make = dice.choice(image_decoys.DECOYS)
        content = make(dice)
        return (name, content) if dice.random() < 0.7 else (f"{name}, mutated", _bytes_mutated(content, dice))
    name, content = dice.choice(bases())
    mutate = dice.choice((_bytes_mutated, mutated_parts, mutated_parts, _cut, _joined))
    return f"{name}, {mutate.__name__.strip('_')}", mutate(content, dice)


@cache
def bases() -> tuple[tuple[str, bytes], ...]:
    """Whole photos in every format and variant that is accepted, and in some that are not."""
    photo, other = photos.scene(SIZE, 1), photos.scene(SIZE, 2)
    exif, profile = photos.camera_exif(6), photos.display_p3_profile()
    alpha = photo.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(SIZE))
    save = partial(_encoded, exif=exif.tobytes(), icc_profile=profile)
    made = {
        **{f"jpeg {mode}": save(photo.convert(mode), "JPEG", progressive=mode == "RGB") for mode in ("RGB", "L")},
        "jpeg CMYK": _encoded(photo.convert("CMYK"), "JPEG", quality=60),
        "mpo": _encoded(photo, "MPO", save_all=True, append_images=[other]),
        **{
            f"png {mode}": save(alpha.convert(mode), "PNG", compress_level=1)
            for mode in ("RGB", "RGBA", "P", "1", "LA")
        },
        "png deep": _encoded(photo.convert("I;16"), "PNG"),
        "apng": _encoded(photo, "PNG", save_all=True, append_images=[other]),
        "webp": save(photo, "WEBP", quality=50),
        "webp lossless": save(alpha, "WEBP", lossless=True, method=0),
        "webp animated": _encoded(photo, "WEBP", save_all=True, append_images=[other], method=0),
        "tiff raw": save(photo, "TIFF"),
        **{f"tiff {how}": _encoded(photo, "TIFF", compression=how) for how in ("tiff_lzw", "packbits", "jpeg")},
        "tiff deflate": _encoded(photo, "TIFF", compression="tiff_adobe_deflate", icc_profile=profile),
        **{f"tiff {mode}": _encoded(photo.convert(mode), "TIFF") for mode in ("CMYK", "F", "I;16", "1", "LAB")},
        "tiff big": _encoded(photo, "TIFF", big_tiff=True),
        "tiff pages": _encoded(photo, "TIFF", save_all=True, append_images=[other.copy()]),
        "heic": _heic(photo, exif=exif.tobytes(), icc_profile=profile),
        "heic alpha": _heic(alpha),
        "heic two": _heic(photo, save_all=True, append_images=[from_pillow(other)[0]]),
        "gif": _encoded(photo.quantize(64), "GIF", save_all=True, append_images=[other.quantize(64)]),
        "avif": _encoded(photo.resize((64, 64)), "AVIF"),
        "bmp": _encoded(photo.resize((64, 64)), "BMP"),
    }
    return tuple(made.items())


def _encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    if image.mode in ("L", "LA", "P", "1", "LAB", "F") or image.mode.startswith("I"):
        options.pop("icc_profile", None)  # it describes RGB
    if image.mode == "LAB":
        options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    buffer = BytesIO()
    image.copy().save(buffer, format_, **options)  # some writers leave their options in the image
    return buffer.getvalue()


def _heic(image: Image.Image, **options: object) -> bytes:
    buffer = BytesIO()
    from_pillow(image).save(buffer, quality=40, enc_params={"preset": "ultrafast"}, **options)
    return buffer.getvalue()


def _bytes_mutated(content: bytes, dice: random.Random) -> bytes:
    data = bytearray(content) or bytearray(1)
    for _ in range(dice.choice((1, 2, 5, 30))):
        at = dice.randrange(len(data) or 1)
        at = at % 1024 if dice.random() < 0.6 else at  # headers are where decoders trust most
        match dice.randrange(5):
            case 0:
                data[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                data[at : at + 4] = dice.choice(INTERESTING)
            case 2:
                del data[at : at + dice.randrange(1, 200)]
            case 3:
                data[at:at] = dice.randbytes(dice.randrange(1, 200))
            case _:
                data[at:at] = data[at : at + dice.randrange(1, 2000)]
    return bytes(data)


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def _joined(content: bytes, dice: random.Random) -> bytes:
    """Two files in one, end to end or one in the middle of the other."""
    _, other = dice.choice(bases())
    at = dice.choice((len(content), len(content), 0, dice.randrange(len(content))))
    return content[:at] + other + content[at:]
