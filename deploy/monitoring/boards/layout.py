"""A dashboard: rows of panels that share the width, and the links and choices that all dashboards have."""

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from monitoring.queries import PROMETHEUS, Json

WIDTH: Final = 24
HEIGHT: Final = 8
TAG: Final = "fluxline"
Row = tuple[str, list[Json]]
"""A heading, and the panels below it, side by side."""


def board(uid: str, title: str, about: str, rows: Sequence[Row], choices: Sequence[Json] = (), hours: int = 6) -> Json:
    """The dashboard's JSON; `hours` are shown when it is opened."""
    return {
        "uid": f"fluxline-{uid}",
        "title": title,
        "description": about,
        "tags": [TAG],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "timezone": "browser",
        "time": {"from": f"now-{hours}h", "to": "now"},
        "templating": {"list": [*_FIXED, *choices]},
        "annotations": {"list": [_RESTARTS]},
        "links": _LINKS,
        "panels": _placed(rows),
    }


def choice(name: str, label: str, series: str) -> Json:
    """A choice among the values that a label has, all of them unless somebody chooses."""
    values = f"label_values({series}, {name})"
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": PROMETHEUS,
        "query": {"query": values, "refId": name},
        "definition": values,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(rows: Sequence[Row]) -> list[Json]:
    panels: list[Json] = []
    y = 0
    for heading, row in rows:
        panels.append(_with_place({"type": "row", "title": heading, "collapsed": False, "panels": []}, 0, y, WIDTH, 1))
        height = max(int(panel.get("height", HEIGHT)) for panel in row)
        width = WIDTH // len(row)
        for column, panel in enumerate(row):
            plain = {name: value for name, value in panel.items() if name != "height"}
            panels.append(_with_place(plain, column * width, y + 1, width, height))
        y += height + 1
    return [{"id": number, **panel} for number, panel in enumerate(panels, 1)]


def _with_place(panel: Json, x: int, y: int, width: int, height: int) -> Json:
    return {**panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _explore(datasource: str, **query: str) -> str:
    """The address of Grafana's Explore with a query."""
    queries = [{"refId": "A", "datasource": {"type": datasource, "uid": datasource}, **query}]
    pane = {"datasource": datasource, "queries": queries, "range": {"from": "now-1h", "to": "now"}}
    return f"/explore?schemaVersion=1&panes={quote(json.dumps({'a': pane}, separators=(',', ':')))}"


_RUNBOOKS: Final = "/public/runbooks"
_FIXED: Final[list[Json]] = [
    {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "hide": 2},
    {
        "type": "constant",
        "name": "runbooks",
        "label": "Runbooks",
        "query": _RUNBOOKS,
        "hide": 2,
        "current": {"text": _RUNBOOKS, "value": _RUNBOOKS},
    },
]
_LINKS: Final[list[Json]] = [
    {
        "type": "dashboards",
        "title": "fluxline",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
    },
    {
        "type": "link",
        "title": "Traces",
        "url": _explore("jaeger", queryType="search", service="gateway"),
        "icon": "bolt",
    },
    {"type": "link", "title": "Runbooks", "url": "${runbooks}/README.md", "icon": "doc", "targetBlank": True},
]
_RESTARTS: Final[Json] = {
    "name": "Starts of services",
    "datasource": PROMETHEUS,
    "enable": True,
    "iconColor": "blue",
    "expr": 'changes(process_start_time_seconds{job="fluxline"}[1m]) > 0',
    "titleFormat": "{{service}} started",
    "step": "60s",
}
