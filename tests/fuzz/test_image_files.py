"""No file, whatever it is, crashes, hangs or exhausts what looks at it: the inspection and the zipper's preparation."""

import os
from collections import Counter
from pathlib import Path

import pytest

from fuzz.child import Bounds, Trial, findings, judge_all, report
from fuzz.image_trial import SEED, judge, make_file, make_large_file

FILES = int(os.environ.get("FUZZ_IMAGES", "150"))
LARGE_FILES = FILES // 500
SMALL = Bounds(seconds=5, memory_mb=1700)
LARGE = Bounds(seconds=10, memory_mb=2000)
SMALL_PEAK_MB = 800
LARGE_PEAK_MB = 1700


@pytest.mark.timeout(60 + FILES)
def test_every_image_gets_a_verdict_within_bounds(tmp_path: Path) -> None:
    outcomes = judge_all(Trial(make_file, judge), range(FILES), SMALL, tmp_path)
    report("images", SEED, outcomes)
    assert len(outcomes) == FILES
    found = findings(SEED, outcomes, SMALL, SMALL_PEAK_MB)
    assert not found, "\n".join(found)
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    assert verdicts["accepted"] > FILES * 0.1, verdicts
    assert len(verdicts) >= 5, verdicts


@pytest.mark.skipif(not LARGE_FILES, reason="seconds for each file: make test-fuzz")
@pytest.mark.timeout(60 * LARGE_FILES + 60)
def test_the_largest_images_cost_no_more_than_is_said(tmp_path: Path) -> None:
    outcomes = judge_all(Trial(make_large_file, judge), range(LARGE_FILES), LARGE, tmp_path)
    report("large images", SEED, outcomes)
    found = findings(SEED, outcomes, LARGE, LARGE_PEAK_MB)
    assert not found, "\n".join(found)
