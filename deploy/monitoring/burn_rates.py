"""The rules that watch the objectives: how fast each error budget is being spent, over several windows.

The windows and factors are those of the Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

from typing import Any, Final, NamedTuple

from monitoring.slos import OBJECTIVES, PERIOD, Objective

Rule = dict[str, Any]
RUNBOOKS: Final = '{{ or $externalLabels.runbooks "docs/runbooks" }}'


class Burn(NamedTuple):
    """Budget burns `factor` times faster than it may, in both windows: the short one ends the alert soon."""

    severity: str
    factor: float
    long: str
    short: str


BURNS: Final = (
    Burn("critical", 14.4, "1h", "5m"),
    Burn("critical", 6.0, "6h", "30m"),
    Burn("warning", 3.0, "1d", "2h"),
    Burn("warning", 1.0, "3d", "6h"),
)
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
SEVERITIES: Final = ("critical", "warning")
_FAST: Final = ("5m", "30m", "1h")


def objective_rules() -> dict[str, Any]:
    """The content of deploy/prometheus/rules/objectives.yml."""
    fast = [_ratio(objective, window) for objective in OBJECTIVES for window in WINDOWS if window in _FAST]
    slow = [_ratio(objective, window) for objective in OBJECTIVES for window in WINDOWS if window not in _FAST]
    return {
        "groups": [
            {"name": "fluxline-objectives-fast", "rules": fast},
            {"name": "fluxline-objectives-slow", "interval": "2m", "rules": slow},
            {"name": "fluxline-objectives-budget", "interval": "4m", "rules": _budgets()},
            {"name": "fluxline-objectives-alerts", "rules": [_alert(o, s) for o in OBJECTIVES for s in SEVERITIES]},
        ]
    }


def _ratio(objective: Objective, window: str) -> Rule:
    return _record(f"objective:error_ratio:rate{window}", objective.ratio(window), objective)


def _budgets() -> list[Rule]:
    rules = []
    for objective in OBJECTIVES:
        ratio = f'objective:error_ratio:rate{PERIOD}{{objective="{objective.name}"}}'
        rules += [
            _record("objective:target:ratio", f"vector({objective.target})", objective),
            _record(f"objective:error_ratio:rate{PERIOD}", objective.ratio(PERIOD), objective),
            _record(f"objective:budget_left:ratio{PERIOD}", f"1 - {ratio} / {objective.budget:g}", objective),
        ]
    return rules


def _record(name: str, query: str, objective: Objective) -> Rule:
    return {"record": name, "expr": query, "labels": {"objective": objective.name}}


def _alert(objective: Objective, severity: str) -> Rule:
    burns = [burn for burn in BURNS if burn.severity == severity]
    tells = f"{{{{ $value | humanizePercentage }}}} within {burns[0].long} or {burns[1].long}"
    return {
        "alert": objective.alert,
        "expr": "\nor\n".join(f"({_burning(objective, burn)})" for burn in burns),
        "labels": {"severity": severity, "objective": objective.name},
        "annotations": {
            "summary": objective.summary,
            "description": f"{objective.title}: {tells} did not; {objective.budget:.2%} may within {PERIOD}.",
            "runbook_url": f"{RUNBOOKS}/{objective.alert}.md",
        },
    }


def _burning(objective: Objective, burn: Burn) -> str:
    limit = f"{burn.factor:g} * {objective.budget:g}"
    long, short = (
        f'objective:error_ratio:rate{window}{{objective="{objective.name}"}} > {limit}'
        for window in (burn.long, burn.short)
    )
    return f"{long}\nand {short}\nand on () {objective.bad_events(burn.long)} >= {objective.at_least}"
