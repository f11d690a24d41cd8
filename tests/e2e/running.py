"""`fluxline up` as a user starts it, and a job as an API client asks for it."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from fluxline_cli.stack.state import processes_of
from polling import poll_until

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
JOB_TIMEOUT_S = 90.0
FLUXLINE = str(Path(sys.executable).parent / "fluxline")
SETTINGS = {"TRAINER_SETTLE_S": "5", "GENERATOR_SETTLE_S": "5"}
"""The sandbox lists at once what was asked of it: a call in doubt is settled sooner than with a real provider."""
Json = dict[str, Any]


class RunningStack:
    """A stack on free ports, ready on entering, stopped on leaving."""

    exit_status: int | None = None

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self._environment = SETTINGS | environment
        self.state_file = home / "stack.json"
        self._output = home.parent / "output"

    def __enter__(self) -> Self:
        command = [FLUXLINE, "up", "--ports", "auto", "--sandbox", "--home", str(self.home)]
        with self._output.open("wb") as output:
            self._up = subprocess.Popen(
                command,
                env=os.environ | self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.state_file.exists():
            if self._up.poll() is not None or time.monotonic() > deadline:
                self._up.kill()
                self._up.wait()
                raise RuntimeError(f"the stack did not start:\n{self.output()}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._up.terminate()
        try:
            self.exit_status = self._up.wait(STOP_TIMEOUT_S)
        finally:
            self._up.kill()
            self._up.wait()

    @property
    def state(self) -> Json:
        """What the stack says of itself now."""
        state: Json = json.loads(self.state_file.read_text())
        return state

    def output(self) -> str:
        """What `fluxline up` has printed."""
        return self._output.read_text()

    def violations(self) -> list[str]:
        """What NATS has refused to its users: a service may do all that it does, and nothing else."""
        log = (self.home / "logs" / "nats.log").read_text(errors="replace")
        return [line for line in log.splitlines() if "Violation" in line]

    def remaining_processes(self) -> list[str]:
        """The processes of this home."""
        return [" ".join(process.cmdline()) for process in processes_of(self.home)]

    def client(self, api_key: str) -> httpx.AsyncClient:
        """The gateway's API; a call is repeated while nobody listens."""
        return httpx.AsyncClient(
            base_url=self.state["gateway_url"],
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=30,
            transport=httpx.AsyncHTTPTransport(retries=5),
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `fluxline` command against this stack."""
        env = {**os.environ, "FLUXLINE_HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "200"}
        env.pop("FLUXLINE_URL", None)
        return subprocess.run([FLUXLINE, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False)

    def kill(self, name: str) -> int:
        """End a program as a crash would; returns the process id that is gone."""
        pid = int(self.state["services"][name]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    async def back_after(self, name: str, pid: int) -> None:
        """Wait until the program that was process `pid` runs and is healthy again."""
        await poll_until(lambda: self.state["services"][name]["pid"] != pid, timeout_s=30)
        url = self.state["services"][name]["health_url"]
        if url:
            async with httpx.AsyncClient() as http:
                await poll_until(lambda: _is_well(http, url), timeout_s=30)


async def _is_well(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx.TransportError:
        return False


async def upload(api: httpx.AsyncClient, photos: list[Path]) -> list[str]:
    """The ids of the uploaded photos."""
    answer = await api.post("/v1/images", files=[("files", (photo.name, photo.read_bytes())) for photo in photos])
    assert answer.status_code == 201, answer.text
    return [image["id"] for image in answer.json()["accepted"]]


def job(image_ids: list[str], **changes: Any) -> Json:
    """A training that is published."""
    publish = {"enabled": True, "private": True, "accept_license": True}
    return {"name": "Ada's Robot", "trigger_word": "ADATOK", "image_ids": image_ids, "publish": publish, **changes}


async def submit(api: httpx.AsyncClient, body: Json, headers: dict[str, str] | None = None) -> Json:
    """Ask for the training; returns it."""
    answer = await api.post(
        "/v1/trainings", json=body, headers={"Idempotency-Key": str(uuid.uuid4()), **(headers or {})}
    )
    assert answer.status_code == 202, answer.text
    training: Json = answer.json()
    return training


async def until_status(api: httpx.AsyncClient, training_id: str, *statuses: str) -> Json:
    """The training, once it has one of these statuses or has ended; outages of the gateway are waited for."""

    async def reached() -> Json | None:
        try:
            answer = await api.get(f"/v1/trainings/{training_id}")
        except httpx.TransportError:
            return None
        if answer.status_code >= 500:
            return None
        assert answer.status_code == 200, answer.text
        training: Json = answer.json()
        return training if training["status"] in (*statuses, "completed", "failed", "canceled") else None

    training = await poll_until(reached, timeout_s=JOB_TIMEOUT_S, interval_s=0.1)
    assert training
    return training
