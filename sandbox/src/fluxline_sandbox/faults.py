"""Planned failures: which call fails next, and in which way."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fluxline_sandbox.operations import NAMES, PROVIDERS, Operation, covers

Kind = Literal["status", "latency", "hang", "drop_request", "drop_answer", "corrupt", "alter"]
_HANG_SECONDS = 600.0


class Fault(BaseModel):
    """One planned failure; `times` null means for ever, `after` lets that many matching calls pass first.

    `match` narrows it to calls that are about something: the text occurs in the call's path, query or body, or in
    the job that its path names (see `subjects`). `code`, `body` and `headers` belong to `status`; `body` and
    `headers` to `alter`: an object's fields replace those of the answer, a text replaces the answer;
    `seconds` to `latency` and `hang`; `mode` to `corrupt`: `flip` inverts the first bytes, `truncate` sends half
    as a whole answer, `cut` breaks off half-way.
    """

    model_config = ConfigDict(extra="forbid")

    provider: str | None = None
    operation: str = "*"
    match: str | None = Field(default=None, min_length=1, max_length=1_000)
    kind: Kind
    times: int | None = Field(default=1, ge=1)
    after: int = Field(default=0, ge=0)
    code: int = Field(default=500, ge=400, le=599)
    body: Any = None
    headers: dict[str, str] = {}
    seconds: float | None = Field(default=None, ge=0, le=86_400)
    mode: Literal["flip", "truncate", "cut"] = "flip"

    @field_validator("provider")
    @classmethod
    def _known_provider(cls, value: str | None) -> str | None:
        value = {"hf": "huggingface", "*": None}.get(value or "", value)
        if value is not None and value not in PROVIDERS:
            raise ValueError(f"unknown provider {value!r}; use one of {sorted(PROVIDERS)}")
        return value

    @field_validator("operation")
    @classmethod
    def _known_operation(cls, value: str) -> str:
        if value not in NAMES:
            raise ValueError(f"unknown operation {value!r}; use one of {sorted(NAMES)}")
        return value

    @field_validator("headers")
    @classmethod
    def _printable_headers(cls, value: dict[str, str]) -> dict[str, str]:
        if not all(text.isascii() and text.isprintable() for pair in value.items() for text in pair):
            raise ValueError("header names and values are printable ASCII")
        return value

    @model_validator(mode="after")
    def _latency_has_a_duration(self) -> "Fault":
        if self.kind == "latency" and self.seconds is None:
            raise ValueError("a latency fault needs seconds")
        return self

    @model_validator(mode="after")
    def _alteration_has_a_body(self) -> "Fault":
        if self.kind == "alter" and not isinstance(self.body, dict | str):
            raise ValueError("an alter fault needs a body: an object of fields, or the whole text")
        return self

    @property
    def hang_seconds(self) -> float:
        """How long a hang lasts."""
        return _HANG_SECONDS if self.seconds is None else self.seconds

    def matches(self, operation: Operation) -> bool:
        """Whether the fault is meant for this call."""
        return self.provider in (None, operation.provider) and covers(self.operation, operation.name)


class FaultPlan:
    """Faults in the order they were added; each call takes every latency and at most one other."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, faults: Iterable[Fault]) -> None:
        """Plan more faults, after those that are planned already."""
        self._faults.extend(fault.model_copy() for fault in faults)

    def clear(self) -> None:
        """Forget every fault that has not happened yet."""
        self._faults.clear()

    def current(self) -> list[Fault]:
        """What is still planned, with the times that remain."""
        return list(self._faults)

    def is_choosy(self, operation: Operation) -> bool:
        """Whether what the call is about decides if it meets a fault."""
        return any(fault.match is not None and fault.matches(operation) for fault in self._faults)

    def take(self, operation: Operation, about: str = "") -> list[Fault]:
        """The faults that a call about this text meets, latencies first; their remaining `times` go down by one."""
        latencies: list[Fault] = []
        other: list[Fault] = []
        for fault in [fault for fault in self._faults if fault.matches(operation) and (fault.match or "") in about]:
            if fault.after:
                fault.after -= 1
            elif fault.kind == "latency":
                latencies.append(self._use(fault))
            elif not other:
                other.append(self._use(fault))
        return latencies + other

    def _use(self, fault: Fault) -> Fault:
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
        return fault
