"""Panels of Grafana: what each shows, in which unit, from where on it is bad, and which page says what to do then.

Places are given by `boards.layout`; the models are those of Grafana's dashboard JSON, schema 41.
"""

from typing import Any, Final

from monitoring.queries import PROMETHEUS, Json

GREEN, ORANGE, RED = "green", "orange", "red"
_LETTERS: Final = "ABCDEFGHIJ"


def series(title: str, *queries: Json, unit: str = "short", stacked: bool = False, **more: Any) -> Json:
    """Lines over time."""
    custom: Json = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if stacked:
        custom |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40}
    if more.get("bad") is not None:
        custom["thresholdsStyle"] = {"mode": "line"}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return _panel("timeseries", title, queries, unit, options, custom, **more)


def number(title: str, *queries: Json, unit: str = "short", **more: Any) -> Json:
    """One figure each, coloured by whether it is bad."""
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    options = {"reduceOptions": reduced, "colorMode": "background", "graphMode": "area", "textMode": "auto"}
    return _panel("stat", title, queries, unit, options, {}, **more) | {"height": 5}


def bars(title: str, *queries: Json, unit: str = "short", **more: Any) -> Json:
    """A bar for each series, as it is now."""
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    options = {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "gradient", "showUnfilled": True}
    return _panel("bargauge", title, queries, unit, options, {}, **more)


def heat(title: str, *queries: Json, unit: str = "s", **more: Any) -> Json:
    """How often each duration occurs, over time; points are traces."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "yAxis": {"unit": unit},
        "exemplars": {"color": "rgba(30,100,255,0.8)"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "cellGap": 1,
    }
    return _panel("heatmap", title, queries, unit, options, {}, **more)


def table(title: str, *queries: Json, unit: str = "short", **more: Any) -> Json:
    """A row for each series, with its labels."""
    hidden = {"excludeByName": {"Time": True, "__name__": True, "job": True, "instance": True}}
    shown = {"id": "organize", "options": hidden}
    return _panel("table", title, queries, unit, {"showHeader": True}, {}, **more) | {"transformations": [shown]}


def firing(title: str) -> Json:
    """The alerts of Prometheus that fire, the worst first."""
    options = {
        "viewMode": "list",
        "groupMode": "default",
        "datasource": "Prometheus",
        "maxItems": 30,
        "sortOrder": 1,
        "stateFilter": {"firing": True, "pending": True, "error": True, "noData": False, "normal": False},
    }
    return {"type": "alertlist", "title": title, "options": options, "datasource": PROMETHEUS}


def _panel(
    kind: str,
    title: str,
    queries: tuple[Json, ...],
    unit: str,
    options: Json,
    custom: Json,
    *,
    bad: float | None = None,
    worrying: float | None = None,
    low_is_bad: bool = False,
    ceiling: float | None = None,
    about: str = "",
    runbook: str = "",
) -> Json:
    defaults: Json = {"unit": unit, "custom": custom, "thresholds": _thresholds(bad, worrying, low_is_bad), "min": 0}
    if low_is_bad:
        del defaults["min"]
    if ceiling is not None:
        defaults["max"] = ceiling
    if kind in ("stat", "bargauge", "table"):
        defaults["color"] = {"mode": "thresholds"}
    links = [{"title": f"What to do: {runbook}", "url": f"${{runbooks}}/{runbook}.md", "targetBlank": True}]
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": PROMETHEUS,
        "targets": [{"refId": letter, **one} for letter, one in zip(_LETTERS, queries, strict=False)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "links": links if runbook else [],
    }


def _thresholds(bad: float | None, worrying: float | None, low_is_bad: bool) -> Json:
    """From `bad` on it is red, from `worrying` on orange; or else below."""
    limits = sorted((value, color) for value, color in ((worrying, ORANGE), (bad, RED)) if value is not None)
    starts: list[float | None] = [None, *(value for value, _ in limits)]
    colors = [color for _, color in limits]
    colors = [*colors, GREEN] if low_is_bad else [GREEN, *colors]
    steps = [{"color": color, "value": start} for color, start in zip(colors, starts, strict=True)]
    return {"mode": "absolute", "steps": steps}
