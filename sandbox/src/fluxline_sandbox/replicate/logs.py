"""The training log: one cumulative text, the same for every reading at the same moment.

Lines follow the trainer's own: preprocessing bars under other names, then the job's bar with elapsed and
remaining time, speed, learning rate and a falling, noisy loss; bars are separated by carriage returns.
"""

import hashlib
import math

from fluxline_sandbox.replicate.jobs import progress, starts_at, status
from fluxline_sandbox.store import Document

_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"
_PREPROCESSING_SHARE = 0.1
_LINES = 100
_SECONDS_PER_STEP = 0.93


def training_log(job: Document) -> str:
    """Everything the training has printed so far; an earlier reading is a prefix of a later one."""
    if status(job) in ("starting", "aborted") or (job["status"] == "canceled" and _never_began(job)):
        return ""
    text = "Downloading input images\n"
    if job.get("dataset"):
        done = progress(job)
        text += _preprocessing(job["dataset"], done / _PREPROCESSING_SHARE)
        if done >= _PREPROCESSING_SHARE:
            text += _training(job, (done - _PREPROCESSING_SHARE) / (1 - _PREPROCESSING_SHARE))
    if job["status"] == "succeeded":
        text += "\nSaved to output/flux_train_replicate/flux_train_replicate.safetensors\nTraining complete\n"
    return text + (f"\n{job['error']}\n" if job["error"] else "")


def _never_began(job: Document) -> bool:
    return bool(job["completed_at"] < starts_at(job))


def steps(job: Document) -> int:
    """How many steps the job trains for."""
    return int(job["input"].get("steps") or job["input"].get("training_steps") or 1000)


def _preprocessing(dataset: Document, share: float) -> str:
    images = len(dataset["images"])
    text = f"Extracted {images + len(dataset['captions'])} files from zip to input_images\n"
    for index, name in enumerate(("Caching latents to disk", "Dataset: input_images")):
        reached = min(1.0, max(0.0, share * 2 - index))
        bars = [bar(i, images, i * 0.4, 0.4) for i in _reported(math.floor(images * reached), images)]
        text += "".join(f"\r{name}: {line}]" for line in bars)
        if reached < 1:
            return text
        text += "\n"
    return text + "Starting train job\n"


def _training(job: Document, share: float) -> str:
    total = steps(job)
    rate = job["input"].get("learning_rate") or 4e-4
    text = f"flux_train_replicate:   0%|          | 0/{total} [00:00<?, ?it/s]"
    saved = False
    for step in _reported(math.floor(total * share), total):
        if step * 2 > total and not saved:
            text += "\nSaved to output/flux_train_replicate/optimizer.pt\n"
            saved = True
        loss = _loss(job["id"], step, total)
        moment = bar(step, total, step * _SECONDS_PER_STEP, _SECONDS_PER_STEP)
        text += f"\rflux_train_replicate: {moment}, lr: {rate:.1e} loss: {loss:.3e}]"
    return text


def bar(step: int, total: int, elapsed_s: float, seconds_per_step: float) -> str:
    """A tqdm bar without its closing bracket, so that a postfix can follow."""
    eighths = int(step / total * _BAR * 8)
    full, part = divmod(eighths, 8)
    blocks = ("█" * full + (_EIGHTHS[part] if full < _BAR and part else "")).ljust(_BAR)
    left = (total - step) * seconds_per_step
    speed = f"{1 / seconds_per_step:5.2f}it/s"
    return f"{int(step / total * 100):3d}%|{blocks}| {step}/{total} [{_clock(elapsed_s)}<{_clock(left)}, {speed}"


def _reported(reached: int, total: int) -> list[int]:
    """The steps up to `reached` that get a line: about a hundred over the whole job, and the last one."""
    stride = max(1, total // _LINES)
    return [*range(stride, min(reached, total - 1) + 1, stride), *([total] if reached >= total else [])]


def _loss(seed: str, step: int, total: int) -> float:
    noise = hashlib.blake2b(f"{seed}{step}".encode(), digest_size=2).digest()
    wobble = int.from_bytes(noise, "big") / 65535 - 0.5
    return 0.28 + 0.35 * math.exp(-3 * step / total) + 0.12 * wobble


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
