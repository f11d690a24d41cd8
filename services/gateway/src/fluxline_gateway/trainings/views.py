"""A training as the API shows it."""

import json
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fluxline.contracts import limits
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.job import Caption, Cost, HubPublication, PublishOptions, TrainingParameters
from fluxline_gateway import examples
from fluxline_gateway.trainings.estimates import Estimate, Spread
from fluxline_gateway.trainings.state import PIPELINE, TERMINAL, StageStatus, Status, TrainingState

NOT_YET: Final = (None, None, 0)
_STAGE_EXAMPLE: Final[JsonDict] = {
    "stage": "replicate_training",
    "status": "succeeded",
    "attempts": 1,
    "started_at": "2026-11-25T10:00:04Z",
    "ended_at": "2026-11-25T10:19:42Z",
    "duration_ms": 1_178_000,
    "estimate_s": {"low": 905.0, "likely": 1095.0, "high": 1500.0},
}
_ERROR_EXAMPLE: Final[JsonDict] = {
    "stage": "replicate_training",
    "category": "billing",
    "retryable": False,
    "message": "The provider's account has no credit",
    "hint": "Add credit to the provider's account, then retry the training.",
}
_RESULT_EXAMPLE: Final[JsonDict] = {
    "model_id": examples.MODEL_ID,
    "provider_version": "ada/flux-ada:5c0f",
    "huggingface": examples.HUB,
    "weights_url": f"/v1/models/{examples.MODEL_ID}/weights",
}
_ESTIMATE_EXAMPLE: Final[JsonDict] = {
    "cost_usd": {"low": 1.3725, "likely": 1.6013, "high": 1.83},
    "duration_s": {"low": 915.6, "likely": 1117.1, "high": 1566.9},
    "assumptions": ["A second of training costs 0.001525 USD; waiting for a machine costs nothing."],
}


class StageOut(BaseModel):
    """One stage; `duration_ms` from its first start to its end, `estimate_s` what was expected of it in seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STAGE_EXAMPLE]})

    stage: Stage
    status: StageStatus
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    estimate_s: Spread | None


class ErrorOut(BaseModel):
    """Why the training failed, and what to do."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ERROR_EXAMPLE]})

    stage: Stage
    category: ErrorCategory
    retryable: bool
    message: str
    hint: str


class ResultOut(BaseModel):
    """What came out."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULT_EXAMPLE]})

    model_id: UUID
    provider_version: str | None
    huggingface: HubPublication | None
    weights_url: str


class TrainingEstimate(BaseModel):
    """What the training was expected to take and cost when it was asked for; its real cost is `cost`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ESTIMATE_EXAMPLE]})

    cost_usd: Spread
    duration_s: Spread
    assumptions: list[str]


class TrainingOut(BaseModel):
    """A training; `progress` is 0–100 over the whole pipeline and never falls."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": examples.TRAINING_ID,
                    "name": "Ada",
                    "status": "completed",
                    "stage": "completion",
                    "progress": 100.0,
                    "eta_s": None,
                    "phase": None,
                    "waiting_reason": None,
                    "step": 1000,
                    "steps": 1000,
                    "loss": 0.31,
                    "error": None,
                    "stages": [_STAGE_EXAMPLE],
                    "cost": {"amount_usd": 1.6, "basis": "1049.2 s of predict time at 0.001525 USD/s"},
                    "result": _RESULT_EXAMPLE,
                    "trigger_word": "ADATOK",
                    "base_model": limits.BASE_MODELS[0],
                    "parameters": TrainingParameters().model_dump(),
                    "publish": examples.PUBLISH,
                    "image_ids": [*examples.IMAGE_IDS],
                    "captions": {examples.IMAGE_IDS[0]: "a portrait of ADATOK by a window"},
                    "webhook_url": "https://example.com/fluxline",
                    "metadata": {"order": "1815"},
                    "estimate": _ESTIMATE_EXAMPLE,
                    "trace_id": examples.TRACE_ID,
                    "created_at": examples.CREATED_AT,
                    "updated_at": examples.UPDATED_AT,
                }
            ]
        }
    )

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
    captions: dict[UUID, Caption] = Field(description="of the images that have one in this training, by their ids")
    webhook_url: str | None
    metadata: dict[str, str]
    estimate: TrainingEstimate | None
    trace_id: str | None
    created_at: datetime
    updated_at: datetime


def training_out(row: asyncpg.Record) -> TrainingOut:
    """The training in a row of `trainings`."""
    state = TrainingState.model_validate_json(row["state"])
    request: dict[str, Any] = json.loads(row["request"])
    estimate = Estimate.model_validate_json(row["estimate"]) if row["estimate"] else None
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
        stages=_stages(state, estimate),
        cost=state.trained.cost if state.trained else None,
        result=_result(state),
        parameters=TrainingParameters(**request),
        image_ids=row["image_ids"],
        captions=_captions(row["image_ids"], request),
        estimate=TrainingEstimate.model_validate(estimate, from_attributes=True) if estimate else None,
        **{name: request[name] for name in ("trigger_word", "base_model", "publish", "webhook_url", "metadata")},
        **{name: row[name] for name in ("trace_id", "created_at", "updated_at")},
    )


def likely_usd(row: asyncpg.Record) -> float:
    """What training once was expected to cost; nothing where that was not estimated."""
    return Estimate.model_validate_json(row["estimate"]).cost_usd.likely if row["estimate"] else 0.0


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


def _captions(image_ids: list[UUID], request: dict[str, Any]) -> dict[UUID, str]:
    """By id; they are stored in the order of the images, which a retry may name by other ids."""
    told = request.get("captions", [None] * len(image_ids))
    return {image_id: caption for image_id, caption in zip(image_ids, told, strict=True) if caption}


def _stages(state: TrainingState, estimate: Estimate | None) -> list[StageOut]:
    expected = {stage.stage: stage.duration_s for stage in estimate.stages} if estimate else {}
    return [_stage_out(state, stage, expected.get(stage)) for stage in (*PIPELINE, Stage.COMPLETION)]


def _stage_out(state: TrainingState, stage: Stage, expected: Spread | None) -> StageOut:
    facts = state.stages.get(stage) if stage in PIPELINE else None
    started_at, ended_at, attempts = (facts.started_at, state.ended_at(stage), facts.attempts) if facts else NOT_YET
    if stage is Stage.COMPLETION and state.published:
        started_at, ended_at, attempts = state.published.at, state.published.at, 1
    elapsed = int((ended_at - started_at).total_seconds() * 1000) if started_at and ended_at else None
    return StageOut(
        stage=stage,
        status=state.status_of(stage),
        attempts=attempts,
        started_at=started_at,
        ended_at=ended_at,
        duration_ms=elapsed,
        estimate_s=expected,
    )
