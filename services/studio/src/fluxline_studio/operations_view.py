"""Tables of the operations pages: which columns they have, and what of the gateway's facts stands in them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fluxline_studio import texts
from fluxline_studio.phrasing import milliseconds, moment, usd

STAGES = {**texts.stages, "image_generation": "Pictures"}


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
    """Where a table's items come from, and what of each is shown; `link` leads from a row to a page."""

    title: str
    path: str
    columns: tuple[tuple[str, Callable[[Any], Any]], ...]
    params: dict[str, Any]
    link: Callable[[Any], str | None] = lambda _: None

    def table(self, items: Iterable[Any], problem: str | None = None) -> Table:
        """The table of these items."""
        listed = list(items)
        rows = [tuple(_text(cell(item)) for _, cell in self.columns) for item in listed]
        return Table(self.title, tuple(name for name, _ in self.columns), rows, [self.link(x) for x in listed], problem)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "–"
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
    "Alerts",
    "/v1/admin/alerts",
    (
        ("What", _of("title")), ("Severity", _of("severity")), ("State", _of("status")), ("Since", _time("opened_at")),
        ("Last seen", _time("last_seen_at")), ("Jobs", lambda item: item["count"]), ("What to do", _of("remedy")),
    ),
    {"limit": 50},
)  # fmt: skip
RULES = Source(
    "Rules",
    "/v1/admin/alerts/rules",
    (
        ("Rule", _of("name")), ("Severity", _of("severity")), ("Looks for", _of("condition")),
        ("Grouped by", _of("group_by")),
    ),
    {},
)  # fmt: skip
INSIGHTS = (
    Source(
        "Stage durations",
        "/v1/admin/insights/stages",
        (
            ("Stage", _stage), ("Since", _time("at")), ("Outcome", _of("outcome")), ("Attempts", _of("attempts")),
            ("Half within", _span("p50_ms")), ("95 % within", _span("p95_ms")), ("Longest", _span("max_ms")),
        ),
        {"limit": 20},
    ),
    Source(
        "Failures",
        "/v1/admin/insights/failures",
        (
            ("Stage", _stage), ("Since", _time("at")), ("Category", _category), ("Attempts", _of("attempts")),
            ("Failed", _of("failed")), ("Tried again", _of("retried")), ("Rate", _rate("error_rate")),
        ),
        {"limit": 20},
    ),
    Source(
        "Failed jobs",
        "/v1/admin/insights/jobs",
        (
            ("Training", _of("name")), ("Owner", _of("owner")), ("Stage", _stage), ("Category", _category),
            ("Message", _of("message")), ("Last event", _time("last_at")),
        ),
        {"limit": 20, "status": "failed"},
        _training,
    ),
    Source(
        "Retries",
        "/v1/admin/insights/retries",
        (
            ("Stage", _stage), ("Category", _category), ("Attempts", _of("attempts")),
            ("Helped", _rate("success_rate")), ("Half within", _span("p50_ms")),
        ),
        {"limit": 20},
    ),
    Source(
        "Costs",
        "/v1/admin/insights/costs",
        (
            ("Provider", _of("provider")), ("Since", _time("at")), ("Jobs", _of("jobs")),
            ("Cost", lambda item: usd(item["cost_usd"])), ("Mean", lambda item: usd(item["mean_usd"])),
            ("Lost", lambda item: usd(item["lost_usd"])),
        ),
        {"limit": 20},
    ),
)  # fmt: skip
LOGS = Source(
    "Logs",
    "/v1/admin/logs",
    (
        ("Time", _time("at")), ("Level", _of("level")), ("Service", _of("service")), ("Event", _of("event")),
        ("Facts", lambda item: " ".join(f"{name}={value}" for name, value in item["fields"].items())),
    ),
    {"limit": 100, "order": "newest"},
    _training,
)  # fmt: skip
OWNERS = Source(
    "Owners",
    "/v1/admin/owners",
    (
        ("Owner", _of("owner")), ("Running", _of("running")), ("Trainings", _of("trainings")),
        ("Models", _of("models")), ("Images", _of("images")),
        ("Spent", lambda item: usd(item["spend"]["spent_usd"])), ("Cap", lambda item: usd(item["spend"]["cap_usd"])),
        ("Since", _time("created_at")),
    ),
    {"limit": 50},
)  # fmt: skip
AUDIT = Source(
    "Calls",
    "/v1/admin/audit",
    (
        ("Time", _time("at")), ("Owner", _of("owner")), ("Call", lambda item: f"{item['method']} {item['path']}"),
        ("Status", _of("status")), ("From", _of("client")), ("Trace", _of("trace_id")),
    ),
    {"limit": 50},
)  # fmt: skip
