"""A sandbox that is killed and started again on the same folder goes on as if nothing had happened."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from fluxline_sandbox.replicate.catalog import MODELS

from .stand import Site, good_zip, until

TRAINER = MODELS["ostris/flux-dev-lora-trainer"]
TOKENS = {"SANDBOX_REPLICATE_API_TOKEN": "r8_test", "SANDBOX_HUGGINGFACE_API_TOKEN": "hf_test"}
REPLICATE = {"authorization": "Bearer r8_test"}
HUB = {"authorization": "Bearer hf_test"}


@contextmanager
def process(home: Path, port: int) -> Iterator[httpx.Client]:
    """The sandbox as its own process, killed without warning at the end."""
    environment = {**os.environ, **TOKENS, "SANDBOX_HOME": str(home), "SANDBOX_PORT": str(port)}
    command = [sys.executable, "-m", "fluxline_sandbox"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            url = running.stdout.readline().split()[-1]
            with httpx.Client(base_url=url, timeout=10) as http:
                until(lambda: _healthy(http))
                yield http
        finally:
            running.kill()


def _healthy(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_counts_repositories_settings_and_running_trainings_survive_a_kill(tmp_path: Path, site: Site) -> None:
    url = site.put("/a.zip", good_zip())
    with process(tmp_path, 0) as http:
        port = http.base_url.port
        http.post("/_sandbox/settings", json={"training_seconds": 2, "list_lag_seconds": 0.5})
        model = {"owner": "fluxline-sandbox", "name": "m", "visibility": "private", "hardware": "cpu"}
        http.post("/replicate/v1/models", json=model, headers=REPLICATE)
        body = {"destination": "fluxline-sandbox/m", "input": {"input_images": url}, "webhook": f"{site.url}/hook"}
        path = f"/replicate/v1/models/{TRAINER.id}/versions/{TRAINER.version}/trainings"
        training = http.post(path, json=body, headers=REPLICATE).json()
        http.post("/hf/api/repos/create", json={"name": "r"}, headers=HUB)
        before = http.get("/_sandbox/state").json()
    assert port
    with process(tmp_path, port) as http:
        after = http.get("/_sandbox/state").json()
        assert (after["trainings"], after["repos"]) == (1, before["repos"])
        assert http.get("/_sandbox/settings").json()["list_lag_seconds"] == 0.5
        job = until(
            lambda: http.get(f"/replicate/v1/trainings/{training['id']}", headers=REPLICATE).json(),
            lambda job: job["status"] not in ("starting", "processing"),
        )
        assert job["status"] == "succeeded"
        assert http.get(job["output"]["weights"]).status_code == 200
        until(lambda: "succeeded" in [body["status"] for body in site.bodies()])
        assert http.get("/_sandbox/state").json()["trainings"] == 1
