"""How do the stages do: how often, how long, with which errors?"""

from typing import Final

from monitoring.boards.layout import board, choice
from monitoring.panels import bars, heat, series
from monitoring.queries import increase, quantile, query, rate

_STAGE: Final = "fluxline_stage_duration_seconds"
_CHOSEN: Final = 'stage=~"$stage"'

BOARD: Final = board(
    "stages",
    "fluxline: Stages",
    "Attempts at the stages of the pipeline. A point in a heat map is an attempt: it leads to its trace.",
    [
        (
            "Attempts",
            [
                series(
                    "Attempts a second, by how they end",
                    query(rate(f"{_STAGE}_count", "stage", "outcome", where=_CHOSEN), "{{stage}} {{outcome}}"),
                    stacked=True,
                ),
                series(
                    "Which errors occur?",
                    query(
                        increase(f"{_STAGE}_count", "stage", "category", where=f'{_CHOSEN},category!=""'),
                        "{{stage}} {{category}}",
                    ),
                    stacked=True,
                    runbook="JobsFail",
                ),
                bars(
                    "Share of attempts that went wrong in 24 h",
                    query(
                        f'(sum by (stage) (increase({_STAGE}_count{{{_CHOSEN},outcome!="succeeded"}}[24h]))'
                        f" or sum by (stage) (increase({_STAGE}_count{{{_CHOSEN}}}[24h])) * 0)"
                        f" / sum by (stage) (increase({_STAGE}_count{{{_CHOSEN}}}[24h]))",
                        "{{stage}}",
                        now=True,
                    ),
                    unit="percentunit",
                    worrying=0.05,
                    bad=0.2,
                    ceiling=1,
                ),
            ],
        ),
        (
            "Durations of what succeeds",
            [
                series(
                    "Half of the attempts take at most",
                    query(quantile(0.5, _STAGE, "stage", where=f'{_CHOSEN},outcome="succeeded"'), "{{stage}}"),
                    unit="s",
                ),
                series(
                    "95 % of the attempts take at most",
                    query(quantile(0.95, _STAGE, "stage", where=f'{_CHOSEN},outcome="succeeded"'), "{{stage}}"),
                    unit="s",
                    runbook="StagesSlow",
                ),
            ],
        ),
        (
            "Each attempt",
            [
                heat(
                    "How long do attempts take?",
                    query(increase(f"{_STAGE}_bucket", "le", where=_CHOSEN), "{{le}}", heat=True),
                ),
            ],
        ),
        (
            "Archives",
            [
                series(
                    "Photos a second, by verdict",
                    query(rate("fluxline_images_total", "verdict"), "{{verdict}}"),
                    stacked=True,
                ),
                series(
                    "How long does a photo take?",
                    query(quantile(0.5, "fluxline_image_seconds"), "half"),
                    query(quantile(0.95, "fluxline_image_seconds"), "95 %"),
                    unit="s",
                ),
                series(
                    "Bytes read and written a second",
                    query(rate("fluxline_image_bytes_total", "direction"), "{{direction}}"),
                    unit="Bps",
                ),
            ],
        ),
    ],
    [choice("stage", "Stage", f"{_STAGE}_count")],
)
