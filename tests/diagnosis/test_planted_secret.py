"""A secret in every field that a provider can return: afterwards it is nowhere."""

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from e2e.running import upload
from faults.stack import FaultStack
from fluxline_cli.stack.environment import SANDBOX_KEYS
from polling import poll_until
from servers import SeaweedServer, seaweedfs_server

from . import dump
from .planting import Garden, alone_plans, cancel_plan, generation_plans, training_plans
from .row import TRAIN, Json, Row
from .run import SETTINGS, USUAL, Run

SIGNED = re.compile(r"X-Amz-Signature=(?!5ec7e7)[0-9a-f]{16}")
OWN_LINKS = ("/v1/models/{model_id}/weights", "/v1/generations", "/v1/generations/{generation_id}")
"""Answers that lead their owner to a file by a signed link of ours: that is what they are for."""
HUB = ("whoami", "repos.", "model_info", "preupload", "lfs.", "commit")


@pytest.fixture(scope="module")
def bucket() -> Iterator[SeaweedServer]:
    """An S3 server, so that the stack has R2 keys as well."""
    with seaweedfs_server() as server:
        yield server


@pytest.fixture(scope="module")
def stack(bucket: SeaweedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    with FaultStack(tmp_path_factory.mktemp("stack") / "home", SETTINGS | bucket.settings) as running:
        yield running
    assert running.exit_status == 0, running.output()


class Planting(Run):
    """Drives the jobs of the plans; `ids` are what the answers of the API are asked by."""

    def __init__(
        self, stack: FaultStack, api: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path], garden: Garden
    ) -> None:
        super().__init__(stack, api, sandbox, photos)
        self.garden = garden
        self.ids: dict[str, list[str]] = {"training_id": [], "generation_id": [], "model_id": []}

    async def everything(self) -> None:
        """Every plan's job, until all of them have ended."""
        await self.providers(**USUAL)
        self._images = await upload(self.api, self.photos)
        url = self.stack.state["sandbox_url"]
        for name, faults in alone_plans(self.garden).items():
            await self._post(faults)
            await self._ended(await self._asked(name))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._canceled())
            for name, faults in training_plans(self.garden, url).items():
                group.create_task(self._trained(name, faults))
            for name, faults in generation_plans(self.garden, url).items():
                group.create_task(self._painted(name, faults))
        await self._told()

    async def _post(self, faults: list[Json], word: str | None = None) -> None:
        plans = [
            {"provider": "huggingface" if plan["operation"].startswith(HUB) else "replicate", "match": word, **plan}
            for plan in faults
        ]
        answer = await self.sandbox.post("/_sandbox/faults", json=plans)
        assert answer.status_code == 200, answer.text

    async def _asked(self, name: str) -> str:
        training_id = await self.submit(Row(name, TRAIN, "", None, ""))  # type: ignore[arg-type]  # nothing is expected
        self.ids["training_id"].append(training_id)
        return training_id

    async def _ended(self, training_id: str) -> Json:
        training = await self.until(training_id)
        if training["status"] == "completed":
            self.ids["model_id"].append(training["result"]["model_id"])
        return training

    async def _trained(self, name: str, faults: list[Json]) -> None:
        async with self._slots:
            by_model = [plan for plan in faults if plan["operation"] == "models.create"]
            by_name = [plan for plan in faults if plan not in by_model]
            await self._post(by_name, f"-{name}-zz")
            training_id = await self._asked(name)
            await self._post(by_model, f"fluxline-{uuid.UUID(training_id).hex[:12]}")
            await self._ended(training_id)

    async def _canceled(self) -> None:
        await self._post(cancel_plan(self.garden))
        await self.providers(training_seconds=60)
        training_id = await self._asked("canceled")
        await poll_until(lambda: self._has_run(training_id), timeout_s=60)
        await self.providers(**USUAL)
        (await self.api.post(f"/v1/trainings/{training_id}/cancel")).raise_for_status()
        assert (await self.until(training_id))["status"] == "canceled"

    async def _painted(self, name: str, faults: list[Json]) -> None:
        async with self._slots:
            await self._post(faults, f"{name}-zz")
            generation_id = await self._generate(f"a harbour, {name}-zz")
            self.ids["generation_id"].append(generation_id)
            await self._until(f"/v1/generations/{generation_id}", ())

    async def _told(self) -> None:
        """A webhook of the provider's, rightly signed, whose body says too much."""
        secret = json.loads((self.stack.home / "credentials.json").read_text())["webhook_secret"]
        run = {"id": "abc123", "status": "failed", "logs": self.garden.text("webhook, logs")}
        body = json.dumps(run | {"error": self.garden.text("webhook, error"), "output": self.garden.text("output")})
        now = datetime.now(UTC)
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
        headers |= {"webhook-signature": Webhook(secret).sign("msg_1", now, body), "content-type": "application/json"}
        answer = await self.api.post("/v1/webhooks/replicate", content=body, headers=headers)
        assert answer.status_code < 300, answer.text


@pytest.mark.timeout(400)
async def test_a_planted_secret_appears_nowhere(stack: FaultStack, bucket: SeaweedServer, photos: list[Path]) -> None:
    credentials = json.loads((stack.home / "credentials.json").read_text())
    told = [SANDBOX_KEYS[name] for name in ("REPLICATE_API_TOKEN", "HUGGINGFACE_API_TOKEN")]
    garden = Garden((*told, bucket.access_key, bucket.secret_key))
    own = {name: credentials[name] for name in ("storage_secret", "collector_token", "webhook_secret", "api_key")}
    own |= dict(
        zip(("Replicate's token", "the hub's token", "R2's key id", "R2's key"), garden.configured, strict=True)
    )
    async with (
        stack.client(stack.state["api_key"]) as api,
        httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=20) as sandbox,
    ):
        planting = Planting(stack, api, sandbox, photos, garden)
        await planting.everything()
        await poll_until(lambda: _collected(api, planting.ids["training_id"]), timeout_s=30)
        found = [item async for item in _everything(stack, bucket, api, planting.ids)]
    places = {place.partition(" ")[0] for place, _ in found}
    assert places == {"table", "stream", "file", "object", "answer"}, places
    assert {f"answer {dump.EXPORT}", f"answer {dump.HTML}"} <= {place for place, _ in found}
    assert len(garden.planted) > 300
    leaks = {f"{place}: {where}" for place, text in found for where in garden.found_in(text)}
    leaks |= {f"{place}: {name}" for place, text in found for name, value in own.items() if value in text}
    leaks |= {f"{place}: a signed link" for place, text in found if SIGNED.search(text)}
    leaks -= {f"answer {path}: {what}" for path in OWN_LINKS for what in ("a signed link", "R2's key id")}
    assert not leaks, "\n".join([f"{len(leaks)} leaks", *sorted(leaks)])


async def _everything(
    stack: FaultStack, bucket: SeaweedServer, api: httpx.AsyncClient, ids: dict[str, list[str]]
) -> AsyncIterator[dump.Found]:
    """All that the stack has written down and answers."""
    async for item in dump.answers(api, ids):
        yield item
    async for item in dump.tables(stack.state["postgres_url"]):
        yield item
    async for item in dump.streams(stack.state["nats_url"]):
        yield item
    for item in [*dump.files(stack.home), *dump.bucket(bucket)]:
        yield item


async def _collected(api: httpx.AsyncClient, ids: list[str]) -> bool:
    """Whether the collector knows the end of every training."""
    answers = [await api.get(f"/v1/trainings/{each}/debug") for each in ids]
    return all(answer.status_code == 200 and answer.json()["status"] != "running" for answer in answers)
