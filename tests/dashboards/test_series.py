"""Rules and dashboards ask for series, labels and values that there are; tests/e2e asks a running stack the same."""

import pytest

from . import shipped
from .catalog import complete, documented, exposed, silent
from .check import problems, problems_with
from .promql import read

EXPOSED = """
# TYPE jobs_total counter
jobs_total{stage="zip_creation",durable="zipper"} 1
# TYPE seconds histogram
seconds_bucket{le="0.5"} 1
seconds_bucket{le="+Inf"} 1
seconds_count 1
seconds_sum 0.2
# TYPE waiting gauge
"""


def test_everything_that_is_asked_for_is_documented() -> None:
    page = (shipped.ROOT / "docs" / "metrics.md").read_text()
    assert problems(documented(page)) == []


def test_without_the_services_everything_is_missing() -> None:
    assert len(problems_with([""])) > 100


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("sum(rate(jobs_totl[5m]))", "there is no series jobs_totl"),
        ('jobs_total{stge="zip_creation"}', "jobs_total has no label stge"),
        ('jobs_total{stage="zip"}', "jobs_total never has stage=zip"),
        ('jobs_total{durable=~"zipper|ziper"}', "jobs_total never has durable=ziper"),
        ('seconds_bucket{le="0.25"}', "seconds_bucket never has le=0.25"),
        ("sum by (stge) (jobs_total)", "sum by (stge): no such label there"),
        ("jobs_total / on (stage) seconds_count", "on (stage): no such label there"),
        ("histogram_quantile(0.9, sum by (service) (seconds_bucket))", "histogram_quantile of what has no label le"),
    ],
)
def test_what_does_not_exist_is_found(query: str, problem: str) -> None:
    _, reading = read(query, exposed([EXPOSED]))
    assert reading.problems == [problem]


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("sum by (stage) (jobs_total)", {"stage"}),
        ("sum(jobs_total)", set()),
        ("sum without (stage, job) (jobs_total)", {"durable", "service", "instance"}),
        ("histogram_quantile(0.9, sum by (service, le) (rate(seconds_bucket[5m])))", {"service"}),
        ('absent(jobs_total{durable="zipper"})', {"durable"}),
        ("max_over_time(waiting[1h:1m]) unless on (service) jobs_total", {"service", "instance", "job"}),
        ("sum by (stage) (jobs_total) * on (stage) sum by (stage) (jobs_total)", {"stage"}),
        ("topk(3, sum by (durable) (jobs_total))", {"durable"}),
    ],
)
def test_the_labels_of_an_answer_are_known(query: str, labels: set[str]) -> None:
    found, reading = read(query, exposed([EXPOSED]))
    assert (found, reading.problems) == (labels, [])


def test_a_series_that_counted_nothing_yet_exists_without_labels() -> None:
    assert silent([EXPOSED]) == {"waiting"}
    assert "waiting" in exposed([EXPOSED])


def test_recorded_series_have_the_labels_of_their_rule() -> None:
    known = complete(documented((shipped.ROOT / "docs" / "metrics.md").read_text()))
    assert known["durable:fluxline_messages:rate5m"].labels == {"durable", "outcome"}
    assert known["objective:error_ratio:rate1h"].labels == {"objective"}
