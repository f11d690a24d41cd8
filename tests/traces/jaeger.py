"""A real Jaeger for tests: its program (FLUXLINE_JAEGER, or `jaeger` on the path), else its image where Docker runs."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from processes import free_ports

IMAGE: Final = os.environ.get("FLUXLINE_JAEGER_IMAGE", "jaegertracing/jaeger:2.11.0")
START_S: Final = 60.0
MISSING: Final = "needs Jaeger: set FLUXLINE_JAEGER to its program, put `jaeger` on the path, or have Docker run"
CONFIG: Final = """
service:
  extensions: [jaeger_storage, jaeger_query]
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
extensions:
  jaeger_storage: {{backends: {{memory: {{memory: {{max_traces: 10000}}}}}}}}
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: "{host}:{query}"}}
    grpc: {{endpoint: "{host}:{grpc}"}}
receivers:
  otlp: {{protocols: {{http: {{endpoint: "{host}:{otlp}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"""


def program() -> str | None:
    """The program, where there is one."""
    return os.environ.get("FLUXLINE_JAEGER") or shutil.which("jaeger")


def is_at_hand() -> bool:
    """Whether a Jaeger can be started here."""
    return program() is not None or _docker_runs()


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


class Jaeger:
    """Runs while it is entered, with its traces in memory; `otlp_url` takes spans, `url` answers."""

    def __init__(self, home: Path) -> None:
        ports = free_ports(3)
        self._names = dict(zip(("query", "grpc", "otlp"), ports, strict=True))
        self.url, self.otlp_url = (f"http://127.0.0.1:{self._names[name]}" for name in ("query", "otlp"))
        self._config, self._log = home / "jaeger.yaml", home / "jaeger.log"

    def __enter__(self) -> Self:
        command = self._command()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise RuntimeError(f"Jaeger did not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        finally:
            self._process.kill()
            self._process.wait()

    def _command(self) -> list[str]:
        found = program()
        self._config.write_text(CONFIG.format(host="127.0.0.1", **self._names))
        if found:
            return [found, f"--config=file:{self._config}"]
        mount = f"{self._config}:/jaeger.yaml:ro"
        return ["docker", "run", "--rm", "--network", "host", "-v", mount, IMAGE, "--config=file:/jaeger.yaml"]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/services", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def traces(self, service: str, **tags: str) -> list[dict[str, Any]]:
        """Traces with a span of that service that has these attributes."""
        question = {"service": service, "tags": json.dumps(tags), "limit": "20", "lookback": "1h"}
        answer = httpx.get(f"{self.url}/api/traces", params=question, timeout=10)
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return found
