"""What a training will probably take and cost: the provider's figures, and what trainings here have shown. Pure.

What is assumed rather than known is said in `assumptions`, with its numbers, for whoever reads the estimate.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from fluxline.contracts import limits
from fluxline.contracts.errors import Stage
from fluxline_gateway.trainings.state import PIPELINE

MIN_PAST: Final = 3
"""From how many completed trainings on they count for more than the provider's figures."""
USUAL_IMAGES: Final = 10
"""How many are assumed where none are named."""
WIDEST: Final = 4.0
"""By how much `low` and `high` may differ from the likely factor, should single trainings have been far off."""
NARROWEST: Final = 1.1
SET_UP_S: Final = 120.0
WEIGHTS_MB_PER_RANK: Final = 172 / 16
"""172 MB at rank 16: what ostris/flux-dev-lora-trainer writes."""
_TEXT_TOKENS: Final = 512


class Figures(NamedTuple):
    """A low, a likely and a high value of the same thing."""

    low: float
    likely: float
    high: float

    def plus(self, *others: "Figures") -> "Figures":
        """The sum; lows with lows, highs with highs."""
        return Figures(*(sum(values) for values in zip(self, *others, strict=True)))

    def times(self, factor: float) -> "Figures":
        """Each value, multiplied."""
        return Figures(*(value * factor for value in self))


NOTHING: Final = Figures(0, 0, 0)
STEP_S: Final = Figures(*((minutes * 60 - SET_UP_S) / 1000 for minutes in (15, 17.5, 20)))
"""Replicate: 1000 steps of ostris/flux-dev-lora-trainer on an H100 take 15 to 20 minutes. Set-up is our share of it."""
QUEUE_S: Final = Figures(5, 45, 300)
ZIP_S: Final = Figures(1, 2, 5)
ZIP_S_PER_IMAGE: Final = Figures(0.05, 0.3, 1.5)
"""From a small JPEG to a large HEIC on one core, and its way from and to the storage."""
PUBLISH_S: Final = Figures(3, 6, 20)
UPLOAD_S_PER_MB: Final = Figures(1 / 50, 1 / 20, 1 / 5)
KEEP_S: Final = Figures(1, 3, 10)
"""Checking the weights and keeping them, where nothing is published."""


class Spread(BaseModel):
    """Between `low` and `high`, most likely `likely`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"low": 1.37, "likely": 1.6, "high": 1.83}]})

    low: float
    likely: float
    high: float


class StageEstimate(BaseModel):
    """What one stage takes and costs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "stage": "replicate_training",
                    "duration_s": {"low": 905, "likely": 1095, "high": 1500},
                    "cost_usd": {"low": 1.3725, "likely": 1.6013, "high": 1.83},
                }
            ]
        }
    )

    stage: Stage
    duration_s: Spread
    cost_usd: Spread


class Estimate(BaseModel):
    """A whole training; `based_on` is how many completed trainings of this installation were looked at."""

    cost_usd: Spread
    duration_s: Spread
    stages: list[StageEstimate]
    assumptions: list[str]
    based_on: int


@dataclass(frozen=True)
class Plan:
    """What of a training decides on its time and cost; `image_count` is None where no images are named."""

    steps: int = limits.DEFAULT_STEPS
    resolution: str = limits.DEFAULT_RESOLUTION
    lora_rank: int = limits.DEFAULT_LORA_RANK
    image_count: int | None = None
    publish: bool = False


@dataclass(frozen=True)
class Past:
    """A training that completed without a retry: seconds of each stage, as far as known, and US dollars."""

    plan: Plan
    seconds: Mapping[Stage, float]
    cost_usd: float | None


@dataclass(frozen=True)
class Lessons:
    """What to multiply the provider's figures by, from `count` trainings; None where too few have told."""

    count: int
    times: Mapping[Stage, Figures | None]
    cost: Figures | None


def lessons_of(past: Sequence[Past], usd_per_second: float) -> Lessons:
    """What these trainings have shown, at the provider's price of a second of training."""
    times = {stage: _factor(_time_ratios(stage, past)) for stage in PIPELINE}
    return Lessons(len(past), times, _factor(_cost_ratios(past, usd_per_second)))


def estimate(plan: Plan, lessons: Lessons, usd_per_second: float) -> Estimate:
    """The estimate of `plan`, at the provider's price of a second of training."""
    durations = {stage: _scaled(_duration(stage, plan), lessons.times[stage]) for stage in PIPELINE}
    costs = dict.fromkeys(PIPELINE, NOTHING)
    costs[Stage.REPLICATE_TRAINING] = _scaled(_billed(plan).times(usd_per_second), lessons.cost)
    stages = [
        StageEstimate(stage=stage, duration_s=_spread(durations[stage], 1), cost_usd=_spread(costs[stage], 4))
        for stage in PIPELINE
    ]
    return Estimate(
        cost_usd=_spread(NOTHING.plus(*costs.values()), 4),
        duration_s=_spread(NOTHING.plus(*durations.values()), 1),
        stages=stages,
        assumptions=[*_assumed(plan, usd_per_second), _learned(lessons)],
        based_on=lessons.count,
    )


def _duration(stage: Stage, plan: Plan) -> Figures:
    """Seconds by the provider's figures alone."""
    if stage is Stage.ZIP_CREATION:
        return ZIP_S.plus(ZIP_S_PER_IMAGE.times(plan.image_count or USUAL_IMAGES))
    if stage is Stage.REPLICATE_TRAINING:
        return QUEUE_S.plus(_billed(plan))
    return PUBLISH_S.plus(UPLOAD_S_PER_MB.times(WEIGHTS_MB_PER_RANK * plan.lora_rank)) if plan.publish else KEEP_S


def _billed(plan: Plan) -> Figures:
    """Seconds that the provider takes money for."""
    steps = STEP_S.times(plan.steps * _step_factor(plan.resolution))
    return steps.plus(Figures(SET_UP_S, SET_UP_S, SET_UP_S))


def _step_factor(resolution: str) -> float:
    """A step's work relative to one of the default resolutions, each of which has its turn."""
    return _tokens(resolution) / _tokens(limits.DEFAULT_RESOLUTION)


def _tokens(resolution: str) -> float:
    """What the transformer sees in a step on average: patches of 16 × 16 pixels, and the text's tokens."""
    sides = [int(side) for side in resolution.split(",")]
    return _TEXT_TOKENS + sum((side / 16) ** 2 for side in sides) / len(sides)


def _time_ratios(stage: Stage, past: Iterable[Past]) -> list[float]:
    return [one.seconds[stage] / _duration(stage, one.plan).likely for one in past if stage in one.seconds]


def _cost_ratios(past: Iterable[Past], usd_per_second: float) -> list[float]:
    if usd_per_second == 0:
        return []
    return [one.cost_usd / (_billed(one.plan).likely * usd_per_second) for one in past if one.cost_usd is not None]


def _factor(ratios: list[float]) -> Figures | None:
    """What the figures are to be multiplied by: the median, and the first and last tenth; None without enough past."""
    if len(ratios) < MIN_PAST:
        return None
    likely, tenths = median(ratios), quantiles(ratios, n=10, method="inclusive")
    low = max(likely / WIDEST, min(tenths[0], likely / NARROWEST))
    return Figures(low, likely, min(likely * WIDEST, max(tenths[-1], likely * NARROWEST)))


def _scaled(figures: Figures, factor: Figures | None) -> Figures:
    return figures if factor is None else factor.times(figures.likely)


def _spread(figures: Figures, digits: int) -> Spread:
    low, likely, high = (round(value, digits) for value in figures)
    return Spread(low=low, likely=likely, high=high)


def _assumed(plan: Plan, usd_per_second: float) -> list[str]:
    minutes = f"1000 steps take 15 to 20 minutes on an H100; {SET_UP_S:.0f} s of that are assumed to be set-up."
    said = [minutes, f"A second of training costs {usd_per_second:g} USD; waiting for a machine costs nothing."]
    said.append(f"Waiting for a machine is assumed to take {QUEUE_S.low:.0f} to {QUEUE_S.high:.0f} s.")
    if (factor := _step_factor(plan.resolution)) != 1:
        told = f"A step at {plan.resolution} is assumed to take {factor:.2g} times as long as one at"
        said.append(f"{told} {limits.DEFAULT_RESOLUTION}, by the number of image patches.")
    if plan.image_count is None:
        said.append(f"No images are named: {USUAL_IMAGES} are assumed.")
    if plan.publish:
        size_mb = WEIGHTS_MB_PER_RANK * plan.lora_rank
        said.append(f"The weights ({size_mb:.0f} MB) are assumed to be uploaded at 5 to 50 MB/s.")
    return said


def _learned(lessons: Lessons) -> str:
    """What the past has changed, in words."""
    told = []
    if time := lessons.times[Stage.REPLICATE_TRAINING]:
        told.append(f"took {_words(time)} times as long")
    if lessons.cost:
        told.append(f"cost {_words(lessons.cost)} times as much")
    if not told:
        return f"Fewer than {MIN_PAST} trainings have completed here without a retry: only the above is known."
    return f"The newest {lessons.count} trainings here {' and '.join(told)} as these figures say: they are adjusted."


def _words(factor: Figures) -> str:
    return f"{factor.likely:.2g} ({factor.low:.2g} to {factor.high:.2g})"
