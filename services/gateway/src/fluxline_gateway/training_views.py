"""A training as the API takes it and shows it."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StrictBool, ValidationInfo, field_validator

from fluxline.contracts import limits
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.job import (
    Caption,
    Cost,
    HubPublication,
    ModelName,
    PublishOptions,
    Resolution,
    TrainingParameters,
    TriggerWord,
)
from fluxline_gateway.errors import number
from fluxline_gateway.state import PIPELINE, TERMINAL, StageStatus, Status, TrainingState
from fluxline_gateway.webhook_urls import public_https_url

MAX_METADATA = 20
MetadataText = Annotated[str, Field(max_length=500)]


class PublishIn(PublishOptions):
    """Whether and how to publish. FLUX.1-dev derivatives are non-commercial: publishing needs `accept_license`."""

    model_config = ConfigDict(extra="forbid")
    enabled: StrictBool = True
    private: StrictBool = True
    accept_license: StrictBool = Field(False, validate_default=True)

    @field_validator("accept_license")
    @classmethod
    def _is_accepted(cls, value: bool, info: ValidationInfo) -> bool:
        if info.data.get("enabled") and not value:
            raise ValueError(
                "must be true to publish (FLUX.1-dev non-commercial licence); or set publish.enabled to false"
            )
        return value


class TrainingIn(BaseModel):
    """What to train: 5 to 20 images that were uploaded before, and how. Without `publish` the model stays private."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: ModelName
    trigger_word: TriggerWord
    image_ids: list[UUID] = Field(min_length=limits.MIN_IMAGES, max_length=limits.MAX_IMAGES)
    captions: dict[UUID, Caption] = {}
    base_model: Literal["black-forest-labs/FLUX.1-dev"] = limits.BASE_MODELS[0]
    steps: int = Field(limits.DEFAULT_STEPS, ge=limits.STEPS[0], le=limits.STEPS[1])
    learning_rate: float = Field(limits.DEFAULT_LEARNING_RATE, ge=limits.LEARNING_RATE[0], le=limits.LEARNING_RATE[1])
    lora_rank: int = Field(limits.DEFAULT_LORA_RANK, ge=limits.LORA_RANK[0], le=limits.LORA_RANK[1])
    resolution: Resolution = limits.DEFAULT_RESOLUTION
    autocaption: StrictBool = True
    publish: PublishIn = Field(default_factory=lambda: PublishIn(enabled=False))
    webhook_url: HttpUrl | None = Field(
        None, description="kept with the training and shown with it; this version sends nothing there yet"
    )
    metadata: dict[MetadataText, MetadataText] = Field(default_factory=dict, max_length=MAX_METADATA)

    @field_validator("steps", "learning_rate", "lora_rank", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        return number(value)

    @field_validator("webhook_url")
    @classmethod
    def _is_public(cls, value: HttpUrl | None) -> HttpUrl | None:
        if value is not None:
            public_https_url(str(value))
        return value

    @field_validator("image_ids")
    @classmethod
    def _are_distinct(cls, value: list[UUID]) -> list[UUID]:
        if len(set(value)) != len(value):
            raise ValueError("must hold every image once: remove the repeated ids")
        return value

    @field_validator("captions")
    @classmethod
    def _are_of_images(cls, value: dict[UUID, str], info: ValidationInfo) -> dict[UUID, str]:
        if unknown := sorted(map(str, set(value) - set(info.data.get("image_ids", value)))):
            raise ValueError(f"must be of the training's images: {unknown[0]} is not among image_ids")
        return value

    def parameters(self) -> TrainingParameters:
        """How to train, as events carry it."""
        return TrainingParameters(**{name: getattr(self, name) for name in TrainingParameters.model_fields})


class StageOut(BaseModel):
    """One stage; `duration_ms` from its first start to its end."""

    stage: Stage
    status: StageStatus
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None


class ErrorOut(BaseModel):
    """Why the training failed, and what to do."""

    stage: Stage
    category: ErrorCategory
    retryable: bool
    message: str
    hint: str


class ResultOut(BaseModel):
    """What came out."""

    model_id: UUID
    provider_version: str | None
    huggingface: HubPublication | None
    weights_url: str


class TrainingOut(BaseModel):
    """A training; `progress` is 0–100 over the whole pipeline and never falls."""

    id: UUID
    name: str
    status: Status
    stage: Stage | None
    progress: float
    eta_s: float | None
    phase: str | None = None
    waiting_reason: str | None
    step: int | None
    steps: int | None
    loss: float | None
    error: ErrorOut | None
    stages: list[StageOut]
    cost: Cost | None
    result: ResultOut | None
    trigger_word: str
    base_model: str
    parameters: TrainingParameters
    publish: PublishOptions
    image_ids: list[UUID]
    webhook_url: str | None
    metadata: dict[str, str]
    trace_id: str | None
    created_at: datetime
    updated_at: datetime


def training_out(row: asyncpg.Record) -> TrainingOut:
    """The training in a row of `trainings`."""
    state = TrainingState.model_validate_json(row["state"])
    request: dict[str, Any] = json.loads(row["request"])
    live = state.live
    return TrainingOut(
        id=row["id"],
        name=row["name"],
        status=state.status,
        stage=state.stage,
        progress=round(state.progress, 1),
        eta_s=live.eta_s if live and state.status == "training" else None,
        phase=state.phase,
        waiting_reason=_waiting_reason(row, state),
        step=live.step if live else None,
        steps=live.steps if live else None,
        loss=live.loss if live else None,
        error=ErrorOut.model_validate(state.error, from_attributes=True) if state.error else None,
        stages=[_stage_out(state, stage) for stage in (*PIPELINE, Stage.COMPLETION)],
        cost=state.trained.cost if state.trained else None,
        result=_result(state),
        parameters=TrainingParameters(**request),
        image_ids=row["image_ids"],
        **{name: request[name] for name in ("trigger_word", "base_model", "publish", "webhook_url", "metadata")},
        **{name: row[name] for name in ("trace_id", "created_at", "updated_at")},
    )


def _waiting_reason(row: asyncpg.Record, state: TrainingState) -> str | None:
    """What the watchdog has seen since the newest event, or else what that event says."""
    return (row["waiting_reason"] if state.status not in TERMINAL else None) or state.waiting_reason


def _result(state: TrainingState) -> ResultOut | None:
    if state.published is None:
        return None
    return ResultOut(
        model_id=UUID(state.published.model_id),
        provider_version=state.trained.provider_version if state.trained else None,
        huggingface=state.published.huggingface,
        weights_url=f"/v1/models/{state.published.model_id}/weights",
    )


def _stage_out(state: TrainingState, stage: Stage) -> StageOut:
    status = state.status_of(stage)
    if stage is Stage.COMPLETION:
        at = state.published.at if state.published else None
        done = int(at is not None)
        return StageOut(
            stage=stage, status=status, attempts=done, started_at=at, ended_at=at, duration_ms=0 if done else None
        )
    facts = state.stages.get(stage)
    if facts is None:
        return StageOut(stage=stage, status=status, attempts=0, started_at=None, ended_at=None, duration_ms=None)
    ended_at = state.ended_at(stage)
    elapsed = int((ended_at - facts.started_at).total_seconds() * 1000) if ended_at else None
    return StageOut(
        stage=stage,
        status=status,
        attempts=facts.attempts,
        started_at=facts.started_at,
        ended_at=ended_at,
        duration_ms=elapsed,
    )
