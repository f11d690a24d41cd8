"""The system of docker-compose.yml as an operator handles it, under a project name and ports of its own."""

import json
import os
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import yaml

from e2e.running import SETTINGS
from processes import free_ports

ROOT = Path(__file__).parents[2]
START_S = 300
WATCHERS = ("jaeger", "prometheus", "node-exporter", "grafana")
"""Nothing waits for them: where their images are missing, the system is tested without them."""
STAGES = re.compile(r'^fluxline_stage_duration_seconds_count\{[^}]*outcome="succeeded"[^}]*\} (\d+)', re.MULTILINE)
_METRICS = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8000/metrics').read().decode())"


class Composed:
    """A running system; leaving removes it with its volumes."""

    def __init__(self, project: str) -> None:
        names = ("GATEWAY_PORT", "SANDBOX_PORT", "S3_PORT", "JAEGER_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
        ports = free_ports(len(names))
        self._env = os.environ | SETTINGS | dict(zip(names, map(str, ports), strict=True))
        self._project = project
        self._services = _services()
        self.gateway_url = f"http://127.0.0.1:{ports[0]}"
        self.sandbox_url = f"http://127.0.0.1:{ports[1]}"

    def __enter__(self) -> Self:
        self.compose("build", "--quiet")
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.compose("down", "--volumes", "--timeout", "20")

    def up(self, *arguments: str) -> None:
        """Start what does not run, and wait until all of it is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "180", *arguments, *self._services)

    def compose(self, *arguments: str) -> str:
        """What the command prints; raises with its complaint when it fails."""
        return self._run("docker", "compose", "--project-name", self._project, *arguments)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's replicas."""
        return self.compose("ps", "--quiet", service).split()

    def kill(self, service: str) -> None:
        """End a container as a crash would (SIGKILL), and start it again."""
        [container, *_] = self.containers(service)
        self._run("docker", "restart", "--time", "0", container)

    def stages_of_replicas(self, service: str) -> list[int]:
        """How many stages each replica has brought to a good end."""
        texts = [self._run("docker", "exec", each, "python", "-c", _METRICS) for each in self.containers(service)]
        return [sum(map(int, STAGES.findall(text.replace(".0\n", "\n")))) for text in texts]

    def api_key(self) -> str:
        """A key of a new owner."""
        command = ("python", "-m", "fluxline_gateway.identity.keys", "create", "--owner", "docker", "--json")
        return str(json.loads(self.compose("exec", "-T", "gateway", *command))["key"])

    def client(self, api_key: str) -> httpx.AsyncClient:
        """The gateway's API; a call is repeated while nobody listens."""
        return httpx.AsyncClient(
            base_url=self.gateway_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=60,
            transport=httpx.AsyncHTTPTransport(retries=5),
        )

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=START_S * 4, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout


def _services() -> list[str]:
    """What `docker compose up` starts, without those watchers whose images are not on this machine."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    started = [name for name, service in services.items() if "profiles" not in service]
    return [name for name in started if name not in WATCHERS or _is_at_hand(services[name]["image"])]


def _is_at_hand(image: str) -> bool:
    inspect = ("docker", "image", "inspect", image)
    return not subprocess.run(inspect, capture_output=True, timeout=20, check=False).returncode


def engine_is_at_hand() -> bool:
    """Whether a Docker Engine with Compose answers."""
    try:
        for command in (("docker", "info"), ("docker", "compose", "version")):
            subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
