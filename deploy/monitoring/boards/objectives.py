"""Do we keep what we promise, and how much of each error budget is left?"""

from typing import Final

from monitoring.boards.layout import Row, board
from monitoring.burn_rates import BURNS
from monitoring.panels import firing, number, series
from monitoring.queries import query
from monitoring.slos import OBJECTIVES, PERIOD, Objective


def _row(objective: Objective) -> Row:
    chosen = f'{{objective="{objective.name}"}}'
    burning = [
        query(f"objective:error_ratio:rate{window}{chosen} / {objective.budget:g}", f"over {window}")
        for window in dict.fromkeys(burn.long for burn in BURNS)
    ]
    left = number(
        f"Budget left of {PERIOD}",
        query(f"objective:budget_left:ratio{PERIOD}{chosen}", now=True),
        unit="percentunit",
        low_is_bad=True,
        worrying=0.25,
        bad=0,
        runbook=objective.alert,
    )
    kept = number(
        f"Good within {PERIOD} (promised: {objective.target:.1%})",
        query(f"1 - objective:error_ratio:rate{PERIOD}{chosen}", now=True),
        unit="percentunit",
        low_is_bad=True,
        bad=objective.target,
        runbook=objective.alert,
    )
    speed = series(
        "How many times too fast is the budget spent?",
        *burning,
        bad=BURNS[0].factor,
        about="1 uses up the budget exactly within the period; somebody is woken at 14.4 over an hour, or 6 over six.",
        runbook=objective.alert,
    )
    return objective.title, [left, kept, speed]


BOARD: Final = board(
    "objectives",
    "fluxline: Objectives",
    "What is promised to users, and how much of it may still go wrong. docs/slo.md explains it.",
    [("Alerts", [firing("Which alerts fire?")]), *map(_row, OBJECTIVES)],
    hours=72,
)
