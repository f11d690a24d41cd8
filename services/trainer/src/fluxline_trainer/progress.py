"""The trainer's log as progress: a parser for its tqdm bars.

The log is one cumulative text; bars overwrite each other with carriage returns. The job's own bar reads
`flux_train_replicate:  52%|█████▏    | 517/1000 [08:01<07:30,  1.07it/s, lr: 4.0e-04 loss: 3.456e-01]`;
bars with other names are preprocessing, and other lines ("Saved to output/...") tell nothing of progress.
"""

import re
from typing import NamedTuple

from fluxline.runtime.redaction import redact_text

JOB = "flux_train_replicate"
TAIL_LINES = 20
LINE_CHARS = 300
_BAR = re.compile(
    r"(?P<name>[^\r\n:|]{1,80}):\s+\d{1,3}%\|[^|\r\n]{0,200}\|\s*(?P<step>\d{1,9})/(?P<steps>\d{1,9})\s*"
    r"\[[\d:]{1,12}<(?P<left>[\d:?]{1,12})(?:,(?P<postfix>[^\]\r\n]{0,200}))?"
)
_LOSS = re.compile(r"\bloss:\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", re.IGNORECASE)


class Progress(NamedTuple):
    """Where a training is: `percent` 0 to 100, `step` of `steps`, the loss, and the trainer's own `eta_s`."""

    phase: str = "starting"
    percent: float = 0.0
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    eta_s: float | None = None


def parse_progress(log: str) -> Progress:
    """The last bar of the job in `log`; without one, whether anything has begun."""
    last = None
    phase = "preparing" if log.strip() else "starting"
    for bar in _BAR.finditer(log):
        if bar["name"].strip() == JOB:
            last = bar
    if last is None:
        return Progress(phase)
    step, steps = int(last["step"]), int(last["steps"])
    if steps == 0 or step > steps:
        return Progress("training")
    loss = _LOSS.search(last["postfix"] or "")
    return Progress(
        phase="training",
        percent=round(100 * step / steps, 1),
        step=step,
        steps=steps,
        loss=float(loss[1]) if loss else None,
        eta_s=_seconds(last["left"]),
    )


def log_tail(log: str, lines: int = TAIL_LINES) -> tuple[str, ...]:
    """The log's last lines as a terminal would show them: of overwritten bars the last, without secrets."""
    shown = (_last_overwrite(line) for line in log[-200_000:].split("\n"))
    tail = [line for line in shown if line.strip()][-lines:]
    return tuple(redact_text(_printable(line))[:LINE_CHARS] for line in tail)


def _last_overwrite(line: str) -> str:
    parts = [part for part in line.split("\r") if part.strip()]
    return parts[-1] if parts else ""


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else " " for char in line).rstrip()


def _seconds(clock: str) -> float | None:
    """`mm:ss` or `h:mm:ss` as seconds; tqdm writes `?` while it does not know."""
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return None
    seconds = 0
    for part in parts:
        seconds = seconds * 60 + int(part)
    return float(seconds)
