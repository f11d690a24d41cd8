"""What is shipped for operators: rules, dashboards, and each query in them."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).parents[2]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
Json = dict[str, Any]


class Query(NamedTuple):
    """A query, where it stands, and the labels that are shown of its answer."""

    place: str
    expr: str
    shown: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.place


@cache
def rules() -> list[Json]:
    """Every rule of Prometheus."""
    files = sorted((PROMETHEUS / "rules").glob("*.yml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[Json]:
    """Every rule that alerts."""
    return [rule for rule in rules() if "alert" in rule]


@cache
def boards() -> dict[str, Json]:
    """Every dashboard, by its file's name."""
    files = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def panels(board: Json) -> list[Json]:
    """What shows something on a dashboard."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    """Every query that is shipped."""
    return [*_of_rules(), *_of_boards()]


def _of_rules() -> Iterator[Query]:
    for rule in rules():
        name = rule.get("alert") or rule["record"]
        texts = " ".join(rule.get("annotations", {}).values())
        own = rule.get("labels", {})
        shown = frozenset(re.findall(r"\$labels\.(\w+)", texts)) - own.keys()
        yield Query(f"rule {name} {' '.join(map(str, own.values()))}".strip(), rule["expr"], shown)


def _of_boards() -> Iterator[Query]:
    for name, board in boards().items():
        for panel in panels(board):
            for target in panel.get("targets", ()):
                shown = frozenset(re.findall(r"{{(\w+)}}", target["legendFormat"])) - {"le"}
                place = f"{name}: {panel['title']} {target['refId']}"
                yield Query(place, target["expr"].replace("$__rate_interval", "5m"), shown)
        for choice in board["templating"]["list"]:
            if choice["type"] == "query":
                yield Query(f"{name}: ${choice['name']}", _chosen(choice["definition"]))
        for note in board["annotations"]["list"]:
            yield Query(f"{name}: {note['name']}", note["expr"])


def _chosen(definition: str) -> str:
    """`label_values(series, label)` as a query of the same series and label."""
    [series, label] = re.fullmatch(r"label_values\((.*), (\w+)\)", definition, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"count by ({label}) ({series})"
