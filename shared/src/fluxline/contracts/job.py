"""What a training is about: the facts that travel from stage to stage, so that no stage has to ask another."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from fluxline.contracts import limits
from fluxline.contracts.event import Facts, TrainingEvent
from fluxline.contracts.ids import OwnerName, Sha256, StorageKey

ModelName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=limits.MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]
# U+0085 and U+FEFF: whether \s has them differs between Rust's, Python's and JavaScript's expressions.
TriggerWord = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=limits.MAX_TRIGGER_WORD_CHARS,
        pattern=r"^[^\s\x00-\x1f\x85\ufeff](?:[^\x00-\x1f]*[^\s\x00-\x1f\x85\ufeff])?$",
    ),
]
Caption = Annotated[str, StringConstraints(strip_whitespace=True, max_length=limits.MAX_CAPTION_CHARS)]
Resolution = Annotated[str, StringConstraints(pattern=r"^(512|768|1024)(,(512|768|1024)){0,2}$")]
SamplePrompt = Annotated[str, StringConstraints(min_length=1, max_length=limits.MAX_PROMPT_CHARS)]
RepoName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,94}[A-Za-z0-9]$|^[A-Za-z0-9]$")]


class TrainingParameters(Facts):
    """How to train; the bounds are those of `limits`, the meaning is the trainer's."""

    steps: int = Field(limits.DEFAULT_STEPS, ge=limits.STEPS[0], le=limits.STEPS[1])
    learning_rate: float = Field(limits.DEFAULT_LEARNING_RATE, ge=limits.LEARNING_RATE[0], le=limits.LEARNING_RATE[1])
    lora_rank: int = Field(limits.DEFAULT_LORA_RANK, ge=limits.LORA_RANK[0], le=limits.LORA_RANK[1])
    resolution: Resolution = limits.DEFAULT_RESOLUTION
    autocaption: bool = True


class PublishOptions(Facts):
    """Whether and how the model goes to Hugging Face; private unless the owner says otherwise."""

    enabled: bool = True
    private: bool = True
    repo_name: RepoName | None = None
    accept_license: bool = False
    sample_prompts: tuple[SamplePrompt, ...] = Field((), max_length=limits.MAX_SAMPLE_PROMPTS)
    """Of the images that are made for the model card once the model is published."""


class ImageRef(Facts):
    """One uploaded image of the training."""

    key: StorageKey
    sha256: Sha256
    caption: Caption | None = None


class ImageVerdict(Facts):
    """What became of one image: in the archive under a generated name, or left out for a reason."""

    key: StorageKey
    sha256: Sha256
    accepted: bool
    archive_name: str | None = None
    width: int | None = None
    height: int | None = None
    code: str | None = None
    reason: str | None = None


class Cost(Facts):
    """Money spent at a provider, in US dollars, and how the figure came about."""

    amount_usd: float = Field(ge=0)
    basis: str


class HubPublication(Facts):
    """Where on Hugging Face the model is; `commit` is the 40-hex id of the commit that holds it."""

    repo: str
    commit: str
    url: str
    private: bool


class CardSample(Facts):
    """An image of the model card: the prompt that it was made with, and where the image lies in our storage."""

    text: str = Field(min_length=1)
    image_key: StorageKey


class JobEvent(TrainingEvent):
    """An event that carries the job's facts on to the next stage."""

    name: ModelName
    trigger_word: TriggerWord
    owner: OwnerName
    base_model: Literal["black-forest-labs/FLUX.1-dev"] = limits.BASE_MODELS[0]
    parameters: TrainingParameters = TrainingParameters()
    publish: PublishOptions = PublishOptions()
    run: int = Field(0, ge=0)
    """How often the training was retried before: 0 is the first run. Facts of an older run are history."""

    def job_facts(self) -> dict[str, Any]:
        """The facts to hand on: `NextEvent.caused_by(event, **event.job_facts(), ...)`."""
        return {name: getattr(self, name) for name in JOB_FIELDS}


JOB_FIELDS = ("name", "trigger_word", "owner", "base_model", "parameters", "publish", "run")
