"""Every event of the product, in the order in which a job meets them. Fields may be added, as optional ones."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from fluxline.contracts import limits
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.event import Event, Facts, TrainingEvent
from fluxline.contracts.ids import OwnerName, Sha256, StorageKey
from fluxline.contracts.job import CardSample, Cost, HubPublication, ImageRef, ImageVerdict, JobEvent


class TrainingRequested(JobEvent):
    """Somebody asked for a training; its images are checked and lie in storage."""

    subject: ClassVar[str] = "training.requested"
    images: tuple[ImageRef, ...] = Field(min_length=1, max_length=limits.MAX_IMAGES)


class ZipProgressed(TrainingEvent):
    """One more image of the archive is done."""

    subject: ClassVar[str] = "zip.progressed"
    stage_of_job: ClassVar[Stage | None] = Stage.ZIP_CREATION
    done: int = Field(ge=0)
    total: int = Field(ge=1)
    current: str
    size_bytes: int = Field(ge=0)


class ZipCreated(JobEvent):
    """Every accepted image of the training is in one archive, stored and re-opened."""

    subject: ClassVar[str] = "zip.created"
    stage_of_job: ClassVar[Stage | None] = Stage.ZIP_CREATION
    zip_key: StorageKey
    size_bytes: int = Field(ge=0)
    sha256: Sha256
    image_count: int = Field(ge=1)
    verdicts: tuple[ImageVerdict, ...] = ()


class TrainingStarted(TrainingEvent):
    """The provider has accepted the training; from here on it costs money."""

    subject: ClassVar[str] = "training.started"
    stage_of_job: ClassVar[Stage | None] = Stage.REPLICATE_TRAINING
    provider: str
    external_id: str
    destination: str
    trainer_version: str
    url: str | None = None


class TrainingProgressed(TrainingEvent):
    """The provider's training moved on, as its log tells."""

    subject: ClassVar[str] = "training.progressed"
    stage_of_job: ClassVar[Stage | None] = Stage.REPLICATE_TRAINING
    percent: float = Field(ge=0, le=100)
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    eta_s: float | None = None
    phase: str = "training"
    log_tail: tuple[str, ...] = ()


class TrainingSucceeded(JobEvent):
    """The provider has finished and its archive of weights lies in our own storage, checked."""

    subject: ClassVar[str] = "training.succeeded"
    stage_of_job: ClassVar[Stage | None] = Stage.REPLICATE_TRAINING
    weights_key: StorageKey
    sha256: Sha256
    size_bytes: int = Field(ge=0)
    provider: str
    external_id: str
    provider_version: str
    metrics: dict[str, float] = {}
    cost: Cost | None = None


class ModelProgressed(TrainingEvent):
    """The upload of the model moved on."""

    subject: ClassVar[str] = "model.progressed"
    stage_of_job: ClassVar[Stage | None] = Stage.HUGGINGFACE_UPLOAD
    done_bytes: int = Field(ge=0)
    total_bytes: int = Field(ge=0)


class ModelPublished(JobEvent):
    """The model is ready: in storage, and on Hugging Face unless publishing is off (`huggingface` is null)."""

    subject: ClassVar[str] = "model.published"
    stage_of_job: ClassVar[Stage | None] = Stage.HUGGINGFACE_UPLOAD
    model_id: UUID
    weights_key: StorageKey
    sha256: Sha256
    size_bytes: int = Field(ge=0)
    huggingface: HubPublication | None = None
    provider: str
    provider_version: str


class ModelCardRequested(JobEvent):
    """The card of a published model has to show these images; of two requests the higher `revision` stands."""

    subject: ClassVar[str] = "model.card_requested"
    model_id: UUID
    huggingface: HubPublication
    samples: tuple[CardSample, ...] = Field(min_length=1, max_length=limits.MAX_SAMPLE_PROMPTS)
    revision: int = Field(ge=1)
    """The number of the model's batch of samples, from 1."""


class ModelCardUpdated(TrainingEvent):
    """The model card shows the images, which lie beside it: `commit` of the repository at `url` has both."""

    subject: ClassVar[str] = "model.card_updated"
    model_id: UUID
    repo: str
    commit: str
    url: str
    samples: tuple[CardSample, ...] = Field(min_length=1, max_length=limits.MAX_SAMPLE_PROMPTS)
    revision: int = Field(ge=1)


class ModelCardFailed(TrainingEvent):
    """The model card does not show the images of that revision; says why, and what a person can do."""

    subject: ClassVar[str] = "model.card_failed"
    model_id: UUID
    revision: int = Field(ge=1)
    category: ErrorCategory
    message: str
    hint: str


class TrainingFailed(TrainingEvent):
    """A stage gave up on the training; says where, why, and what a person can do."""

    subject: ClassVar[str] = "training.failed"
    stage: Stage
    category: ErrorCategory
    retryable: bool
    message: str
    hint: str
    attempts: int = Field(ge=1)
    run: int = Field(0, ge=0)
    resume_from: Stage | None = None
    """Where a retry has to begin, if earlier than at `stage` (the archive is gone, say)."""
    replay: int | None = None
    """The dead letter (its sequence in the DLQ) whose replay failed, if it was one."""


class TrainingCancelRequested(TrainingEvent):
    """The training's run has to stop: its owner wants that, or it is past its deadline, or it is to be deleted."""

    subject: ClassVar[str] = "training.cancel_requested"
    run: int = Field(0, ge=0)
    reason: Literal["owner", "deadline", "deleted"] = "owner"


class TrainingCanceled(TrainingEvent):
    """The training has stopped because its owner wanted it to."""

    subject: ClassVar[str] = "training.canceled"
    stage: Stage
    run: int = Field(0, ge=0)


class TrainingRetryRequested(JobEvent):
    """The owner wants a failed training to go on from the stage that failed, with what it has; `run` is the new one."""

    subject: ClassVar[str] = "training.retry_requested"
    from_stage: Stage
    images: tuple[ImageRef, ...] = ()
    zip_created: ZipCreated | None = None
    training_succeeded: TrainingSucceeded | None = None


class TrainingDeleteRequested(TrainingEvent):
    """An ended training is deleted: each stage removes what it keeps of it. Nothing of the training follows."""

    subject: ClassVar[str] = "training.delete_requested"
    owner: OwnerName
    huggingface: HubPublication | None = None
    """The repository to be removed with it; null when there is none, or when it is to stay."""
    generation_ids: tuple[UUID, ...] = ()


class StageEvent(Event):
    """What the runtime says around the work of a stage. `provider_ids` join it to the provider's records."""

    stage: Stage
    service: str
    attempt: int = Field(ge=1)
    generation_id: UUID | None = None
    provider_ids: dict[str, str] = {}


class StageStarted(StageEvent):
    """A stage began an attempt; `replay` is the dead letter (its sequence in the DLQ) that made it begin again."""

    subject: ClassVar[str] = "stage.started"
    replay: int | None = None


class StageSucceeded(StageEvent):
    """A stage ended well; `duration_ms` counts from the start of this attempt."""

    subject: ClassVar[str] = "stage.succeeded"
    duration_ms: int = Field(ge=0)


class StageRetried(StageEvent):
    """An attempt failed in a way that trying again can mend; it starts again at `next_attempt_at`."""

    subject: ClassVar[str] = "stage.retried"
    duration_ms: int = Field(ge=0)
    category: ErrorCategory
    retryable: Literal[True] = True
    message: str
    hint: str = ""
    next_attempt_at: AwareDatetime


class StageFailed(StageEvent):
    """A stage gave up."""

    subject: ClassVar[str] = "stage.failed"
    duration_ms: int = Field(ge=0)
    category: ErrorCategory
    retryable: bool
    message: str
    hint: str = ""
    context: dict[str, str | int | float | bool | None] = {}


class GenerationParameters(Facts):
    """How to make images; the bounds are those of `limits`."""

    prompt: str = Field(min_length=1, max_length=limits.MAX_PROMPT_CHARS)
    aspect_ratio: str = "1:1"
    num_outputs: int = Field(1, ge=limits.NUM_OUTPUTS[0], le=limits.NUM_OUTPUTS[1])
    lora_scale: float = Field(limits.DEFAULT_LORA_SCALE, ge=limits.LORA_SCALE[0], le=limits.LORA_SCALE[1])
    num_inference_steps: int = Field(
        limits.DEFAULT_INFERENCE_STEPS, ge=limits.INFERENCE_STEPS[0], le=limits.INFERENCE_STEPS[1]
    )
    guidance_scale: float = Field(
        limits.DEFAULT_GUIDANCE_SCALE, ge=limits.GUIDANCE_SCALE[0], le=limits.GUIDANCE_SCALE[1]
    )
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    output_format: Literal["webp", "jpg", "png"] = "webp"


class GenerationEvent(Event):
    """An event of one generation; `training_id` is that of the model, null for a base model."""

    generation_id: UUID


class ProviderRefusal(Facts):
    """A provider that was asked before, and declined for a reason of its own."""

    provider: str
    category: ErrorCategory
    message: str


class GenerationRequested(GenerationEvent):
    """Somebody asked for images, with a trained LoRA (`provider_version`, `weights_key`) or a base model."""

    subject: ClassVar[str] = "generation.requested"
    stage_of_job: ClassVar[Stage | None] = Stage.IMAGE_GENERATION
    owner: OwnerName
    model_id: UUID | None = None
    provider_version: str | None = None
    weights_key: StorageKey | None = None
    base_model: str | None = None
    trigger_word: str | None = None
    parameters: GenerationParameters


class GenerationSucceeded(GenerationEvent):
    """The images lie in our own storage."""

    subject: ClassVar[str] = "generation.succeeded"
    stage_of_job: ClassVar[Stage | None] = Stage.IMAGE_GENERATION
    image_keys: tuple[StorageKey, ...] = Field(min_length=1)
    prompt_used: str
    provider: str
    external_id: str
    seed: int | None = None
    used: dict[str, str | int | float | bool] = {}
    """Everything that the provider was sent except the prompt, so that it can be repeated exactly."""
    refusals: tuple[ProviderRefusal, ...] = ()
    metrics: dict[str, float] = {}
    cost: Cost | None = None


class GenerationFailed(GenerationEvent):
    """No images: says why, and what a person can do."""

    subject: ClassVar[str] = "generation.failed"
    stage_of_job: ClassVar[Stage | None] = Stage.IMAGE_GENERATION
    category: ErrorCategory
    retryable: bool
    message: str
    hint: str
    attempts: int = Field(ge=1)


class GenerationCancelRequested(GenerationEvent):
    """The owner wants a generation to stop."""

    subject: ClassVar[str] = "generation.cancel_requested"


class GenerationCanceled(GenerationEvent):
    """The generation has stopped because its owner wanted it to; it has no images, even where it had a `cost`."""

    subject: ClassVar[str] = "generation.canceled"
    stage_of_job: ClassVar[Stage | None] = Stage.IMAGE_GENERATION
    cost: Cost | None = None
