"""How photos look: sharp or blurred, dark or flat, and alike through everything that does not change what they show."""

import pickle
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

import photos
from fluxline.image_looks import BLURRY_BELOW, COPY_SIDE_PX, NEAR_DUPLICATE_BITS
from fluxline.images import ImageFacts, ImageRejected, inspect

SIZES = [(1600, 1200), (800, 600), (4000, 3000), (600, 900)]


@pytest.fixture
def facts_of(tmp_path: Path) -> Callable[..., ImageFacts]:
    """The facts of a picture that is saved in a format, with the options of Pillow."""

    def look(picture: Image.Image, format_: str = "JPEG", **options: object) -> ImageFacts:
        path = tmp_path / "photo"
        if format_ == "HEIC":
            path.write_bytes(photos.heic_bytes(picture))
        else:
            picture.save(path, format_, **options)
        return inspect(path)

    return look


def bits_between(one: ImageFacts, other: ImageFacts) -> int:
    return (int.from_bytes(one.perceptual_hash, "big") ^ int.from_bytes(other.perceptual_hash, "big")).bit_count()


def blurred(picture: Image.Image, copy_px: float) -> Image.Image:
    """By a Gaussian of so many pixels of the copy that looks are told from."""
    return picture.filter(ImageFilter.GaussianBlur(copy_px * max(picture.size) / COPY_SIDE_PX))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_a_photo_is_sharp_and_its_blurred_copy_is_not(
    facts_of: Callable[..., ImageFacts], size: tuple[int, int], seed: int
) -> None:
    picture = photos.scene(size, seed)
    sharp, soft = facts_of(picture), facts_of(blurred(picture, 2))
    assert sharp.warning_codes == ()
    assert sharp.sharpness > 4 * BLURRY_BELOW > 4 * soft.sharpness
    assert soft.warning_codes == ("blurry",)
    assert "sharper" in soft.warnings[0]


def test_a_sharp_subject_before_a_soft_background_is_sharp(facts_of: Callable[..., ImageFacts]) -> None:
    picture = photos.scene((1600, 1200), 1)
    portrait = blurred(picture, 5)
    portrait.paste(picture.crop((500, 300, 1200, 1100)), (500, 300))
    assert facts_of(portrait).warning_codes == ()


def test_a_dark_photo_is_dark_and_not_blurry(facts_of: Callable[..., ImageFacts]) -> None:
    facts = facts_of(ImageEnhance.Brightness(photos.scene((800, 600), 1)).enhance(0.12))
    assert facts.warning_codes == ("dark",)
    assert "brighter" in facts.warnings[0]


def test_a_night_with_a_light_in_it_is_not_dark(facts_of: Callable[..., ImageFacts]) -> None:
    night = ImageEnhance.Brightness(photos.scene((800, 600), 1)).enhance(0.12)
    night.paste(photos.scene((400, 300), 2), (100, 100))
    assert facts_of(night).warning_codes == ()


def test_a_photo_in_fog_has_low_contrast(facts_of: Callable[..., ImageFacts]) -> None:
    facts = facts_of(ImageEnhance.Contrast(photos.scene((800, 600), 1)).enhance(0.1))
    assert facts.warning_codes == ("low_contrast",)


def test_a_warning_stands_at_the_place_of_its_code(facts_of: Callable[..., ImageFacts]) -> None:
    facts = facts_of(blurred(photos.scene((2400, 600), 1), 3))
    assert facts.warning_codes == ("blurry", "extreme_aspect_ratio")
    assert "blurry" in facts.warnings[0]
    assert "4.0 times" in facts.warnings[1]


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
    "a little brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "a little darker": lambda picture: ImageEnhance.Brightness(picture).enhance(0.85),
    "without colour": lambda picture: picture.convert("L"),
    "softer": lambda picture: blurred(picture, 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_photo_that_shows_the_same_looks_alike(
    facts_of: Callable[..., ImageFacts], change: Callable[[Image.Image], Image.Image]
) -> None:
    for seed in range(5):
        picture = photos.scene((1600, 1200), seed)
        assert bits_between(facts_of(picture), facts_of(change(picture), quality=70)) <= NEAR_DUPLICATE_BITS


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "HEIC"])
def test_a_photo_looks_alike_in_every_format(facts_of: Callable[..., ImageFacts], format_: str) -> None:
    picture = photos.scene((1200, 900), 7)
    jpeg, other = facts_of(picture), facts_of(picture, format_)
    assert bits_between(jpeg, other) <= 4
    assert other.warning_codes == ()
    assert 0.5 < other.sharpness / jpeg.sharpness < 2


@pytest.mark.parametrize("mode", ["L", "P", "LA", "1", "CMYK", "YCbCr", "LAB"])
def test_a_photo_looks_alike_in_every_mode(facts_of: Callable[..., ImageFacts], mode: str) -> None:
    picture = photos.scene((1200, 900), 7)
    changed = picture.convert("L").convert(mode) if mode == "1" else picture.convert(mode)
    facts = facts_of(changed, "TIFF" if mode in ("CMYK", "YCbCr", "LAB") else "PNG")
    assert bits_between(facts_of(picture), facts) <= NEAR_DUPLICATE_BITS
    assert facts.warning_codes == ()


def test_sixteen_bits_and_transparency_are_seen_as_people_see_them(facts_of: Callable[..., ImageFacts]) -> None:
    picture = photos.scene((1200, 900), 7)
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    assert bits_between(facts_of(picture), facts_of(deep, "PNG")) <= 4
    unseen = Image.new("RGBA", (800, 600), (0, 0, 0, 0))
    assert facts_of(unseen, "PNG").warning_codes == ("low_contrast",)  # white, not dark


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_looks_alike_however_the_camera_was_held(facts_of: Callable[..., ImageFacts], orientation: int) -> None:
    picture = photos.scene((1200, 900), 7)
    sideways = photos.rotated_for(picture, orientation)
    turned = facts_of(sideways, exif=photos.camera_exif(orientation))
    assert bits_between(facts_of(picture), turned) <= NEAR_DUPLICATE_BITS
    assert bits_between(facts_of(picture), facts_of(sideways)) > NEAR_DUPLICATE_BITS


def test_photos_of_different_things_do_not_look_alike(facts_of: Callable[..., ImageFacts]) -> None:
    several = [facts_of(photos.scene((640, 640), seed)) for seed in range(40)]
    distances = sorted(bits_between(one, other) for one, other in combinations(several, 2))
    assert distances[0] > 2 * NEAR_DUPLICATE_BITS
    assert 60 <= distances[len(distances) // 2] <= 68


def test_the_longest_strip_there_may_be_has_looks(facts_of: Callable[..., ImageFacts]) -> None:
    facts = facts_of(Image.new("L", (190_000, 512), 200), "PNG")
    assert facts.warning_codes == ("low_contrast", "extreme_aspect_ratio")


def test_a_rejection_can_travel_between_processes() -> None:
    rejected = pickle.loads(pickle.dumps(ImageRejected("too_small", "The image is too small.")))
    assert (rejected.code, rejected.reason) == ("too_small", "The image is too small.")
