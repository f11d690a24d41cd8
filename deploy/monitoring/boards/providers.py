"""Do Replicate, Hugging Face and the others answer, how fast, and how close are we to our limits?"""

from typing import Final

from monitoring.boards.layout import board, choice
from monitoring.panels import heat, number, series, table
from monitoring.queries import increase, quantile, query, rate

_CALLS: Final = "fluxline_provider_calls_total"
_SECONDS: Final = "fluxline_provider_call_seconds"
_CHOSEN: Final = 'provider=~"$provider"'
_ERRORS: Final = f'{_CHOSEN},outcome!~"ok|canceled"'

BOARD: Final = board(
    "providers",
    "fluxline: Providers",
    "Calls to other people's APIs. A point in the heat map is a call: it leads to its trace.",
    [
        (
            "Now",
            [
                number(
                    "Share of calls that fail",
                    query(f"provider:fluxline_provider_errors:ratio_rate15m{{{_CHOSEN}}}", "{{provider}}", now=True),
                    unit="percentunit",
                    worrying=0.05,
                    bad=0.2,
                    runbook="ProviderErrors",
                ),
                number(
                    "Refused in 24 h: key or money",
                    query(
                        f'sum(increase({_CALLS}{{{_CHOSEN},outcome=~"authentication|billing"}}[24h])) or vector(0)',
                        now=True,
                    ),
                    bad=1,
                    runbook="ProviderRefusesUs",
                ),
                number(
                    "Told to slow down in 24 h",
                    query(f'sum(increase({_CALLS}{{{_CHOSEN},outcome="rate_limit"}}[24h])) or vector(0)', now=True),
                    worrying=1,
                ),
            ],
        ),
        (
            "Calls",
            [
                series(
                    "Calls a second",
                    query(rate(_CALLS, "provider", "operation", where=_CHOSEN), "{{provider}} {{operation}}"),
                    stacked=True,
                ),
                series(
                    "Which errors do they answer with?",
                    query(
                        increase(_CALLS, "provider", "operation", "outcome", where=_ERRORS),
                        "{{provider}} {{operation}}: {{outcome}}",
                    ),
                    stacked=True,
                    runbook="ProviderErrors",
                ),
            ],
        ),
        (
            "Durations",
            [
                series(
                    "95 % of the calls take at most",
                    query(
                        quantile(0.95, _SECONDS, "provider", "operation", where=_CHOSEN), "{{provider}} {{operation}}"
                    ),
                    unit="s",
                ),
                heat(
                    "How long does each call take?",
                    query(increase(f"{_SECONDS}_bucket", "le", where=_CHOSEN), "{{le}}", heat=True),
                ),
            ],
        ),
        (
            "Limits",
            [
                series(
                    "Calls under way",
                    query(f"sum by (provider) (fluxline_provider_calls_in_flight{{{_CHOSEN}}})", "{{provider}}"),
                    query(f"sum by (provider) (fluxline_provider_calls_limit{{{_CHOSEN}}})", "limit of {{provider}}"),
                    runbook="ProviderAtLimit",
                ),
                table(
                    "Every operation in 24 h, by outcome",
                    query(
                        f"sum by (provider, operation, outcome) (increase({_CALLS}{{{_CHOSEN}}}[24h])) > 0", table=True
                    ),
                ),
            ],
        ),
    ],
    [choice("provider", "Provider", _CALLS)],
)
