"""`fluxline insights`: what goes on across all trainings; needs a key with the scope admin."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from fluxline.contracts.insights import DEFAULT_SPAN_DAYS
from fluxline.contracts.narration import STAGE_NAMES
from fluxline_cli.calls import Column, JsonOption, LimitOption, ask_list, field, plain, print_items
from fluxline_cli.client import Json
from fluxline_cli.console import console

app = typer.Typer(
    help="Durations, failures, retries and costs across all trainings (scope admin).", no_args_is_help=True
)
PATH: Final = "/v1/admin/insights"
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
WIDE: Final = 120
"""Columns of a terminal that has room for names beside ids."""
SinceOption = Annotated[
    str, typer.Option(help="From then on: as long ago as 30m, 12h, 7d or 2w, or a time like 2026-11-25T10:00 (UTC)")
]
UntilOption = Annotated[str | None, typer.Option(help="Before then, said the same way; now if left out")]
BucketOption = Annotated[str | None, typer.Option(help="A row for each hour or day, instead of one for all")]
StageOption = Annotated[str | None, typer.Option(help="Only this stage, like replicate_training")]
ProviderOption = Annotated[str | None, typer.Option(help="Only this provider, like replicate")]
VersionOption = Annotated[str | None, typer.Option(help="Only work of services of this version")]
CategoryOption = Annotated[str | None, typer.Option(help="Only this error category")]
OwnerOption = Annotated[str | None, typer.Option(help="Only trainings of this owner")]
LAST: Final = f"{DEFAULT_SPAN_DAYS}d"


@app.command()
def stages(
    since: SinceOption = LAST,
    until: UntilOption = None,
    bucket: BucketOption = None,
    stage: StageOption = None,
    provider: ProviderOption = None,
    version: VersionOption = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show how long stages took, as percentiles, by how their attempts ended."""
    filters = {"bucket": bucket, "stage": stage, "provider": provider, "version": version}
    shown = ("p50", "p99") if bucket else ("p50", "p90", "p95", "p99")
    columns = (
        STAGE,
        ("provider", field("provider")),
        ("outcome", field("outcome")),
        ATTEMPTS,
        *map(_percentile, shown),
    )
    _show("stages", _in_buckets(bucket, columns), since, until, filters, limit, as_json, "no attempt ended")


@app.command()
def failures(
    since: SinceOption = LAST,
    until: UntilOption = None,
    bucket: BucketOption = None,
    stage: StageOption = None,
    provider: ProviderOption = None,
    version: VersionOption = None,
    category: CategoryOption = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show which share of the attempts went wrong, by category; `all` are the errors of every category together."""
    filters = {"bucket": bucket, "stage": stage, "provider": provider, "version": version, "category": category}
    counts = () if bucket else (("failed", field("failed")), ("again", field("retried")), ("of", field("attempts")))
    columns = (
        STAGE,
        ("provider", field("provider")),
        ("version", field("service_version")),
        ("category", lambda item: item["category"] or "all"),
        *counts,
        ("rate", _share("error_rate")),
    )
    _show("failures", _in_buckets(bucket, columns), since, until, filters, limit, as_json, "no attempt ended")


@app.command()
def jobs(
    since: Annotated[str | None, typer.Option(help=f"Requested from then on ({LAST}; with --stuck always)")] = None,
    until: UntilOption = None,
    sort: Annotated[str, typer.Option(help="newest, slowest or costliest")] = "newest",
    status: Annotated[str | None, typer.Option(help="running, succeeded, failed or canceled")] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="Those that are silent for too long")] = False,
    min_duration: Annotated[str | None, typer.Option(help="Those that took as long as 90s, 10m or 2h")] = None,
    stage: StageOption = None,
    category: CategoryOption = None,
    provider: ProviderOption = None,
    owner: OwnerOption = None,
    query: Annotated[str | None, typer.Option("--query", "-q", help="A part of name, message or id")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List everybody's trainings: the newest, the slowest, the costliest, or those that are stuck."""
    filters: Json = {"sort": sort, "status": status, "stage": stage, "category": category, "provider": provider}
    filters |= {"owner": owner, "q": query, "stuck": "true" if stuck else None}
    filters |= {"min_duration_ms": _milliseconds(min_duration) if min_duration else None}
    silent = (("silent", _duration("silent_ms")), ("usual", _duration("stuck_after_ms")))
    took = (("took", _duration("duration_ms")), ("cost", _dollars("cost_usd")))
    named = (("name", field("name")), ("owner", field("owner"))) if console.width >= WIDE else ()
    columns = (("id", field("training_id")), ("status", _status), STAGE, *(silent if stuck else took), *named)
    empty = "no training is stuck" if stuck else "no training was requested"
    _show("jobs", columns, since if stuck else since or LAST, until, filters, limit, as_json, empty)


@app.command()
def retries(
    since: SinceOption = LAST,
    until: UntilOption = None,
    stage: StageOption = None,
    category: CategoryOption = None,
    provider: ProviderOption = None,
    version: VersionOption = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show whether trying again helped: of how many runs, and how long it took from the first failure to success."""
    filters = {"stage": stage, "category": category, "provider": provider, "version": version}
    columns = (
        STAGE,
        ("category", field("category")),
        ("by", lambda item: "hand" if item["kind"] == "by_hand" else "itself"),
        ("runs", field("runs")),
        ("helped", field("succeeded")),
        ("rate", _share("success_rate")),
        *map(_percentile, ("p50", "p95")),
    )
    _show("retries", columns, since, until, filters, limit, as_json, "nothing was tried again")


@app.command()
def providers(
    since: SinceOption = LAST,
    until: UntilOption = None,
    bucket: BucketOption = None,
    stage: StageOption = None,
    provider: ProviderOption = None,
    version: VersionOption = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show how long attempts took that talk to a provider, whatever came of them."""
    filters = {"bucket": bucket, "stage": stage, "provider": provider, "version": version}
    shown = ("p50", "p99") if bucket else ("p50", "p90", "p95", "p99")
    columns = (
        ("provider", field("provider")),
        STAGE,
        ATTEMPTS,
        ("errors", _share("error_rate")),
        *map(_percentile, shown),
    )
    _show("providers", _in_buckets(bucket, columns), since, until, filters, limit, as_json, "no attempt ended")


@app.command()
def costs(
    since: SinceOption = LAST,
    until: UntilOption = None,
    bucket: BucketOption = None,
    provider: ProviderOption = None,
    owner: OwnerOption = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show what trainings have cost; `lost` was paid for those that failed or were canceled."""
    filters = {"bucket": bucket, "provider": provider, "owner": owner}
    columns = (
        ("provider", field("provider")),
        ("jobs", field("jobs")),
        ("runs", field("runs")),
        *((name, _dollars(f"{source}_usd")) for name, source in AMOUNTS.items()),
    )
    _show("costs", _in_buckets(bucket, columns), since, until, filters, limit, as_json, "nothing was paid")


AMOUNTS: Final = {"total": "cost", "mean": "mean", "dearest": "max", "lost": "lost"}
SHORT_NAMES: Final = STAGE_NAMES | {"image_generation": "Generation"}
STAGE: Final[Column] = ("stage", lambda item: SHORT_NAMES.get(item["stage"], item["stage"]))
ATTEMPTS: Final[Column] = ("count", field("attempts"))
AT: Final[Column] = ("from (UTC)", lambda item: str(item["at"])[2:16].replace("T", " ").removesuffix(" 00:00"))


def _show(
    what: str,
    columns: tuple[Column, ...],
    since: str | None,
    until: str | None,
    filters: dict[str, Any],
    limit: int,
    as_json: bool,
    empty: str,
) -> None:
    """Ask for the span, which is said as people say it, and print the answer."""
    now = datetime.now(UTC)
    span = {name: moment_of(text, now) for name, text in (("since", since), ("until", until)) if text}
    found = ask_list(f"{PATH}/{what}", limit, **{name: value for name, value in filters.items() if value}, **span)
    print_items(found, columns, as_json=as_json, empty=f"{empty} in this time" if since else empty)


def moment_of(text: str, now: datetime) -> str:
    """As long before `now` as `7d` says, or the time itself, in UTC where it has no zone; as ISO 8601."""
    if ago := _span(text):
        try:
            return (now - ago).isoformat()
        except OverflowError:
            raise typer.BadParameter(f"{text!r} is too long ago") from None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither like 30m, 12h, 7d, 2w nor like 2026-11-25T10:00") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def _span(text: str) -> timedelta | None:
    """What `90s`, `10m`, `12h`, `7d`, `2w` say; None for anything else."""
    found = re.fullmatch(r"(\d{1,7})([smhdw])", text.strip())
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None


def _milliseconds(text: str) -> int:
    span = _span(text)
    if span is None:
        raise typer.BadParameter(f"{text!r} is no duration like 90s, 10m or 2h")
    return span // timedelta(milliseconds=1)


def _in_buckets(bucket: str | None, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    return (AT, *columns) if bucket else columns


def _percentile(name: str) -> Column:
    return name, _duration(f"{name}_ms")


def _duration(name: str) -> Callable[[Json], object]:
    return lambda item: short(item[name])


def short(milliseconds: int | None) -> str:
    """A duration in six characters: `350ms`, `2.3s`, `14m44s`, `3h10m`, `12d5h`; nothing where there is none."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return f"{milliseconds / 1000:.1f}s"
    for limit, large, small in ((3600, (60, "m"), (1, "s")), (86400, (3600, "h"), (60, "m"))):
        if seconds < limit:
            return f"{seconds // large[0]}{large[1]}{seconds % large[0] // small[0]:02}{small[1]}"
    return f"{seconds // 86400}d{seconds % 86400 // 3600}h"


def _share(name: str) -> Callable[[Json], object]:
    return lambda item: "" if item[name] is None else f"{item[name]:.1%}"


def _dollars(name: str) -> Callable[[Json], object]:
    """With cents below a thousand dollars."""
    return lambda item: "" if item[name] is None else f"${item[name]:.{2 if item[name] < 1000 else 0}f}"


def _status(item: Json) -> object:
    return "stuck" if item["stuck"] else plain(item["status"])
