"""What a run that ended without weights means for us.

Replicate tells the reason of a failed training in one text only, so that here, and nowhere else, its known
words decide: those by which the trainer refuses the images, and those of the content policy.
"""

from fluxline.contracts.errors import FluxlineError
from fluxline.runtime.redaction import redact_text
from fluxline_trainer.errors import ContentRefused, TrainingCrashed, TrainingRefused, TrainingStopped
from fluxline_trainer.provider import ProviderRun, RunStatus

MAX_MESSAGE_CHARS = 500
REFUSALS = (
    "must be a zip",
    "cannot identify image file",
    "no images found",
    "image file is truncated",
    "failed to download input_images",
)
POLICY = ("nsfw content", "content policy", "flagged as sensitive")


def verdict_of(run: ProviderRun) -> FluxlineError:
    """The error that a failed, canceled or aborted run is for the job."""
    if run.status is RunStatus.ABORTED:
        return TrainingStopped("Replicate gave the training up: it could not start in time.", provider_id=run.id)
    if run.status is RunStatus.CANCELED:
        return TrainingStopped(provider_id=run.id)
    said = redact_text(str(run.error or "without a reason"))[:MAX_MESSAGE_CHARS]
    if any(words in said.lower() for words in REFUSALS):
        return TrainingRefused(f"Replicate could not train with these images: {said}", provider_id=run.id)
    if any(words in said.lower() for words in POLICY):
        return ContentRefused(f"Replicate refused the content: {said}", provider_id=run.id)
    return TrainingCrashed(f"The training failed at Replicate: {said}", provider_id=run.id)
