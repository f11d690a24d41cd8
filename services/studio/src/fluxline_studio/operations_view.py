"""Tables of the operations pages: which columns they have, and what of the gateway's facts stands in them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fluxline_studio import texts, texts_console
from fluxline_studio.phrasing import milliseconds, moment, usd

STAGES = {**texts.stages, "image_generation": texts.generate.pictures}
c, titles = texts_console.columns, texts_console.tables


@dataclass(frozen=True)
class Table:
    """A titled table; cells are texts, and the first of a row may lead to a page."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    links: list[str | None]
    problem: str | None = None


@dataclass(frozen=True)
class Source:
    """Where a table's items come from, and what of each is shown; `link` leads from a row to a page.

    `staged` says that a stage can be asked for.
    """

    title: str
    path: str
    columns: tuple[tuple[str, Callable[[Any], Any]], ...]
    params: dict[str, Any]
    link: Callable[[Any], str | None] = lambda _: None
    staged: bool = True

    def table(self, items: Iterable[Any], problem: str | None = None) -> Table:
        """The table of these items."""
        listed = list(items)
        rows = [tuple(_text(cell(item)) for _, cell in self.columns) for item in listed]
        return Table(self.title, tuple(name for name, _ in self.columns), rows, [self.link(x) for x in listed], problem)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, Markup):
        return value
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _of(name: str) -> Callable[[Any], Any]:
    return lambda item: item[name]


def _time(name: str) -> Callable[[Any], Any]:
    return lambda item: moment(item[name])


def _span(name: str) -> Callable[[Any], Any]:
    return lambda item: milliseconds(item[name])


def _rate(name: str) -> Callable[[Any], Any]:
    return lambda item: None if item[name] is None else f"{item[name]:.1%}"


def _stage(item: Any) -> Any:
    return STAGES.get(item["stage"], item["stage"])


def _category(item: Any) -> Any:
    return texts.categories.get(item["category"], item["category"])


def _training(item: Any) -> str | None:
    return f"/trainings/{item['training_id']}" if item.get("training_id") else None


ALERTS = Source(
    titles.alerts,
    "/v1/admin/alerts",
    (
        (c.what, _of("title")), (c.severity, _of("severity")), (c.state, _of("status")), (c.since, _time("opened_at")),
        (c.last_seen, _time("last_seen_at")), (c.jobs, lambda item: item["count"]), (c.remedy, _of("remedy")),
    ),
    {"limit": 50},
)  # fmt: skip
RULES = Source(
    titles.rules,
    "/v1/admin/alerts/rules",
    (
        (c.rule, _of("name")), (c.severity, _of("severity")), (c.looks_for, _of("condition")),
        (c.grouped_by, _of("group_by")),
    ),
    {},
)  # fmt: skip
INSIGHTS = (
    Source(
        titles.stage_durations,
        "/v1/admin/insights/stages",
        (
            (c.stage, _stage), (c.since, _time("at")), (c.outcome, _of("outcome")), (c.attempts, _of("attempts")),
            (c.p50, _span("p50_ms")), (c.p95, _span("p95_ms")), (c.longest, _span("max_ms")),
        ),
        {"limit": 20},
    ),
    Source(
        titles.failures,
        "/v1/admin/insights/failures",
        (
            (c.stage, _stage), (c.since, _time("at")), (c.category, _category), (c.attempts, _of("attempts")),
            (c.failed, _of("failed")), (c.tried_again, _of("retried")), (c.rate, _rate("error_rate")),
        ),
        {"limit": 20},
    ),
    Source(
        titles.failed_jobs,
        "/v1/admin/insights/jobs",
        (
            (c.training, _of("name")), (c.owner, _of("owner")), (c.stage, _stage), (c.category, _category),
            (c.message, _of("message")), (c.last_event, _time("last_at")),
        ),
        {"limit": 20, "status": "failed"},
        _training,
    ),
    Source(
        titles.retries,
        "/v1/admin/insights/retries",
        (
            (c.stage, _stage), (c.category, _category), (c.attempts, _of("attempts")),
            (c.helped, _rate("success_rate")), (c.p50, _span("p50_ms")),
        ),
        {"limit": 20},
    ),
    Source(
        titles.costs,
        "/v1/admin/insights/costs",
        (
            (c.provider, _of("provider")), (c.since, _time("at")), (c.jobs, _of("jobs")),
            (c.cost, lambda item: usd(item["cost_usd"])), (c.mean, lambda item: usd(item["mean_usd"])),
            (c.lost, lambda item: usd(item["lost_usd"])),
        ),
        {"limit": 20},
        staged=False,
    ),
)  # fmt: skip
LOGS = Source(
    titles.logs,
    "/v1/admin/logs",
    (
        (c.time, _time("at")), (c.level, _of("level")), (c.service, _of("service")), (c.event, _of("event")),
        (c.facts, lambda item: " ".join(f"{name}={value}" for name, value in item["fields"].items())),
    ),
    {"limit": 100, "order": "newest"},
    _training,
)  # fmt: skip
OWNERS = Source(
    titles.owners,
    "/v1/admin/owners",
    (
        (c.owner, _of("owner")), (c.running, _of("running")), (c.trainings, _of("trainings")),
        (c.models, _of("models")), (c.images, _of("images")),
        (c.spent, lambda item: usd(item["spend"]["spent_usd"])), (c.cap, lambda item: usd(item["spend"]["cap_usd"])),
        (c.since, _time("created_at")),
    ),
    {"limit": 50},
)  # fmt: skip
AUDIT = Source(
    titles.calls,
    "/v1/admin/audit",
    (
        (c.time, _time("at")), (c.owner, _of("owner")), (c.call, lambda item: f"{item['method']} {item['path']}"),
        (c.status, _of("status")), (c.client, _of("client")), (c.trace, _of("trace_id")),
    ),
    {"limit": 50},
)  # fmt: skip
