"""What fluxline does with a provider's archive, as a trial for a child process: check it, and unpack it."""

import os
import shutil
from pathlib import Path

from fluxline.weights import WeightsError, WeightsLimits, open_weights
from fuzz.child import Judged
from fuzz.tar_files import tar_file

SEED = int(os.environ.get("FUZZ_SEED", "20250101"))
LIMITS = WeightsLimits(min_weights_bytes=64)
_MADE = {"lora.safetensors", "config.yaml", "config.yml", "config.json", "captions"}


def make_tar(index: int, folder: Path) -> str:
    """The archive, in a folder that holds a file which must stay as it is."""
    kind, content = tar_file(SEED, index)
    shutil.rmtree(folder / "jail", ignore_errors=True)
    (folder / "jail").mkdir()
    (folder / "jail" / "bystander").write_text("untouched")
    (folder / "jail" / "trained_model.tar").write_bytes(content)
    return kind


def judge_tar(folder: Path) -> Judged:
    """Refused by a WeightsError, or unpacked into its own folder and nowhere else."""
    jail = folder / "jail"
    try:
        extracted = open_weights(jail / "trained_model.tar", LIMITS).extract(jail / "a" / "b" / "out")
    except WeightsError as refused:
        finding = None if refused.message and refused.hint else "a refusal without words"
        return Judged(type(refused).__name__, finding or _outside(jail))
    paths = [extracted.weights, *filter(None, [extracted.config]), *extracted.captions]
    if any(not path.is_file() or path.is_symlink() for path in paths):
        return Judged("none", "what was announced is no plain file")
    return Judged("unpacked", _outside(jail))


def _outside(jail: Path) -> str | None:
    """What lies where nothing may be; /tmp/evil is what the archives with absolute names aim at."""
    allowed = {"bystander", "trained_model.tar", "a", "a/b", "a/b/out"}
    found = {str(path.relative_to(jail)) for path in jail.rglob("*")}
    strays = {name for name in found - allowed if not name.startswith("a/b/out/") or name.split("/")[3] not in _MADE}
    if strays or Path("/tmp/evil").exists() or (jail / "bystander").read_text() != "untouched":
        return f"wrote outside: {sorted(strays)[:5]}"
    return None
