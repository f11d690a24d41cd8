"""The archive stage keeps its distance from a naive one and stays near its floor; CPU time, with a quarter of slack."""

import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import photos
from fluxline_zipper.photo import prepare

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench.measure import bars, figure, ratio, taking_turns  # the root is on no path

ROUNDS = 5
SLACK = 0.75
SIDE = 1024


@pytest.fixture(scope="module")
def photo() -> bytes:
    """12 megapixels, 3.9 MB."""
    return photos.jpeg_bytes(photos.scene((4000, 3000), 1), quality=95)


def saved(picture: Image.Image) -> bytes:
    return photos.jpeg_bytes(picture, quality=95)


def reference(content: bytes) -> Image.Image:
    picture = ImageOps.exif_transpose(Image.open(BytesIO(content))).convert("RGB")
    return picture.resize((1024, 768), Image.Resampling.LANCZOS)


def floor(content: bytes) -> bytes:
    """Half of the size by the decoder, and as many pixels saved as the result has."""
    picture = Image.open(BytesIO(content))
    picture.draft("RGB", (2000, 1500))
    return saved(picture.crop((0, 0, 1024, 768)))


def cpu(work: Callable[[], bytes]) -> Callable[[], float]:
    def cost() -> float:
        began = time.thread_time()
        work()
        return time.thread_time() - began

    return cost


def test_a_photo_costs_a_quarter_of_the_naive_way_and_little_more_than_the_floor(photo: bytes) -> None:
    costs = taking_turns(
        {
            "ours": cpu(lambda: prepare(photo, longest_side=SIDE).jpeg),
            "naive": cpu(lambda: saved(reference(photo))),
            "floor": cpu(lambda: floor(photo)),
        },
        ROUNDS,
    )
    assert ratio(costs["naive"], costs["ours"]).median > SLACK * 4
    assert ratio(costs["floor"], costs["ours"]).median > SLACK * 0.85


def test_speed_is_not_bought_with_quality(photo: bytes) -> None:
    wanted = np.asarray(reference(photo), dtype=np.float64)

    def psnr(jpeg: bytes) -> float:
        return float(10 * np.log10(255**2 / np.mean((np.asarray(Image.open(BytesIO(jpeg)), np.float64) - wanted) ** 2)))

    assert psnr(prepare(photo, longest_side=SIDE).jpeg) >= psnr(saved(reference(photo))) - 0.3


def test_a_figure_is_a_median_of_rounds_and_a_ratio_one_of_each_round() -> None:
    assert str(figure([3.0, 1.0, 2.0])) == "2.00 (1.00–3.00)"
    slow_round = ratio([10.0, 100.0, 12.0], [5.0, 50.0, 6.0])
    assert (slow_round.median, slow_round.low, slow_round.high) == (2, 2, 2)


def test_ways_take_turns() -> None:
    order: list[str] = []
    taking_turns({name: lambda name=name: order.append(name) for name in "ab"}, 2)  # type: ignore[misc]
    assert order == ["a", "b", "a", "b"]


def test_a_picture_says_what_it_shows() -> None:
    picture = bars("CPU per photo", {"ours": 60.0, "naive": 260.0}, unit="ms", ours="ours")
    assert "<title>CPU per photo</title>" in picture
    assert picture.count("<rect") == 3
