"""`fluxline` covers every call of the gateway: each command is run against what the OpenAPI document shows."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fluxline_cli.main import app
from photos import write_photos

from .documented_api import DOCUMENT, DocumentedApi, documented_api

ID = "7a1a1a60-0000-4000-8000-000000000001"
COMMANDS = {
    "upload_images": "images upload PHOTO",
    "list_images": "images list",
    "get_image": f"images show {ID}",
    "update_image": f"images caption {ID} text",
    "review_images": f"images review {ID}",
    "get_image_content": f"images download {ID} -o FILE",
    "get_image_thumbnail": f"images thumbnail {ID} -o FILE",
    "delete_image": f"images delete {ID} --yes",
    "create_image_upload": "images upload --direct PHOTO",
    "get_image_upload": f"images upload-state {ID}",
    "complete_image_upload": f"images complete-upload {ID}",
    "estimate_training": "trainings estimate --images 8 --steps 500",
    "create_training": "train PHOTOS --name Ada --trigger-word ADATOK --no-publish --no-follow",
    "list_trainings": "trainings --status failed",
    "get_training": f"trainings show {ID}",
    "list_training_events": f"trainings events {ID}",
    "create_event_ticket": f"trainings ticket {ID}",
    "cancel_training": f"cancel {ID}",
    "retry_training": f"retry {ID}",
    "delete_training": f"delete {ID} --yes",
    "get_training_debug": f"debug {ID}",
    "get_training_timeline": f"trainings timeline {ID}",
    "export_training_debug": f"trainings export {ID} -o FILE",
    "list_training_logs": f"logs {ID}",
    "list_logs": "logs",
    "list_alerts": "alerts list --status open",
    "list_alert_rules": "alerts rules",
    "send_test_alert": "alerts test",
    "get_health": "admin health",
    "list_dead_letters": "admin dead-letters --durable trainer",
    "get_dead_letter": "admin dead-letter 17",
    "replay_dead_letter": "admin replay 17",
    "drop_dead_letter": "admin drop 17 --yes",
    "list_models": "models list",
    "get_model": f"models show {ID}",
    "download_weights": f"models weights {ID} -o FILE",
    "create_samples": f"models samples {ID} portrait",
    "generate_with_model": f"generate ADATOK --model {ID} --no-wait",
    "generate_with_base_model": "generate boat --no-wait",
    "list_generations": "generations list",
    "get_generation": f"generations show {ID}",
    "get_generated_image": f"generations image {ID} 0 -o FILE",
    "cancel_generation": f"generations cancel {ID}",
    "estimate_generation": "generations estimate --num-outputs 2",
    "get_limits": "limits",
    "get_me": "me",
    "list_keys": "keys list",
    "create_key": "keys create --name laptop",
    "get_key": f"keys show {ID}",
    "revoke_key": f"keys revoke {ID} --yes",
    "list_audit": "audit",
    "list_owners": "admin owners",
    "get_owner": "admin owner ada",
    "update_owner": "admin set-limits ada --spend-cap-usd 20 --max-running none",
    "list_keys_of_owner": "admin keys ada",
    "create_key_of_owner": "admin create-key ada --name laptop --scope read",
    "get_key_of_owner": f"admin key {ID}",
    "revoke_key_of_owner": f"admin revoke-key {ID} --yes",
    "list_audit_of_owners": "admin audit --owner ada",
    "list_stage_durations": "insights stages --since 2w --until 2026-11-25T10:00",
    "list_failure_rates": "insights failures --bucket day",
    "list_jobs": "insights jobs --sort slowest --min-duration 10m",
    "list_retries": "insights retries --category network",
    "list_provider_latencies": "insights providers --provider replicate",
    "list_provider_costs": "insights costs --since 30d",
    "get_webhook_secret": "webhooks secret",
    "rotate_webhook_secret": "webhooks rotate --yes",
    "list_webhook_deliveries": "webhooks deliveries",
    "get_webhook_delivery": f"webhooks delivery {ID}",
    "redeliver_webhook": f"webhooks redeliver {ID}",
    "send_test_webhook": "webhooks test https://hooks.example.com/",
}
NOT_FOR_PEOPLE = {"receive_replicate_webhook"}
"""What only a provider calls."""
WITHOUT_JSON = {
    "get_limits",
    "delete_image",
    "delete_training",
    "revoke_key",
    "revoke_key_of_owner",
    "drop_dead_letter",
} | {name for name, command in COMMANDS.items() if " -o " in command}
"""What prints JSON anyway, saves a file, or has nothing to print."""
OPERATIONS = {operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[DocumentedApi]:
    with documented_api() as api:
        monkeypatch.setenv("FLUXLINE_URL", api.url)
        monkeypatch.setenv("FLUXLINE_API_KEY", "fl_" + "a" * 40)
        yield api


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, count=5, size=(600, 600), seed=3)
    return folder


def fluxline(command: str, photos: Path, folder: Path) -> Result:
    words = {"PHOTOS": str(photos), "PHOTO": str(next(photos.iterdir())), "FILE": str(folder / "file")}
    return CliRunner().invoke(app, [words.get(word, word) for word in command.split()])


def test_every_call_has_a_command() -> None:
    assert set(COMMANDS) == OPERATIONS - NOT_FOR_PEOPLE


@pytest.mark.parametrize("operation", COMMANDS)
def test_a_command_makes_the_call_and_prints_its_answer(
    operation: str, api: DocumentedApi, photos: Path, tmp_path: Path
) -> None:
    done = fluxline(COMMANDS[operation], photos, tmp_path)
    assert done.exit_code == 0, done.output
    assert operation in api.called
    assert done.stdout.strip()


@pytest.mark.parametrize("operation", [name for name in COMMANDS if name not in WITHOUT_JSON])
def test_with_json_a_command_prints_json_and_nothing_else(
    operation: str, api: DocumentedApi, photos: Path, tmp_path: Path
) -> None:
    done = fluxline(f"{COMMANDS[operation]} --json", photos, tmp_path)
    assert done.exit_code == 0, done.output
    for line in done.stdout.splitlines():
        json.loads(line)


def test_any_call_can_be_made_by_its_path(api: DocumentedApi, photos: Path, tmp_path: Path) -> None:
    done = fluxline("api get v1/trainings?limit=2", photos, tmp_path)
    assert json.loads(done.stdout)["items"]
    done = fluxline("api POST /v1/webhooks/test -f url=https://hooks.example.com/", photos, tmp_path)
    assert done.exit_code == 0
    assert json.loads(api.bodies["send_test_webhook"]) == {"url": "https://hooks.example.com/"}
    assert fluxline("api FETCH /v1/me", photos, tmp_path).exit_code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_the_command(shell: str) -> None:
    completion = CliRunner().invoke(app, [], env={"_FLUXLINE_COMPLETE": f"source_{shell}"}, prog_name="fluxline")
    assert "_FLUXLINE_COMPLETE" in completion.output


def test_texts_beside_photos_are_their_captions(api: DocumentedApi, photos: Path, tmp_path: Path) -> None:
    for photo in photos.iterdir():
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
        (tmp_path / photo.name).with_suffix(".txt").write_text("a robot at sea")
    done = fluxline(COMMANDS["create_training"], tmp_path, tmp_path)
    assert done.exit_code == 0, done.output
    assert "a robot at sea" in json.loads(api.bodies["create_training"])["captions"].values()
