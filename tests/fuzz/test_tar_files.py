"""No archive, whatever it is, crashes, hangs or exhausts what reads it, or leaves the folder it is unpacked into."""

import os
from collections import Counter
from pathlib import Path

import pytest

from fuzz.child import Bounds, Trial, findings, judge_all, report
from fuzz.tar_trial import SEED, judge_tar, make_tar

ARCHIVES = int(os.environ.get("FUZZ_TARS", "100"))
BOUNDS = Bounds(seconds=5, memory_mb=1024)
PEAK_MB = 320


@pytest.mark.timeout(60 + ARCHIVES)
def test_every_archive_is_refused_or_stays_in_its_folder(tmp_path: Path) -> None:
    outcomes = judge_all(Trial(make_tar, judge_tar), range(ARCHIVES), BOUNDS, tmp_path)
    report("archives", SEED, outcomes)
    assert len(outcomes) == ARCHIVES
    found = findings(SEED, outcomes, BOUNDS, PEAK_MB)
    assert not found, "\n".join(found)
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    assert verdicts["unpacked"] > ARCHIVES * 0.1, verdicts
    assert len(verdicts) >= 5, verdicts
