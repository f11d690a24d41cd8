"""Every rule for photos, on real files of every kind that cameras, editors and broken transfers produce."""

import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, TiffImagePlugin
from pillow_heif import from_pillow

import photos
from fluxline.contracts.errors import ErrorCategory
from fluxline.image_formats import jpeg_work
from fluxline.images import IMAGE_LIMITS, ImageLimits, ImageRejected, inspect

ANY_SIZE = ImageLimits(min_short_side_px=1)


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = BytesIO()
    if format_ == "HEIC":
        from_pillow(image).save(buffer, quality=50, enc_params={"preset": "ultrafast"}, **options)
    else:
        image.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.fixture
def verdict(tmp_path: Path) -> Callable[..., str]:
    """`accepted` or the code of the refusal, for a file of this content."""

    def judge(content: bytes, limits: ImageLimits = IMAGE_LIMITS) -> str:
        path = tmp_path / "photo.jpg"
        path.write_bytes(content)
        try:
            inspect(path, limits=limits)
        except ImageRejected as rejected:
            return rejected.code if rejected.reason.endswith(".") else "a reason that is no sentence"
        return "accepted"

    return judge


def test_every_file_of_the_hostile_set_gets_the_verdict_it_deserves(hostile_set: list[photos.Case]) -> None:
    def judged(path: Path) -> tuple[bool, str | None]:
        try:
            inspect(path)
        except ImageRejected as rejected:
            return False, rejected.code
        return True, None

    assert {case.path.name: judged(case.path) for case in hostile_set} == {
        case.path.name: (case.accepted, case.code) for case in hostile_set
    }


def test_the_facts_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    path = tmp_path / "sideways.PNG"
    photos.scene((800, 600), 1).save(path, "JPEG", exif=photos.camera_exif(6))
    facts = inspect(path)
    assert (facts.format, facts.width, facts.height, facts.size_bytes) == ("jpeg", 600, 800, path.stat().st_size)
    assert len(facts.sha256) == 64
    assert facts.warnings == ()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_counts_once_in_every_format(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "photo"
    photos.scene((800, 600), 1).save(path, format_, exif=photos.camera_exif(8))
    facts = inspect(path)
    assert (facts.width, facts.height) == (600, 800)


def test_a_heic_photo_is_upright_by_its_own_rotation_and_not_twice(tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(photos.heic_bytes(photos.scene((800, 600), 1), photos.camera_exif(6)))
    facts = inspect(path)
    assert (facts.format, facts.width, facts.height) == ("heic", 600, 800)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_an_unreadable_exif_block_does_not_cost_the_photo(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    photos.scene((800, 600), 1).save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage")
    assert inspect(path).width == 800


def test_a_long_strip_is_accepted_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "strip.jpg"
    photos.scene((2400, 600), 1).save(path)
    (warning,) = inspect(path).warnings
    assert "4.0 times" in warning


def test_a_phones_jpeg_with_a_second_picture_inside_is_a_jpeg(verdict: Callable[..., str], tmp_path: Path) -> None:
    photo, gain_map = photos.scene((800, 600), 1), photos.scene((400, 300), 2)
    content = encoded(photo, "MPO", save_all=True, append_images=[gain_map])
    assert Image.open(BytesIO(content)).format == "MPO"
    assert verdict(content) == "accepted"
    assert inspect(tmp_path / "photo.jpg").format == "jpeg"


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "HEIC"])
def test_several_pictures_in_one_file_are_refused(verdict: Callable[..., str], format_: str) -> None:
    first, second = photos.scene((600, 600), 1), photos.scene((600, 600), 2)
    extra = from_pillow(second)[0] if format_ == "HEIC" else second
    assert verdict(encoded(first, format_, save_all=True, append_images=[extra])) == "animated"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (encoded(photos.scene((600, 600), 1), "BMP"), "unsupported_format"),
        (encoded(photos.scene((600, 600), 1).quantize(16), "GIF"), "unsupported_format"),
        (encoded(photos.scene((64, 64), 1), "AVIF"), "unsupported_format"),
        (b"\0\0\0\x18ftypmp42" + bytes(4000), "unsupported_format"),
        (b"%PDF-1.7 " + bytes(4000), "unsupported_format"),
        (b"RIFF\0\0\0\0WAVEfmt " + bytes(4000), "not_an_image"),
        (b"\xff\xd8\xff\xe0", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (bytes(4000), "not_an_image"),
    ],
    ids=["bmp", "still gif", "avif", "mp4", "pdf", "wav", "start of a jpeg", "start of a png", "zeros"],
)
def test_other_content_is_refused_by_what_it_is(verdict: Callable[..., str], content: bytes, code: str) -> None:
    assert verdict(content) == code


def test_the_reason_states_the_numbers_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(photos.bomb_png((30_000, 20_000)))
    with pytest.raises(
        ImageRejected, match=r"30000 × 20000 pixels, 600 megapixels; at most 100 are accepted"
    ) as caught:
        inspect(path)
    assert caught.value.category is ErrorCategory.FILE_ERROR
    assert caught.value.context == {"code": "too_many_pixels"}


@pytest.mark.parametrize("size", [(9_500, 10_000), (12_000, 10_000), (65_000, 65_000)])
def test_pillows_own_bomb_alarm_is_never_heard(verdict: Callable[..., str], size: tuple[int, int]) -> None:
    expected = "truncated" if size[0] * size[1] <= IMAGE_LIMITS.max_pixels else "too_many_pixels"
    assert verdict(photos.bomb_png(size)) == expected


def test_a_webp_of_huge_canvas_is_refused_before_its_canvas_is_made(verdict: Callable[..., str]) -> None:
    content = bytearray(encoded(photos.scene((64, 64), 1).convert("RGBA"), "WEBP", exif=photos.camera_exif(1)))
    assert content[12:16] == b"VP8X"
    content[24:30] = b"\xff\x3f\0\xff\x3f\0"
    assert verdict(bytes(content)) in {"too_many_pixels", "truncated"}


def test_the_largest_file_is_accepted_and_one_byte_more_is_not(verdict: Callable[..., str]) -> None:
    content = photos.jpeg_bytes(photos.scene((600, 600), 1))
    limits = ImageLimits(max_bytes=len(content))
    assert verdict(content, limits) == "accepted"
    assert verdict(content + b"\0", limits) == "too_large"


def test_a_jpeg_that_repaints_itself_a_thousand_times_is_refused(verdict: Callable[..., str]) -> None:
    content = encoded(photos.scene((600, 600), 1), "JPEG", progressive=True)
    last_scan = content.rindex(b"\xff\xda")
    repeated = content[:-2] + content[last_scan:-2] * 1000 + content[-2:]
    assert verdict(content) == "accepted"
    assert verdict(repeated) == "too_complex"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "HEIC"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_cut_off_file_is_refused_in_every_format(verdict: Callable[..., str], format_: str, kept: float) -> None:
    options = {"compression": "tiff_lzw"} if format_ == "TIFF" else {}
    content = encoded(photos.scene((600, 600), 1), format_, **options)
    assert verdict(content[: int(len(content) * kept)]) == "truncated"


def mutated(content: bytes, dice: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(dice.choice([1, 3, 20])):
        at = dice.randrange(len(data))
        at = at % 200 if dice.random() < 0.6 else at  # headers are where decoders trust most
        match dice.randrange(4):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                data[at : at + 4] = dice.choice(
                    [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\xff\xd9"]
                )
            case 2:
                del data[at : at + dice.randrange(1, 64)]
            case _:
                data[at:at] = dice.randbytes(dice.randrange(1, 64))
    return bytes(data)


@pytest.mark.filterwarnings("ignore")  # Pillow grumbles about metadata; what counts is that nothing else is raised
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "HEIC", "GIF"])
def test_damaged_bytes_lead_to_a_verdict_and_to_nothing_else(verdict: Callable[..., str], format_: str) -> None:
    options = {} if format_ in {"HEIC", "GIF"} else {"exif": photos.camera_exif(6)}
    whole = encoded(photos.scene((96, 80), 1), format_, **options)
    dice = random.Random(format_)
    verdicts = {verdict(mutated(whole, dice), ANY_SIZE) for _ in range(150)}
    assert verdicts & {"truncated", "not_an_image"}


def test_a_tiff_that_points_at_itself_ends(verdict: Callable[..., str]) -> None:
    content = bytearray(encoded(photos.scene((600, 600), 1), "TIFF"))
    directory = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[directory : directory + 2], "little")
    end = directory + 2 + entries * 12
    content[end : end + 4] = content[4:8]
    assert TiffImagePlugin.TiffImageFile(BytesIO(bytes(content))).n_frames == 1
    assert verdict(bytes(content)) in {"accepted", "animated"}


PIXELS = zlib.compress(bytes(600 * 600))


def tiff_of(tags: dict[int, tuple[int, int, int]], rest: bytes = b"") -> bytes:
    """A grey TIFF of 600 × 600, little-endian; a tag's value is (type, count, value or offset); `rest` is at 1,000."""
    facts = {256: 600, 257: 600, 258: 8, 259: 8, 262: 1, 277: 1, 278: 600, 273: 1000, 279: len(PIXELS)}
    all_tags = {tag: (4, 1, value) for tag, value in facts.items()} | tags
    entries = b"".join(struct.pack("<HHII", tag, *all_tags[tag]) for tag in sorted(all_tags))
    head = struct.pack("<2sHIH", b"II", 42, 8, len(all_tags)) + entries + bytes(4)
    return head.ljust(1000, b"\0") + rest


def test_the_tiff_that_the_next_tests_make_worse_is_a_photo(verdict: Callable[..., str]) -> None:
    assert verdict(tiff_of({}, PIXELS)) == "accepted"


@pytest.mark.parametrize(
    "content",
    [
        tiff_of(dict.fromkeys(range(1000, 1050), (7, 900000, 1000)), PIXELS + bytes(1_000_000)),
        tiff_of(dict.fromkeys(range(1000, 20000), (3, 1, 0)), PIXELS),
        tiff_of({1000: (4, 1_000_000, 1000)}, PIXELS + bytes(4_000_000)),
        tiff_of({322: (4, 1, 40_000), 323: (4, 1, 40_000), 324: (4, 1, 1000), 325: (4, 1, 100)}, PIXELS),
    ],
    ids=["the same bytes for fifty tags", "19,000 tags", "a tag of a million numbers", "a tile of 1.6 gigapixels"],
)
def test_a_tiff_that_would_fill_the_memory_is_refused(verdict: Callable[..., str], content: bytes) -> None:
    assert verdict(content) == "too_complex"


@pytest.mark.parametrize(
    "junk", [b"\xff\xfe\0\2", b"\xff\xd0", b"\xff", b"\0"], ids=["comments", "restarts", "fill", "zeros"]
)
def test_a_jpeg_that_never_comes_to_its_pixels_is_refused(verdict: Callable[..., str], junk: bytes) -> None:
    whole = photos.jpeg_bytes(photos.scene((600, 600), 1))
    jfif_end = 4 + int.from_bytes(whole[4:6], "big")
    assert verdict(whole[:jfif_end] + junk * 20 + whole[jfif_end:]) == "accepted"
    assert verdict(whole[:jfif_end] + junk * 2_000_000 + whole[jfif_end:]) == "too_complex"


def test_a_second_scan_of_a_photo_that_has_only_one_is_not_painted(verdict: Callable[..., str]) -> None:
    whole = photos.jpeg_bytes(photos.scene((600, 600), 1))
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    assert jpeg_work(whole)[1] == 1
    assert verdict(whole[:-2] + scan + whole[-2:]) == "truncated"
    assert verdict(whole[:-2] + scan * 99 + whole[-2:]) == "truncated"


@pytest.mark.parametrize("hidden", [b"\xff\x01", b"\xff\xd0", b"\0", b"\xff"], ids=["TEM", "RST", "junk", "fill"])
def test_scans_are_counted_where_decoders_may_read_a_header_differently(hidden: bytes) -> None:
    progressive = encoded(photos.scene((600, 600), 1), "JPEG", progressive=True)
    plain = photos.jpeg_bytes(photos.scene((600, 600), 1))
    frame = plain.index(b"\xff\xc0")
    disguised = plain[:frame] + hidden + progressive[2:]
    assert jpeg_work(progressive)[1] > 5
    assert jpeg_work(disguised)[1] == jpeg_work(progressive)[1]


def test_scans_do_not_hide_behind_a_marker_that_has_no_length(verdict: Callable[..., str]) -> None:
    content = encoded(photos.scene((600, 600), 1), "JPEG", progressive=True)
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    assert verdict(content[:-2] + (b"\xff\x01" + last_scan) * 1000 + content[-2:]) == "too_complex"


def test_a_png_of_a_million_chunks_is_refused(verdict: Callable[..., str]) -> None:
    whole = photos.png_bytes((600, 600), 8, 0, bytes(600 * 600))
    empty = struct.pack(">I4sI", 0, b"abCd", zlib.crc32(b"abCd"))
    assert verdict(whole[:33] + empty * 100 + whole[33:]) == "accepted"
    assert verdict(whole[:33] + empty * 1_000_000 + whole[33:]) == "too_complex"


def test_a_png_of_colour_numbers_without_colours_is_refused(verdict: Callable[..., str]) -> None:
    assert verdict(photos.png_bytes((600, 600), 8, 3, bytes(600 * 600))) == "truncated"


def test_a_big_tiff_whose_directory_lies_beyond_every_file_is_refused(verdict: Callable[..., str]) -> None:
    assert verdict(b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(100)) == "truncated"


def test_the_larger_a_jpeg_the_fewer_scans_it_may_have(verdict: Callable[..., str]) -> None:
    content = encoded(Image.new("L", (10_000, 9_900)), "JPEG", progressive=True)
    last_scan = content.rindex(b"\xff\xda")
    assert verdict(content) == "accepted"
    assert verdict(content[:-2] + content[last_scan:-2] * 30 + content[-2:]) == "too_complex"


def test_pillows_complaints_about_a_file_are_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    photos.scene((800, 600), 1).save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff garbage")
    script = f"from pathlib import Path; from fluxline.images import inspect; inspect(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
