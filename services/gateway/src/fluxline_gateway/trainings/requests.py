"""What the API takes for a training: the order itself, and a half-filled form that is only to be estimated."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StrictBool, ValidationInfo, field_validator
from pydantic.config import JsonDict

from fluxline.contracts import limits
from fluxline.contracts.job import (
    Caption,
    ModelName,
    PublishOptions,
    RepoName,
    Resolution,
    SamplePrompt,
    TrainingParameters,
    TriggerWord,
)
from fluxline_gateway import examples
from fluxline_gateway.errors import number
from fluxline_gateway.trainings.estimates import Plan
from fluxline_gateway.webhooks.urls import plain_url

MAX_METADATA = 20
MetadataText = Annotated[str, Field(max_length=500)]
Draft = Annotated[str, Field(max_length=2000)]
"""A text of a form that is still being filled in: nothing depends on it yet."""
BaseModelName = Literal["black-forest-labs/FLUX.1-dev"]
LICENCE = (
    "that the FLUX.1-dev non-commercial licence is accepted, under which whatever is made from that model is published"
    " (https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md)"
)
_SETTINGS_EXAMPLE: Final[JsonDict] = {
    "base_model": limits.BASE_MODELS[0],
    "steps": limits.DEFAULT_STEPS,
    "learning_rate": limits.DEFAULT_LEARNING_RATE,
    "lora_rank": limits.DEFAULT_LORA_RANK,
    "resolution": limits.DEFAULT_RESOLUTION,
    "autocaption": True,
    "publish": examples.PUBLISH,
}


class PublishIn(PublishOptions):
    """Whether and how to publish. FLUX.1-dev derivatives are non-commercial: publishing needs `accept_license`.

    Without it the request is answered with 422, and nothing is trained. A retry publishes as was asked for here.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [examples.PUBLISH]})
    enabled: StrictBool = Field(True, description="whether the model is published on Hugging Face at all")
    private: StrictBool = Field(True, description="whether only its owner sees it there")
    accept_license: StrictBool = Field(False, validate_default=True, description=f"{LICENCE}; needed to publish")

    sample_prompts: tuple[SamplePrompt, ...] = Field(
        (),
        max_length=limits.MAX_SAMPLE_PROMPTS,
        description="an image of each is made for the model card once the model is published; they cost as generations",
    )

    @field_validator("sample_prompts")
    @classmethod
    def _have_a_card(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("enabled") is False:
            raise ValueError("need publish.enabled: only a published model has a card")
        return value

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

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {
                    "name": "Ada",
                    "trigger_word": "ADATOK",
                    "image_ids": [*examples.IMAGE_IDS],
                    "captions": {examples.IMAGE_IDS[0]: "a portrait of ADATOK by a window"},
                    **_SETTINGS_EXAMPLE,
                    "webhook_url": "https://example.com/fluxline",
                    "metadata": {"order": "1815"},
                }
            ]
        },
    )

    name: ModelName
    trigger_word: TriggerWord
    image_ids: list[UUID] = Field(min_length=limits.MIN_IMAGES, max_length=limits.MAX_IMAGES)
    captions: dict[UUID, Caption] = Field(
        {}, description="by image; an image that is not named here has its own caption, an empty text leaves it out"
    )
    base_model: BaseModelName = limits.BASE_MODELS[0]
    steps: int = Field(limits.DEFAULT_STEPS, ge=limits.STEPS[0], le=limits.STEPS[1])
    learning_rate: float = Field(limits.DEFAULT_LEARNING_RATE, ge=limits.LEARNING_RATE[0], le=limits.LEARNING_RATE[1])
    lora_rank: int = Field(limits.DEFAULT_LORA_RANK, ge=limits.LORA_RANK[0], le=limits.LORA_RANK[1])
    resolution: Resolution = limits.DEFAULT_RESOLUTION
    autocaption: StrictBool = True
    publish: PublishIn = Field(default_factory=lambda: PublishIn(enabled=False))
    webhook_url: HttpUrl | None = Field(
        None,
        description="each change of the training's status is sent there as a signed webhook; a public https address",
    )
    metadata: dict[MetadataText, MetadataText] = Field(default_factory=dict, max_length=MAX_METADATA)

    @field_validator("steps", "learning_rate", "lora_rank", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        return number(value)

    @field_validator("webhook_url")
    @classmethod
    def _is_plain(cls, value: HttpUrl | None) -> HttpUrl | None:
        if value is not None:  # whether it is public, the handler asks, who knows what the operator has exempted
            plain_url(str(value))
        return value

    @field_validator("image_ids")
    @classmethod
    def _are_distinct(cls, value: list[UUID]) -> list[UUID]:
        return distinct(value)

    @field_validator("captions")
    @classmethod
    def _are_of_images(cls, value: dict[UUID, str], info: ValidationInfo) -> dict[UUID, str]:
        if unknown := sorted(map(str, set(value) - set(info.data.get("image_ids", value)))):
            raise ValueError(f"must be of the training's images: {unknown[0]} is not among image_ids")
        return value

    def parameters(self) -> TrainingParameters:
        """How to train, as events carry it."""
        return TrainingParameters(**{name: getattr(self, name) for name in TrainingParameters.model_fields})

    def plan(self) -> Plan:
        """What its time and cost depend on."""
        chosen = {name: getattr(self, name) for name in ("steps", "resolution", "lora_rank")}
        return Plan(**chosen, image_count=len(self.image_ids), publish=self.publish.enabled)


class PublishDraft(BaseModel):
    """As `PublishIn`, while the form is being filled in: the licence may still be open."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [examples.PUBLISH]})

    enabled: StrictBool = True
    private: StrictBool = True
    repo_name: RepoName | Literal[""] | None = None
    accept_license: StrictBool = Field(False, description=LICENCE)
    sample_prompts: list[Draft] = Field([], max_length=limits.MAX_SAMPLE_PROMPTS)


class EstimateIn(BaseModel):
    """A training that somebody thinks about: every field of one, all optional, null where nothing is chosen yet.

    Where there are no `image_ids` yet, `image_count` says how many there will be.
    """

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [
                {
                    "name": "Ada",
                    "trigger_word": "ADATOK",
                    "image_ids": [*examples.IMAGE_IDS],
                    "image_count": None,
                    "captions": {},
                    **_SETTINGS_EXAMPLE,
                    "webhook_url": None,
                    "metadata": {},
                }
            ]
        },
    )

    name: Draft | None = None
    trigger_word: Draft | None = None
    image_ids: list[UUID] | None = Field(None, max_length=limits.MAX_IMAGES)
    image_count: int | None = Field(None, ge=0, le=limits.MAX_IMAGES)
    captions: dict[UUID, Draft] | None = None
    base_model: BaseModelName | None = None
    steps: int | None = Field(None, ge=limits.STEPS[0], le=limits.STEPS[1])
    learning_rate: float | None = Field(None, ge=limits.LEARNING_RATE[0], le=limits.LEARNING_RATE[1])
    lora_rank: int | None = Field(None, ge=limits.LORA_RANK[0], le=limits.LORA_RANK[1])
    resolution: Resolution | None = None
    autocaption: StrictBool | None = None
    publish: PublishDraft | None = None
    webhook_url: Draft | None = None
    metadata: dict[MetadataText, MetadataText] | None = Field(None, max_length=MAX_METADATA)

    @field_validator("image_count", "steps", "learning_rate", "lora_rank", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        return number(value)

    @field_validator("image_ids")
    @classmethod
    def _are_distinct(cls, value: list[UUID] | None) -> list[UUID] | None:
        return value and distinct(value)

    def plan(self) -> Plan:
        """What its time and cost depend on; what is not chosen is the default."""
        names = ("steps", "resolution", "lora_rank")
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        publish = self.publish is not None and self.publish.enabled
        return Plan(**chosen, image_count=self.images() or None, publish=publish)

    def images(self) -> int:
        """How many images are chosen, or announced."""
        return len(self.image_ids or ()) or self.image_count or 0


def distinct(image_ids: list[UUID]) -> list[UUID]:
    """The ids as they came; raises ValueError when one is repeated."""
    if len(set(image_ids)) != len(image_ids):
        raise ValueError("must hold every image once: remove the repeated ids")
    return image_ids
