"""The main job on a real stack: photos in, a trained and published LoRA out, and every step on record."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from polling import poll_until

from .metrics_exist import test_rules_and_dashboards_ask_for_series_that_there_are  # noqa: F401  # shares this stack
from .running import RunningStack, job, submit, until_status, upload
from .telemetry import (  # noqa: F401  # they share this file's stack
    ran,
    test_a_webhook_is_linked_from_the_job,
    test_calls_continue_the_callers_trace,
    test_every_edge_is_in_a_trace,
    test_every_service_has_every_signal,
    test_failures_are_told_by_category,
    test_logs_of_a_job_name_its_trace_and_its_span,
    test_one_job_is_one_trace_of_all_services_in_which_every_parent_is_known,
    test_polling_makes_no_spans_and_a_training_makes_one,
    test_probes_and_sweeps_make_no_spans,
    test_quiet_events_are_of_the_trace_too,
    test_storage_providers_and_databases_are_in_the_traces,
)

HUB_TOKEN = "hf_sandboxsandboxsandboxsandboxsandbox"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
MILESTONES = ["training.requested", "zip.created", "training.started", "training.succeeded", "model.published"]
HANDLED = ["zip_creation", "huggingface_upload"]
"""Stages of a message's handler; a training outlives its handler, and the trainer tells of it in words of its own."""
_EVENTS = """
SELECT subject, stage, category, attempt, duration_ms, trace_id, readable
FROM collector.events WHERE training_id = $1 ORDER BY stored_at, sequence
"""


async def recorded(stack: RunningStack, training_id: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(stack.state["postgres_url"])
    try:
        return await connection.fetch(_EVENTS, training_id)
    finally:
        await connection.close()


async def hub_contents(stack: RunningStack, repo: str, folder: Path) -> dict[str, Any]:
    env = {**os.environ, "HF_ENDPOINT": stack.state["sandbox_url"] + "/hf", "HF_HUB_DISABLE_XET": "1"}
    script = Path(__file__).with_name("hub_contents.py")
    command = [sys.executable, str(script), repo, HUB_TOKEN, str(folder)]
    done = await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    contents: dict[str, Any] = json.loads(done.stdout)
    return contents


async def test_photos_become_a_published_model_and_every_step_is_on_record(
    stack: RunningStack, api: httpx.AsyncClient, photos: list[Path], tmp_path: Path
) -> None:
    headers = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    training = await submit(api, job(await upload(api, photos)), headers)
    training = await until_status(api, training["id"])
    assert training["status"] == "completed", training["error"]
    assert training["progress"] == 100

    contents = await hub_contents(stack, training["result"]["huggingface"]["repo"], tmp_path)
    assert sum(name.endswith(".safetensors") for name in contents["files"]) == 1
    assert contents["tensors"]
    assert contents["card"]["instance_prompt"] == "ADATOK"
    assert contents["card"]["base_model"] == "black-forest-labs/FLUX.1-dev"
    assert contents["card"]["widget"]
    assert any(name.startswith("captions/") for name in contents["files"])
    assert any(name.startswith("config") for name in contents["files"])

    summary = await _summary_with(api, training["id"], stages=3)
    events = await recorded(stack, training["id"])
    assert [event["subject"] for event in events if event["subject"] in MILESTONES] == MILESTONES
    assert all(event["readable"] for event in events)
    assert {event["trace_id"] for event in events} == {TRACE_ID}
    ended = {event["stage"]: event for event in events if event["subject"] == "stage.succeeded"}
    assert set(ended) == {"zip_creation", "replicate_training", "huggingface_upload"}
    assert all(event["duration_ms"] >= 0 and event["attempt"] == 1 for event in ended.values())

    assert summary["error_counts"] == {}
    assert summary["trace_id"] == TRACE_ID
    assert {stage["stage"]: stage["status"] for stage in summary["stages"]} == dict.fromkeys(ended, "succeeded")
    assert all(stage["work_ms"] == ended[stage["stage"]]["duration_ms"] for stage in summary["stages"])


async def _summary_with(api: httpx.AsyncClient, training_id: str, *, stages: int) -> dict[str, Any]:
    """The summary once the collector, which nobody waits for, has seen the end of that many stages."""

    async def complete() -> dict[str, Any] | None:
        answer = await api.get(f"/v1/trainings/{training_id}/debug")
        summary: dict[str, Any] = answer.json()
        ended = [stage for stage in summary.get("stages", []) if stage["ended_at"]]
        return summary if len(ended) == stages else None

    summary = await poll_until(complete, timeout_s=15)
    assert summary
    return summary


async def test_an_image_of_the_model_is_generated_and_downloadable(api: httpx.AsyncClient, photos: list[Path]) -> None:
    training = await until_status(api, (await submit(api, job(await upload(api, photos))))["id"])
    body = {"prompt": "a photo of ADATOK at the sea", "output_format": "png"}
    answer = await api.post(f"/v1/models/{training['result']['model_id']}/generations", json=body)
    assert answer.status_code == 202, answer.text
    path = f"/v1/generations/{answer.json()['id']}"

    async def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = (await api.get(path)).json()
        return found if found["status"] in ("succeeded", "failed") else None

    generation = await poll_until(ended, timeout_s=30)
    assert generation
    assert generation["status"] == "succeeded", generation["error"]
    image = await api.get(generation["images"][0]["url"])
    assert image.content.startswith(b"\x89PNG")


async def test_sample_images_of_a_model_are_shown_by_its_card(
    stack: RunningStack, api: httpx.AsyncClient, photos: list[Path], tmp_path: Path
) -> None:
    order = job(await upload(api, photos))
    order["publish"] |= {"sample_prompts": ["ADATOK at sea"]}
    training = await until_status(api, (await submit(api, order))["id"])
    path, repo = f"/v1/models/{training['result']['model_id']}", training["result"]["huggingface"]["repo"]

    async def shown(*texts: str) -> list[dict[str, Any]] | None:
        samples: list[dict[str, Any]] = (await api.get(path)).json()["samples"]
        return samples if [sample["text"] for sample in samples] == list(texts) else None

    await poll_until(lambda: shown("ADATOK at sea"), timeout_s=30)
    prompts = ["ADATOK on the moon", "a portrait of ADATOK"]
    answer = await api.post(f"{path}/samples", json={"prompts": prompts})
    assert answer.status_code == 202, answer.text
    samples = await poll_until(lambda: shown(*prompts), timeout_s=30)
    contents = await hub_contents(stack, repo, tmp_path)
    images = [name for name in contents["files"] if name.startswith("images/")]
    assert images == ["images/sample-1.webp", "images/sample-2.webp"]
    widget = [{"text": text, "output": {"url": url}} for text, url in zip(prompts, images, strict=True)]
    assert contents["card"]["widget"] == widget
    assert "<Gallery />" in contents["text"]
    assert samples
    assert (await api.get(samples[0]["url"])).content[8:12] == b"WEBP"


async def test_the_command_line_trains_and_tells_what_happened(stack: RunningStack, photos: list[Path]) -> None:
    options = ["--name", "From the shell", "--trigger-word", "SHELL", "--accept-license", "--json"]
    trained = await asyncio.to_thread(stack.run, "train", *map(str, photos), *options)
    assert trained.returncode == 0, trained.stderr
    training = json.loads(trained.stdout)
    assert training["status"] == "completed"
    told = await asyncio.to_thread(stack.run, "debug", training["id"], "--follow")
    assert "🔵 TRAINING INFO: { stage: 'zip_creation'" in told.stdout
    assert "🟢 TRAINING DEBUG:" in told.stdout
    assert "diagnosis: Completed" in told.stdout
    status = await asyncio.to_thread(stack.run, "status", "--json")
    assert {program["health"] for program in json.loads(status.stdout).values()} == {"ready", "running"}


async def test_too_few_photos_end_the_command_with_a_clear_message(stack: RunningStack, photos: list[Path]) -> None:
    options = ["--name", "Few", "--trigger-word", "FEW", "--no-publish"]
    done = await asyncio.to_thread(stack.run, "train", *map(str, photos[:4]), *options)
    assert done.returncode == 1
    assert "only 4 of 4 photos can be used" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_wrong_token_at_the_provider_is_a_failed_job_that_says_what_to_do(
    stack: RunningStack, api: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path]
) -> None:
    body = {"title": "Unauthenticated", "detail": "You did not pass a valid authentication token", "status": 401}
    fault = {"provider": "replicate", "operation": "trainings.create", "kind": "status", "code": 401, "body": body}
    await sandbox.post("/_sandbox/faults", json=[{**fault, "times": None}])
    before = (await sandbox.get("/_sandbox/state")).json()["trainings"]
    training = await until_status(api, (await submit(api, job(await upload(api, photos))))["id"])
    assert training["status"] == "failed"
    assert training["error"]["stage"] == "replicate_training"
    assert training["error"]["category"] == "authentication"
    assert "REPLICATE_API_TOKEN" in training["error"]["hint"]
    assert (await sandbox.get("/_sandbox/state")).json()["trainings"] == before
    summary = await _summary_with(api, training["id"], stages=2)
    assert summary["last_error"]["category"] == "authentication"
    told = await asyncio.to_thread(stack.run, "debug", training["id"])
    assert "🔴 TRAINING ERROR: { stage: 'replicate_training'" in told.stdout


@pytest.mark.parametrize("count", [4, 21])
async def test_four_or_twenty_one_images_are_refused(api: httpx.AsyncClient, photos: list[Path], count: int) -> None:
    ids = await upload(api, photos)
    answer = await api.post("/v1/trainings", json=job((ids * 4)[:count]))
    _is_a_problem(answer, 422, "image_ids")


async def test_an_image_of_somebody_else_is_refused_as_if_it_did_not_exist(
    stack: RunningStack, api: httpx.AsyncClient, photos: list[Path]
) -> None:
    made = await asyncio.to_thread(stack.run, "keys", "create", "--owner", "mallory", "--json")
    async with stack.client(json.loads(made.stdout)["key"]) as other:
        theirs = await upload(other, photos[:1])
    mine = await upload(api, photos)
    _is_a_problem(await api.post("/v1/trainings", json=job([*mine[1:], *theirs])), 422, theirs[0])
    assert (await api.get(f"/v1/images/{theirs[0]}")).status_code == 404


@pytest.mark.parametrize(("change", "named"), [({"name": "x" * 200}, "name"), ({"trigger_word": None}, "trigger_word")])
async def test_a_wrong_field_is_named(
    api: httpx.AsyncClient, photos: list[Path], change: dict[str, Any], named: str
) -> None:
    body = {name: value for name, value in job(await upload(api, photos), **change).items() if value is not None}
    _is_a_problem(await api.post("/v1/trainings", json=body), 422, named)


async def test_a_malformed_key_is_refused_with_a_hint(stack: RunningStack) -> None:
    async with stack.client("not-a-key") as stranger:
        _is_a_problem(await stranger.get("/v1/trainings"), 401, "")


def _is_a_problem(answer: httpx.Response, status: int, named: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["category"]
    assert problem["hint"]
    assert named in json.dumps(problem)
    assert "Traceback" not in answer.text


async def test_a_jobs_log_is_answered_with_the_job(
    stack: RunningStack, api: httpx.AsyncClient, photos: list[Path]
) -> None:
    training = await submit(api, job(await upload(api, photos)))
    await until_status(api, training["id"])

    async def told() -> list[Any] | None:
        items: list[Any] = (await api.get(f"/v1/trainings/{training['id']}/debug/logs?limit=1000")).json()["items"]
        return items if _stages_done(items) == HANDLED else None

    items = await poll_until(told)
    assert {item["training_id"] for item in items} <= {training["id"], None}
    assert len({item["trace_id"] for item in items if item["trace_id"]}) == 1
    assert {"zipper", "trainer", "publisher"} <= {item["service"] for item in items}


def _stages_done(items: list[Any]) -> list[str]:
    return [item["fields"]["stage"] for item in items if item["event"] == "attempt.succeeded"]
