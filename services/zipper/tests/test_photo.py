"""What a prepared photo looks like, whatever the camera made of it."""

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from cykooz_resizer import CpuExtensions, Resizer
from PIL import Image

import photos
from fluxline.images import ImageRejected
from fluxline_zipper import resizing
from fluxline_zipper.colour import srgb
from fluxline_zipper.photo import prepare

Pixels = npt.NDArray[np.float64]
UPRIGHT_TO_SENSOR = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def prepared(path: Path, longest_side: int = 1024) -> Image.Image:
    return Image.open(BytesIO(prepare(path.read_bytes(), longest_side=longest_side).jpeg))


def pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, dtype=np.float64)


def psnr(image: Image.Image, reference: Image.Image) -> float:
    """Peak signal to noise ratio in dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((pixels(image) - pixels(reference)) ** 2))))


def centre(image: Image.Image) -> tuple[int, ...]:
    value = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(value, tuple)
    return value


def test_every_photo_of_the_hostile_set_becomes_a_plain_rgb_jpeg(hostile_set: list[photos.Case]) -> None:
    for case in (case for case in hostile_set if case.accepted):
        photo = prepare(case.path.read_bytes(), longest_side=1024)
        content = photo.jpeg
        image = Image.open(BytesIO(content))
        image.load()
        assert (image.format, image.mode) == ("JPEG", "RGB"), case.path.name
        assert max(image.size) == 1024, case.path.name
        assert image.size == (photo.width, photo.height), case.path.name
        assert {name for name, _ in image.applist} == {"APP0"}, case.path.name
        assert not any(word in content for word in (b"Exif", b"GPS", b"Fluxline Optics", b"ICC_PROFILE", b"ns.adobe"))


@pytest.mark.parametrize("orientation", UPRIGHT_TO_SENSOR)
def test_all_eight_orientations_come_out_upright(tmp_path: Path, orientation: int) -> None:
    upright = photos.scene((1200, 900), 1)
    path = tmp_path / "photo.jpg"
    sensor = upright.transpose(UPRIGHT_TO_SENSOR[orientation])
    sensor.save(path, quality=95, exif=photos.camera_exif(orientation))
    assert psnr(prepared(path, 600), upright.resize((600, 450), Image.Resampling.LANCZOS)) > 30


@pytest.mark.parametrize("format_", ["TIFF", "PNG", "WEBP", "HEIC"])
def test_orientation_is_applied_once_in_every_format(tmp_path: Path, format_: str) -> None:
    upright = photos.scene((900, 1200), 2)
    path = tmp_path / "photo"
    if format_ == "HEIC":
        path.write_bytes(photos.heic_bytes(photos.rotated_for(upright, 6), photos.camera_exif(6)))
    else:
        photos.rotated_for(upright, 6).save(path, format_, exif=photos.camera_exif(6))
    assert psnr(prepared(path), upright.resize((768, 1024), Image.Resampling.LANCZOS)) > 28


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4000, 3000), (1024, 768)), ((1111, 3001), (379, 1024)), ((2048, 2047), (1024, 1024)), ((800, 600), (800, 600))],
)
def test_the_longest_side_fits_and_nothing_is_enlarged(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    (path,) = photos.write_photos(tmp_path, 1, size)
    assert prepared(path).size == expected


def test_halving_in_the_decoder_costs_no_quality(tmp_path: Path) -> None:
    (path,) = photos.write_photos(tmp_path, 1, (4003, 3001))
    reference = Image.open(path).resize((1024, 768), Image.Resampling.LANCZOS)
    assert psnr(prepared(path), reference) > 38


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA"])
def test_simd_and_pillow_resize_alike(mode: str) -> None:
    assert resizing.SIMD
    image = photos.scene((1601, 1203), 3).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    box = (0.0, 0.0, 1600.5, 1202.5)
    by_simd = resizing.resized_by_simd(image, (1024, 769), box)
    by_pillow = resizing.resized_by_pillow(image, (1024, 769), box)
    assert psnr(srgb(by_simd, None), srgb(by_pillow, None)) >= 50


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "RGBA"])
@pytest.mark.parametrize("extensions", [CpuExtensions.none, CpuExtensions.sse4_1], ids=lambda one: one.name)
def test_a_processor_without_the_fastest_instructions_makes_the_same_bytes(
    mode: str, extensions: CpuExtensions, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Limited(Resizer):
        def __init__(self) -> None:
            super().__init__()
            self.cpu_extensions = extensions

    image = photos.scene((801, 603), 3).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    fastest = resizing.resized_by_simd(image, (512, 385), (0, 0, 801, 603))
    monkeypatch.setattr(resizing, "Resizer", Limited)
    assert resizing.resized_by_simd(image, (512, 385), (0, 0, 801, 603)).tobytes() == fastest.tobytes()


def test_transparency_turns_white_and_not_black(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    image = Image.new("RGBA", (1200, 1200), (0, 0, 0, 0))
    image.paste((200, 0, 0, 128), (0, 0, 1200, 300))
    image.save(path)
    result = prepared(path)
    assert min(centre(result)) >= 253
    assert result.getpixel((512, 128)) == pytest.approx((227, 127, 127), abs=4)


@pytest.mark.parametrize("mode", ["LA", "P", "PA", "1", "L", "YCbCr", "LAB", "CMYK", "RGBX", "I;16", "I", "F"])
def test_every_pixel_format_of_a_tiff_or_png_is_understood(tmp_path: Path, mode: str) -> None:
    original = photos.scene((700, 600), 4)
    deep = np.asarray(original.convert("L"), dtype=np.uint16) * 257
    images = {
        "I;16": Image.fromarray(deep),
        "I": Image.fromarray(deep.astype(np.int32)),
        "F": Image.fromarray((deep / 65535).astype(np.float32)),
        "P": original.quantize(256),
        "LAB": Image.merge("LAB", (original.convert("L"), *[Image.new("L", original.size, 128)] * 2)),
    }
    path = tmp_path / "photo"
    image = images.get(mode) or original.convert("LA" if mode == "PA" else mode)
    image.save(path, "PNG" if mode == "PA" else "TIFF")
    result = prepared(path).convert("L").reduce(10)  # so that dithering averages out
    assert psnr(result, original.convert("L").reduce(10)) > (15 if mode == "LAB" else 28)


def test_a_palette_with_a_transparent_colour_is_put_on_white(tmp_path: Path) -> None:
    path = tmp_path / "sticker.png"
    image = Image.new("P", (600, 600), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(path, transparency=1)
    assert min(centre(prepared(path))) >= 253


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_grey_is_scaled_and_not_clipped(tmp_path: Path, dtype: type) -> None:
    ramp = np.tile(np.linspace(0, 1 if dtype is np.float32 else 65535, 900), (600, 1)).astype(dtype)
    path = tmp_path / "ramp"
    Image.fromarray(ramp).save(path, "PNG" if dtype is np.uint16 else "TIFF")
    row = pixels(prepared(path))[300, :, 0]
    assert row == pytest.approx(np.linspace(0, 255, 900), abs=3)


def test_sixteen_bit_colour_keeps_its_shades(tmp_path: Path) -> None:
    path = tmp_path / "deep_colour.png"
    colour = np.zeros((600, 800, 3), dtype=">u2")
    colour[:] = (65535, 32896, 257)
    path.write_bytes(photos.png_bytes((800, 600), 16, 2, colour.tobytes()))
    assert centre(prepared(path)) == pytest.approx((255, 128, 1), abs=3)


def test_display_p3_is_converted_before_the_profile_goes(tmp_path: Path) -> None:
    path = tmp_path / "iphone.jpg"
    Image.new("RGB", (800, 600), (200, 100, 60)).save(path, quality=98, icc_profile=photos.display_p3_profile())
    assert centre(prepared(path)) == pytest.approx((214, 95, 50), abs=4)


def test_print_colours_follow_their_profile(tmp_path: Path) -> None:
    path = tmp_path / "print.tif"
    cyan = Image.new("CMYK", (600, 600), (255, 0, 0, 0))
    cyan.save(path, icc_profile=cmyk_profile(cyan=(55, -30, -40)))
    assert centre(prepared(path)) == pytest.approx(lab_to_srgb(55, -30, -40), abs=4)
    cyan.save(path)
    assert centre(prepared(path)) == pytest.approx((0, 255, 255), abs=4)


def test_photoshops_inverted_cmyk_jpeg_is_not_a_negative(tmp_path: Path) -> None:
    original = photos.scene((800, 600), 5)
    path = tmp_path / "print.jpg"
    original.convert("CMYK").save(path, quality=95)
    assert b"Adobe" in path.read_bytes()
    assert psnr(prepared(path), original) > 28


@pytest.mark.parametrize("profile", [b"not a profile", photos.display_p3_profile()[:200], bytes(600)])
def test_a_broken_profile_is_ignored(tmp_path: Path, profile: bytes) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (600, 600), (10, 200, 90)).save(path, quality=95, icc_profile=profile)
    assert centre(prepared(path)) == pytest.approx((10, 200, 90), abs=3)


def test_a_profile_for_other_pixels_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "grey.jpg"
    Image.new("L", (600, 600), 120).save(path, quality=95, icc_profile=photos.display_p3_profile())
    assert centre(prepared(path)) == pytest.approx((120, 120, 120), abs=2)


def test_a_damaged_photo_is_refused_with_the_same_words_as_at_the_door(photo: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:100_000])
    with pytest.raises(ImageRejected, match="cut off or damaged"):
        prepare(photo.read_bytes(), longest_side=1024)


def test_the_same_photo_gives_the_same_bytes(photo: Path) -> None:
    assert prepare(photo.read_bytes(), longest_side=768) == prepare(photo.read_bytes(), longest_side=768)


def cmyk_profile(cyan: tuple[int, int, int]) -> bytes:
    """A printer whose paper is white, whose cyan ink has this Lab colour, and for which all else is black (ICC.1)."""
    colours = {(0, 0, 0, 0): (100, 0, 0), (1, 0, 0, 0): cyan}
    corners = [colours.get(inks, (0, 0, 0)) for inks in np.ndindex(2, 2, 2, 2)]
    grid = b"".join(bytes((lightness * 255 // 100, a + 128, b + 128)) for lightness, a, b in corners)
    identity = struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    table = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + table * 4 + grid + table * 3
    body = struct.pack(">I4sII", 1, b"A2B0", 144, len(lut)) + lut
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    date = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    return (header + date + b"acsp" + bytes(28) + d50).ljust(128, b"\0") + body


def lab_to_srgb(lightness: float, a: float, b: float) -> tuple[int, ...]:
    """CIE Lab (D50) to eight-bit sRGB, by the textbook (CIE 15, Bradford, IEC 61966-2-1)."""
    fy = (lightness + 16) / 116
    white = np.array([0.9642, 1.0, 0.8249])
    xyz = white * [t**3 if t > 6 / 29 else 3 * (6 / 29) ** 2 * (t - 4 / 29) for t in (fy + a / 500, fy, fy - b / 200)]
    to_linear = np.array(
        [[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]]  # D50 XYZ to linear sRGB
    )
    linear = np.clip(to_linear @ xyz, 0, 1)
    return tuple(round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)) for v in linear)
