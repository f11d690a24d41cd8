"""What is looked for: the kinds of rules and their settings, as an operator writes them in TOML.

A setting whose name ends with `_s` here is a duration there, without that ending: `for = "5m"`.
"""

from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from fluxline.contracts.alerts import RuleKind, Severity
from fluxline.contracts.catalog import CONSUMERS
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline_collector.alerts.durations import Duration, about

DURABLES: Final = frozenset(consumer.durable for consumer in CONSUMERS)
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def _known_durable(name: str) -> str:
    if name not in DURABLES:
        raise ValueError(f"must be one of {', '.join(sorted(DURABLES))}")
    return name


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _written(name: str) -> str:
    return name.removesuffix("_s")


Categories = Annotated[tuple[ErrorCategory, ...], BeforeValidator(_one_or_more)]
Stages = Annotated[tuple[Stage, ...], BeforeValidator(_one_or_more)]
Providers = Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], BeforeValidator(_one_or_more)]
Durables = Annotated[tuple[Annotated[str, BeforeValidator(_known_durable)], ...], BeforeValidator(_one_or_more)]


class BaseRule(BaseModel):
    """What every rule has. A filter that is empty lets everything through."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_written)

    counts: ClassVar[bool] = False
    """Whether it counts what happens (failures), rather than saying how it is now (stuck jobs)."""
    name: Name
    severity: Severity
    group_by: tuple[str, ...] = ()
    for_s: Duration = 0.0
    group_wait_s: Duration = 0.0
    resolve_after_s: Duration = 300.0
    repeat_after_s: Duration = 14_400.0
    labels: dict[LabelName, Label] = Field({}, max_length=20)
    remedy: Text

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.repeat_after_s < 60 or self.resolve_after_s < 60:
            raise ValueError("repeat_after and resolve_after must be 1m or more, or notices would never stop")
        if self.counts and self.for_s:
            raise ValueError("for has no meaning here: what has happened does not go on; leave it out")
        if self.counts and self.group_wait_s > self.resolve_after_s:
            raise ValueError("group_wait must not be longer than resolve_after")
        return self

    def condition(self) -> str:
        """What it looks for, in words."""
        raise NotImplementedError


class FailureRule(BaseRule):
    """Trainings and generations that have failed for good."""

    counts: ClassVar[bool] = True
    kind: Literal["failure"]
    category: Categories = ()
    stage: Stages = ()
    provider: Providers = ()
    group_by: tuple[Literal["category", "stage", "provider"], ...] = ("stage", "category")
    group_wait_s: Duration = 60.0
    resolve_after_s: Duration = 900.0

    def condition(self) -> str:
        """What it looks for, in words."""
        return f"a job fails{_filters(category=self.category, stage=self.stage, provider=self.provider)}"


class RateRule(BaseRule):
    """Attempts that went wrong, tried again or not, within the last `window`."""

    kind: Literal["rate"]
    category: Categories = ()
    stage: Stages = ()
    provider: Providers = ()
    window_s: Duration
    at_least: int = Field(ge=1, le=10**9)
    share: float | None = Field(None, gt=0, le=1)
    group_by: tuple[Literal["category", "stage", "provider"], ...] = ("stage", "category")

    @model_validator(mode="after")
    def _has_a_window(self) -> Self:
        if not 60 <= self.window_s <= 86_400:
            raise ValueError("window must be from 1m to 1d")
        return self

    def condition(self) -> str:
        """What it looks for, in words."""
        share = f", which are {self.share:.0%} of all or more," if self.share else ""
        filters = _filters(category=self.category, stage=self.stage, provider=self.provider)
        return f"{self.at_least} attempts or more{share} went wrong within {about(self.window_s)}{filters}"


class StuckRule(BaseRule):
    """Running trainings that say nothing: for `silent`, or for longer than their stage usually takes."""

    kind: Literal["stuck"]
    stage: Stages = ()
    silent_s: Duration | None = None
    group_by: tuple[Literal["stage"], ...] = ("stage",)

    @model_validator(mode="after")
    def _is_some_time(self) -> Self:
        if self.silent_s is not None and self.silent_s < 10:
            raise ValueError("silent must be 10s or more")
        return self

    def condition(self) -> str:
        """What it looks for, in words."""
        silence = about(self.silent_s) if self.silent_s else "longer than its stage usually takes"
        return f"a running job says nothing for {silence}{_filters(stage=self.stage)}"


class DeadLettersRule(BaseRule):
    """Messages that a consumer gave up on: how many lie there, or that one was added."""

    kind: Literal["dead_letters"]
    durable: Durables = ()
    at_least: int | None = Field(None, ge=1, le=10**9)
    growing: bool = False
    group_by: tuple[Literal["durable"], ...] = ("durable",)
    group_wait_s: Duration = 60.0

    @model_validator(mode="after")
    def _looks_for_one_thing(self) -> Self:
        if self.growing == (self.at_least is not None):
            raise ValueError("needs either at_least (how many lie there) or growing = true")
        return self

    def condition(self) -> str:
        """What it looks for, in words."""
        found = "a dead letter is added" if self.growing else f"{self.at_least} dead letters or more lie there"
        return f"{found}{_filters(durable=self.durable)}"


class LagRule(BaseRule):
    """Consumers that are behind: by messages that nobody has taken yet, or by the age of the oldest of these."""

    kind: Literal["lag"]
    durable: Durables = ()
    messages: int | None = Field(None, ge=1, le=10**9)
    age_s: Duration | None = None
    group_by: tuple[Literal["durable"], ...] = ("durable",)

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if self.messages is None and not self.age_s:
            raise ValueError("needs messages, age, or both (then either is enough)")
        return self

    def condition(self) -> str:
        """What it looks for, in words."""
        limits = [f"{self.messages} messages or more wait"] if self.messages else []
        limits += [f"the oldest waits for {about(self.age_s)} or longer"] if self.age_s else []
        return f"{' or '.join(limits)}{_filters(durable=self.durable)}"


class LossRule(BaseRule):
    """Events that were gone from the stream before the collector could store them."""

    counts: ClassVar[bool] = True
    kind: Literal["loss"]
    group_by: tuple[()] = ()
    resolve_after_s: Duration = 3600.0

    def condition(self) -> str:
        """What it looks for, in words."""
        return "an event was lost before it could be stored"


AnyRule: TypeAlias = Annotated[
    FailureRule | RateRule | StuckRule | DeadLettersRule | LagRule | LossRule, Field(discriminator="kind")
]


class RuleSet(BaseModel):
    """All rules, each under a name of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[AnyRule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_each_name_once(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {', '.join(twice)} is given to more than one rule")
        return self


def counts_events(rule: AnyRule) -> bool:
    """Whether the rule counts what happens; its observations are then what is new since the last one."""
    return rule.counts or (rule.kind == "dead_letters" and rule.growing)


def _filters(**filters: tuple[str, ...]) -> str:
    said = [f"{name} {' or '.join(map(str, values))}" for name, values in filters.items() if values]
    return f" ({', '.join(said)})" if said else ""


KINDS: Final[tuple[RuleKind, ...]] = ("failure", "rate", "stuck", "dead_letters", "lag", "loss")
