"""An imagined provider: its runs are in memory, move when they are told to, and its paid call fails as scripted."""

import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from fluxline_trainer.errors import CreditMissing, NotFound, ProviderUnreachable
from fluxline_trainer.provider import Order, ProviderRun, RunStatus

from .dying import Crash

VERSION = "0" * 64


def weights_tar(size_bytes: int = 4096) -> bytes:
    """A tar with one plausible LoRA of `size_bytes`."""
    head = json.dumps({"lora": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}).encode()
    content = len(head).to_bytes(8, "little") + head + bytes(size_bytes)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("lora.safetensors")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


class ImaginedProvider:
    """`next_answer` is what becomes of the next paid call: ok, lost before/after, crash before/after, refused."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.runs: dict[str, ProviderRun] = {}
        self.next_answer = "ok"
        self.worst = 0
        self._tar = weights_tar()

    @property
    def live(self) -> list[ProviderRun]:
        """The runs that cost money now."""
        return [run for run in self.runs.values() if not run.status.is_final]

    def move(self, status: RunStatus) -> None:
        """Every live run comes to that status."""
        for run in self.live:
            output = {"version": f"{run.destination}:{VERSION}", "weights": "https://imagined.example/tar"}
            self.runs[run.id] = run.model_copy(
                update={"status": status, "output": output if status is RunStatus.SUCCEEDED else None}
            )

    async def create(self, order: Order) -> ProviderRun:
        answer, self.next_answer = self.next_answer, "ok"
        if answer == "refused":
            raise CreditMissing
        if answer == "lost before":
            raise ProviderUnreachable(ambiguous=True)
        if answer == "crash before":
            raise Crash
        run = ProviderRun(
            id=uuid4().hex,
            status=RunStatus.STARTING,
            destination=order.destination,
            created_at=self.clock(),
        )
        self.runs[run.id] = run
        self.worst = max(self.worst, len(self.live))
        if answer == "lost after":
            raise ProviderUnreachable(ambiguous=True)
        if answer == "crash after":
            raise Crash
        return run

    async def get(self, run_id: str) -> ProviderRun:
        if run_id not in self.runs:
            raise NotFound
        return self.runs[run_id]

    async def cancel(self, run_id: str) -> None:
        run = await self.get(run_id)
        if not run.status.is_final:
            self.runs[run_id] = run.model_copy(update={"status": RunStatus.CANCELED})

    async def newest_first(self) -> AsyncIterator[ProviderRun]:
        for run in reversed(self.runs.values()):
            yield run

    async def account(self) -> str:
        return "ada"

    async def ensure_destination(self, owner: str, name: str) -> bool:
        return False

    async def delete_model(self, model: str) -> None:
        return None

    async def latest_version(self, trainer: str) -> str:
        return VERSION

    async def download(self, url: str, target: Path) -> None:
        target.write_bytes(self._tar)

    def page_of(self, run_id: str) -> str:
        return f"https://imagined.example/{run_id}"


class ImaginedLinks:
    """Every archive can be fetched."""

    async def checked(self, key: str, size_bytes: int) -> str:
        return f"https://imagined.example/{key}"
