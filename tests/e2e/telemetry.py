"""A job on the real stack is one trace: every edge of the topology is in it, and every service has every signal.

Tests of `test_main_job`, which imports them: test processes take whole files, and each would start a stack of its own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from fluxline.runtime.message_spans import is_quiet
from otlp import OtlpReceiver, ReceivedSpan
from polling import poll_until
from topology import CALLS, DATABASES, EDGES, MATRIX, PROVIDERS, STORAGE, UNSEEN, Edge

from .running import RunningStack, job, submit, until_status, upload

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
_EVENTS = "SELECT subject, trace_id, training_id::text FROM collector.events WHERE training_id = ANY($1::uuid[])"


class Told:
    """What the jobs of this module have left behind."""

    def __init__(self, otlp: OtlpReceiver, trace_ids: set[str], training_ids: list[str], rows: list[Any]) -> None:
        self.otlp, self.trace_ids, self.training_ids, self.rows = otlp, trace_ids, training_ids, rows

    @property
    def spans(self) -> list[ReceivedSpan]:
        """Those of the jobs' traces."""
        return [span for span in self.otlp.spans if span.trace_id in self.trace_ids]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ran(stack: RunningStack, photos: list[Path], otlp: OtlpReceiver) -> AsyncIterator[Told]:
    """A job that is published with a sample image, one that fails and is retried, and one that is deleted."""
    async with (
        stack.client(stack.state["api_key"]) as api,
        httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=20) as sandbox,
    ):
        published = await _published(api, photos)
        retried = await _failed_and_retried(api, sandbox, photos)
        assert (await api.delete(f"/v1/trainings/{published['id']}")).status_code < 300
        training_ids = [published["id"], retried["id"]]
        traces = {published["trace_id"], retried["trace_id"]}
        seen = {edge.subject for edge in EDGES} - set(UNSEEN)

        async def all_is_told() -> list[Any] | None:
            rows = await _recorded(stack, training_ids)
            return rows if {row["subject"] for row in rows} >= seen else None

        rows = await poll_until(all_is_told, timeout_s=30)
        assert rows
        ran = Told(otlp, traces | {row["trace_id"] for row in rows}, training_ids, rows)
        await poll_until(lambda: not missing_edges(ran), timeout_s=10, interval_s=0.5)
        yield ran


async def _published(api: httpx.AsyncClient, photos: list[Path]) -> dict[str, Any]:
    order = job(await upload(api, photos))
    order["publish"] |= {"sample_prompts": ["ADATOK at sea"]}
    training = await until_status(api, (await submit(api, order))["id"])
    assert training["status"] == "completed", training["error"]
    path = f"/v1/models/{training['result']['model_id']}"

    async def shown() -> bool:
        samples = (await api.get(path)).json()["samples"]
        return bool(samples) and all(sample.get("url") for sample in samples)

    await poll_until(shown, timeout_s=30)
    assert (await api.get(f"/v1/trainings/{training['id']}/debug")).status_code == 200
    return training


async def _failed_and_retried(api: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path]) -> dict[str, Any]:
    fault = {"provider": "replicate", "operation": "trainings.create", "kind": "status", "code": 401, "times": None}
    await sandbox.post("/_sandbox/faults", json=[fault | {"body": {"title": "Unauthenticated", "status": 401}}])
    training = await until_status(api, (await submit(api, job(await upload(api, photos))))["id"])
    assert training["status"] == "failed"
    await sandbox.delete("/_sandbox/faults")
    headers = {"Idempotency-Key": str(uuid4())}
    assert (await api.post(f"/v1/trainings/{training['id']}/retry", headers=headers)).status_code == 202
    await poll_until(lambda: _has_status(api, training["id"], "completed"), timeout_s=60)
    return training


async def _has_status(api: httpx.AsyncClient, training_id: str, status: str) -> bool:
    return bool((await api.get(f"/v1/trainings/{training_id}")).json()["status"] == status)


async def _recorded(stack: RunningStack, training_ids: list[str]) -> list[Any]:
    connection = await asyncpg.connect(stack.state["postgres_url"])
    try:
        return list(await connection.fetch(_EVENTS, training_ids))
    finally:
        await connection.close()


def missing_edges(ran: Told) -> list[Edge]:
    """The edges that the spans do not show: published there, processed here, as its child or with a link to it."""
    published = {
        (span.attributes["messaging.destination.name"], span.span_id): span.service
        for span in ran.spans
        if span.name.startswith("publish ")
    }
    found = set()
    for span in ran.spans:
        if not span.name.startswith("process "):
            continue
        for parent in (span.parent, *(link for _, link in span.links)):
            for subject in {span.attributes["messaging.destination.name"], *_subjects_at(published, parent)}:
                producer = published.get((subject, parent))
                if producer:
                    found.add(Edge(producer, subject, span.service, span.attributes["messaging.consumer.group.name"]))
    return [edge for edge in EDGES if edge.subject not in UNSEEN and not is_quiet(edge.subject) and edge not in found]


def _subjects_at(published: dict[tuple[str, str], str], span_id: str) -> set[str]:
    return {subject for subject, known in published if known == span_id}


@pytest.mark.asyncio(loop_scope="module")
async def test_every_edge_is_in_a_trace(ran: Told) -> None:
    assert not missing_edges(ran)


@pytest.mark.asyncio(loop_scope="module")
async def test_quiet_events_are_of_the_trace_too(ran: Told) -> None:
    quiet = [row for row in ran.rows if is_quiet(row["subject"])]
    loud = {row["trace_id"] for row in ran.rows if not is_quiet(row["subject"])}
    assert {row["trace_id"] for row in quiet} <= loud


@pytest.mark.asyncio(loop_scope="module")
async def test_one_job_is_one_trace_of_all_services_in_which_every_parent_is_known(ran: Told) -> None:
    [trace_id] = {row["trace_id"] for row in ran.rows if row["subject"] == "training.requested"} & {
        row["trace_id"] for row in ran.rows if row["subject"] == "model.card_requested"
    } or {next(row["trace_id"] for row in ran.rows if row["subject"] == "training.requested")}
    spans = ran.otlp.of_trace(trace_id)
    assert {span.service for span in spans} >= {"gateway", "zipper", "trainer", "publisher", "collector"}
    known = {span.span_id for span in spans}
    strangers = [span for span in spans if span.parent and span.parent not in known]
    assert not strangers, [(span.service, span.name) for span in strangers]
    assert len([span for span in spans if not span.parent]) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_polling_makes_no_spans_and_a_training_makes_one(ran: Told) -> None:
    names = [span.name for span in ran.spans if span.service == "trainer"]
    assert "replicate trainings.get" not in names
    published = [span for span in ran.spans if span.name == "replicate_training" and not span.failed]
    assert published
    assert all(span.attributes["fluxline.provider_id"] for span in published)
    assert {span.attributes["fluxline.training_id"] for span in published} == set(ran.training_ids)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_webhook_is_linked_from_the_job(ran: Told) -> None:
    webhooks = [span for span in ran.spans if span.name == "replicate webhook"]
    assert webhooks
    heard = {span.span_id for span in ran.otlp.spans if span.name == "POST /v1/webhooks/replicate"}
    assert {link for span in webhooks for _, link in span.links} <= heard


@pytest.mark.asyncio(loop_scope="module")
async def test_failures_are_told_by_category(ran: Told) -> None:
    failed = {span.name: span for span in ran.spans if span.failed and span.service == "trainer"}
    assert failed["replicate trainings.create"].attributes["error.type"] == "authentication"
    assert failed["replicate_training"].attributes["error.type"] == "authentication"


@pytest.mark.asyncio(loop_scope="module")
async def test_storage_providers_and_databases_are_in_the_traces(ran: Told) -> None:
    def services(attribute: str) -> set[str]:
        return {span.service for span in ran.otlp.spans if attribute in span.attributes}

    assert services("fluxline.storage.key") == set(STORAGE)
    assert services("db.system.name") == set(DATABASES)
    called = {(span.service, span.attributes.get("fluxline.provider")) for span in ran.spans if span.kind == "client"}
    assert set(PROVIDERS.items()) <= called


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("caller", "called"), CALLS)
async def test_calls_continue_the_callers_trace(ran: Told, stack: RunningStack, caller: str, called: str) -> None:
    if caller == "studio":
        await _open_a_page(stack)
    await poll_until(lambda: _calls(ran.otlp, caller, called), timeout_s=10)


async def _open_a_page(stack: RunningStack) -> None:
    async with httpx.AsyncClient(base_url=stack.state["studio_url"], follow_redirects=True) as browser:
        origin = {"Origin": stack.state["studio_url"].rstrip("/")}
        signed_in = await browser.post("/sign-in", data={"key": stack.state["api_key"]}, headers=origin)
        assert signed_in.status_code == 200, signed_in.text[:300]


def _calls(otlp: OtlpReceiver, caller: str, called: str) -> bool:
    callers = {span.span_id for span in otlp.spans if span.service == caller}
    return any(span.parent in callers for span in otlp.spans if span.service == called and span.kind == "server")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("service", MATRIX)
async def test_every_service_has_every_signal(ran: Told, stack: RunningStack, service: str) -> None:
    if service == "studio":
        await _open_a_page(stack)
    if "traces" in MATRIX[service]:
        await poll_until(lambda: any(span.service == service for span in ran.otlp.spans), timeout_s=10)
    if "metrics" in MATRIX[service]:
        await _check_metrics(stack, service)
    if "logs" in MATRIX[service]:
        log = (stack.home / "logs" / f"{service}.log").read_text()
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert {line["service"] for line in lines} == {service}


async def _check_metrics(stack: RunningStack, service: str) -> None:
    url = str(stack.state["services"][service]["health_url"]).rsplit("/", 1)[0] + "/metrics"
    async with httpx.AsyncClient() as http:
        plain, rich = await asyncio.gather(http.get(url), http.get(url, headers={"Accept": OPEN_METRICS}))
    for text, parse in ((plain.text, prometheus), (rich.text, open_metrics)):
        families = {family.name: family for family in parse(text)}
        assert {"fluxline_event_loop_lag_seconds", "fluxline_spans_dropped", "process_resident_memory_bytes"} <= set(
            families
        )
    assert f'service="{service}"' in plain.text
    assert rich.headers["content-type"].startswith("application/openmetrics-text")
    assert len(plain.text) < 200_000


@pytest.mark.asyncio(loop_scope="module")
async def test_logs_of_a_job_name_its_trace_and_its_span(ran: Told, stack: RunningStack) -> None:
    log = (stack.home / "logs" / "zipper.log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    of_jobs = [line for line in lines if line.get("training_id") in ran.training_ids]
    assert of_jobs
    for line in of_jobs:
        assert line["trace_id"] in ran.trace_ids
        assert line["span_id"] in {span.span_id for span in ran.otlp.of_trace(line["trace_id"])}


@pytest.mark.asyncio(loop_scope="module")
async def test_probes_and_sweeps_make_no_spans(ran: Told) -> None:
    names = {span.name for span in ran.otlp.spans}
    assert not [name for name in names if "healthz" in name or "readyz" in name or "metrics" in name]
    roots = {span.name for span in ran.otlp.spans if not span.parent}
    assert not {name for name in roots if name.split()[0] not in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")}
