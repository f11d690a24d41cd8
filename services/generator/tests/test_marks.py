"""Marks in images: other readers find them, and no pixel changes."""

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from fluxline_generator.marks import marked

PROMPT = "ADATOK in Zürich, 雪 ❄"
MADE_WITH = {"seed": 1815, "prompt": PROMPT, "provider": "replicate"}
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("PNG", "RGB", {}),
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("WEBP", "RGB", {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"}),
]


def picture(form: str, mode: str, options: dict[str, Any]) -> bytes:
    out = BytesIO()
    gradient = Image.linear_gradient("L").resize((67, 45)).convert(mode)
    gradient.save(out, form, **options)
    return out.getvalue()


def comment_of(image: Image.Image) -> dict[str, Any]:
    if image.format == "PNG":
        return dict(json.loads(image.info["Comment"]))
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
    return dict(json.loads(comment.removeprefix(b"UNICODE\x00").decode("utf-16-be")))


@pytest.mark.parametrize(("form", "mode", "options"), KINDS, ids=str)
def test_the_marks_are_read_by_others_and_the_pixels_are_the_same(
    form: str, mode: str, options: dict[str, Any]
) -> None:
    plain = picture(form, mode, options)
    image, before = Image.open(BytesIO(marked(plain, PROMPT, MADE_WITH))), Image.open(BytesIO(plain))
    assert (image.format, image.size, image.mode) == (before.format, before.size, before.mode)
    assert image.tobytes() == before.tobytes()
    assert comment_of(image) == MADE_WITH
    described = image.info["Description"] if form == "PNG" else image.getexif()[ExifTags.Base.ImageDescription]
    assert described in (PROMPT, PROMPT.encode().decode("latin-1"), PROMPT.encode())


@pytest.mark.parametrize(("form", "mode", "options"), KINDS, ids=str)
def test_marking_again_replaces_or_adds_and_stays_readable(form: str, mode: str, options: dict[str, Any]) -> None:
    twice = marked(marked(picture(form, mode, options), PROMPT, MADE_WITH), "another", {"seed": 2})
    Image.open(BytesIO(twice)).load()


def test_what_does_not_fit_into_a_jpeg_is_an_error() -> None:
    with pytest.raises(ValueError, match="too long"):
        marked(picture("JPEG", "RGB", {}), "x" * 70_000, {})


@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF\x10\x00\x00\x00WEBP", b"GIF89a", b""]), st.binary())
def test_broken_files_raise_a_value_error_or_stay_as_broken_as_they_are(head: bytes, rest: bytes) -> None:
    try:
        marked(head + rest, PROMPT, MADE_WITH)
    except (ValueError, OSError):
        return
