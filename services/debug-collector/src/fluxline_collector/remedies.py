"""What a person can do about an error: the hint that it carries, or else what helps against its category."""

from typing import Final

from fluxline.contracts.narration import STAGE_NAMES

_BY_CATEGORY: Final = {
    "network": "Check that the network and the other side's address are right.",
    "authentication": "Check the key that this stage uses: it is missing, wrong, expired, or may not do this.",
    "validation": "Change what the message names; the same request would fail again.",
    "rate_limit": "Send less at once, or ask the provider for a higher limit.",
    "service_error": "Look at the provider's status page and at the log of the service.",
    "file_error": "Look at the file that the message names: it is missing, damaged or not what was announced.",
    "timeout": "Look at how loaded the service and the provider are.",
    "billing": "Add credit at the provider, then retry the training.",
    "content_policy": "Remove what the provider refused; the same content would be refused again.",
    "internal": "This is a bug in fluxline: please report it with the training's debug export.",
}
_UNKNOWN: Final = "Look at the training's log and at that of the service."


def remedy(hint: str, category: str | None, resume_from: str | None = None) -> str:
    """The hint, or one for the category where there is none; never empty.

    `resume_from` is the stage at which a retry begins, if that is an earlier one than failed.
    """
    text = ended(hint.strip() or _BY_CATEGORY.get(category or "", _UNKNOWN))
    return f"{text} A retry begins with {STAGE_NAMES.get(resume_from, resume_from)}." if resume_from else text


def ended(text: str) -> str:
    """The text as a sentence with an end."""
    text = text.strip()
    return text if not text or text[-1] in ".!?…" else f"{text}."
