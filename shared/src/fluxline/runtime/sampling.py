"""Which traces are kept: decided once at their beginning, by their id, so that all services decide alike."""

from typing import Final, Literal, get_args

from opentelemetry.sdk.trace import sampling

SamplerName = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]
"""The names of OTEL_TRACES_SAMPLER."""
NAMES: Final = get_args(SamplerName)


def sampler_of(name: SamplerName, ratio: float) -> sampling.Sampler:
    """OpenTelemetry's sampler of that name; `ratio` counts for those of a ratio."""
    roots: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(ratio),
    }
    root = roots[name.removeprefix("parentbased_")]
    return sampling.ParentBased(root) if name.startswith("parentbased_") else root
