"""A row of the table: what is injected, and what one look at the summary has to say of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fluxline.contracts.errors import ErrorCategory, Stage

Json = dict[str, Any]
ZIP, TRAIN, PUBLISH, GENERATE = (
    Stage.ZIP_CREATION,
    Stage.REPLICATE_TRAINING,
    Stage.HUGGINGFACE_UPLOAD,
    Stage.IMAGE_GENERATION,
)
AUTHENTICATION, BILLING, VALIDATION = ErrorCategory.AUTHENTICATION, ErrorCategory.BILLING, ErrorCategory.VALIDATION
CONTENT, FILE, NETWORK = ErrorCategory.CONTENT_POLICY, ErrorCategory.FILE_ERROR, ErrorCategory.NETWORK
TIMEOUT, RATE, SERVICE = ErrorCategory.TIMEOUT, ErrorCategory.RATE_LIMIT, ErrorCategory.SERVICE_ERROR
FOR_EVER: None = None
TOKEN = "REPLICATE_API_TOKEN"
HUB_TOKEN = "HUGGINGFACE_API_TOKEN"
AGAIN = "tried again by itself"


@dataclass(frozen=True)
class Row:
    """One fault and its diagnosis.

    `mended` says that retrying helps: the job completes and the error is in the counts; otherwise the job ends with
    it. `also` are categories that come along. `remedy` are words of the hint, `names` words of the message. `alone`
    rows run one after another, because
    nothing in their calls tells the job. `scene` names what the driver does besides planning `faults`.
    """

    name: str
    stage: Stage
    injected: str
    category: ErrorCategory
    remedy: str
    faults: tuple[Json, ...] = ()
    mended: bool = False
    also: tuple[ErrorCategory, ...] = ()
    names: str = ""
    alone: bool = False
    scene: str = ""
    prompt: str = "a harbour in the morning"

    @property
    def outcome(self) -> str:
        """How the job ends."""
        return "completed" if self.mended else "failed"


HUBS = ("whoami", "repos.", "model_info", "preupload", "lfs.", "commit", "validate_yaml")


def planned(row: Row, words: Json) -> list[Json]:
    """The row's faults, each meant for the row's own job unless nothing in the call tells it; see the sandbox's README.

    `words` are some of `trigger`, `repo`, `prompt` and `model` of the job: faults that need another are left out.
    """
    plans = []
    for fault in row.faults:
        operation = str(fault["operation"])
        hub = operation.startswith(HUBS)
        plan = {"provider": "huggingface" if hub else "replicate", **fault}
        word = _told_by(operation, hub)
        if row.alone:
            plans.append(plan)
        elif word in words:
            plans.append({**plan, "match": plan.get("match", "{word}").format(word=words[word])})
    return plans


def _told_by(operation: str, hub: bool) -> str:
    if hub:
        return "repo"
    if operation.startswith("models."):
        return "model"
    return "prompt" if operation.startswith(("predictions.", "result.")) else "trigger"


def table(lines: Iterable[tuple[Row, str]]) -> str:
    """The rows in Markdown, each with the remedy that was read."""
    names = ("#", "stage", "injected", "category", "retryable", "the job", "what it says to do")
    cells = [names, tuple("---" for _ in names)]
    for number, (row, said) in enumerate(lines, start=1):
        retryable = "yes" if row.category.retryable else "no"
        ends = "completes after a retry" if row.mended else "fails"
        cells.append((str(number), f"`{row.stage}`", row.injected, row.category, retryable, ends, said))
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in cells)


def _cell(text: str) -> str:
    return re.sub(r"[0-9a-f]{64}", "…", " ".join(text.split())).replace("|", "\\|")
