"""The unmodified Replicate client against the sandbox: models, trainings, weights, predictions."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from replicate.client import Client
from replicate.exceptions import ReplicateError
from safetensors import safe_open

from .stand import Site, Stand, good_zip, until

TRAINER = "ostris/flux-dev-lora-trainer"
DESTINATION = "fluxline-sandbox/my-model"
BAR = re.compile(
    r"^flux_train_replicate: +\d+%\|[ ▏▎▍▌▋▊▉█]{10}\| (\d+)/(\d+) \[[\d:]+<[\d:]+, +[\d.]+it/s, "
    r"lr: \d\.\de-\d\d loss: \d\.\d{3}e-\d\d\]$"
)


@pytest.fixture
def client(stand: Stand) -> Iterator[Client]:
    client = Client(base_url=f"{stand.url}/replicate", api_token=stand.replicate_token)
    yield client
    client._client.close()


def destination(client: Client) -> str:
    owner, name = DESTINATION.split("/")
    client.models.create(owner=owner, name=name, visibility="private", hardware="gpu-t4")
    return DESTINATION


def train(client: Client, url: str, trainer: str = TRAINER, **options: Any) -> Any:
    version = client.models.get(trainer).latest_version
    assert version is not None
    given = {"input_images": url, "trigger_word": "TOK", **options.pop("input", {})}
    return client.trainings.create(version=f"{trainer}:{version.id}", input=given, destination=DESTINATION, **options)


def finished(client: Client, id: str) -> Any:
    return until(lambda: client.trainings.get(id), lambda job: job.status not in ("starting", "processing"))


def members(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def test_a_training_ends_with_a_loadable_lora_and_a_version_of_the_destination(
    client: Client, stand: Stand, site: Site, tmp_path: Path
) -> None:
    destination(client)
    training = train(client, site.put("/a.zip", good_zip()), input={"lora_rank": 8, "steps": 300})
    assert training.status == "starting"
    done = finished(client, training.id)
    assert done.status == "succeeded", done.error
    assert done.output["version"] == f"{DESTINATION}:{client.models.get(DESTINATION).latest_version.id}"
    answer = httpx.get(done.output["weights"])
    assert int(answer.headers["content-length"]) == len(answer.content)
    files = members(answer.content)
    folder = "output/flux_train_replicate"
    assert {f"{folder}/lora.safetensors", f"{folder}/config.yaml", f"{folder}/captions/01.txt"} <= set(files)
    assert files[f"{folder}/captions/01.txt"] == b"a photo of TOK"
    (tmp_path / "lora.safetensors").write_bytes(files[f"{folder}/lora.safetensors"])
    with safe_open(tmp_path / "lora.safetensors", framework="numpy") as weights:
        assert weights.metadata()["fluxline_sandbox"] == "untrained"
        assert weights.metadata()["trigger_word"] == "TOK"
        name = "transformer.single_transformer_blocks.0.attn.to_k"
        assert weights.get_tensor(f"{name}.lora_A.weight").shape == (8, 3072)
        assert not weights.get_tensor(f"{name}.lora_B.weight").any()
    assert stand.state()["trainings"] == 1


def test_the_fast_trainer_names_its_weights_otherwise(client: Client, site: Site) -> None:
    destination(client)
    training = train(client, site.put("/a.zip", good_zip()), "replicate/fast-flux-trainer")
    done = finished(client, training.id)
    assert set(members(httpx.get(done.output["weights"]).content)) == {"flux-lora/flux-lora.safetensors"}


def test_the_log_grows_by_whole_bars_and_never_changes_what_it_said(client: Client, stand: Stand, site: Site) -> None:
    destination(client)
    stand.configure(training_seconds=0.8)
    training = train(client, site.put("/a.zip", good_zip()))
    texts: list[str] = []

    def read() -> str:
        job = client.trainings.get(training.id)
        texts.append(job.logs or "")
        return str(job.status)

    assert until(read, lambda status: status not in ("starting", "processing")) == "succeeded"
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    steps = [int(match[1]) for line in re.split(r"[\r\n]", texts[-1]) if (match := BAR.match(line))]
    assert steps == sorted(steps)
    assert steps[-1] == 1000
    assert "Saved to output/" in texts[-1]


def test_metrics_are_seconds_and_a_failed_training_is_an_http_200(client: Client, stand: Stand, site: Site) -> None:
    destination(client)
    stand.configure(training_outcome="failed", training_error="CUDA out of memory")
    training = train(client, site.put("/a.zip", good_zip()))
    finished(client, training.id)
    answer = stand.http.get(
        f"/replicate/v1/trainings/{training.id}", headers={"authorization": f"Bearer {stand.replicate_token}"}
    )
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["error"], body["output"]) == ("failed", "CUDA out of memory", None)
    assert 0 < body["metrics"]["predict_time"] <= body["metrics"]["total_time"]


def test_a_canceled_training_stays_canceled(client: Client, stand: Stand, site: Site) -> None:
    destination(client)
    stand.configure(training_seconds=600)
    training = train(client, site.put("/a.zip", good_zip()))
    assert client.trainings.cancel(training.id).status == "canceled"
    client.trainings.cancel(training.id)
    assert client.trainings.get(training.id).status == "canceled"
    assert stand.state()["cancels"] == 1


def test_an_aborted_training_never_started(client: Client, stand: Stand, site: Site) -> None:
    destination(client)
    stand.configure(training_outcome="aborted")
    id = train(client, site.put("/a.zip", good_zip())).id
    headers = {"authorization": f"Bearer {stand.replicate_token}"}
    read = lambda: stand.http.get(f"/replicate/v1/trainings/{id}", headers=headers).json()  # noqa: E731
    assert until(read, lambda job: job["status"] == "aborted")["started_at"] is None


def test_a_training_is_listed_newest_first_in_pages_and_only_after_the_lag(
    client: Client, stand: Stand, site: Site
) -> None:
    destination(client)
    stand.configure(training_seconds=600)
    url = site.put("/a.zip", good_zip())
    ids = [train(client, url).id for _ in range(101)]
    first = client.trainings.list()
    assert [job.id for job in first.results] == ids[:0:-1]
    assert first.next is not None
    assert [job.id for job in client.trainings.list(first.next).results] == ids[:1]
    stand.configure(list_lag_seconds=3600)
    assert client.trainings.list().results == []
    assert client.trainings.get(ids[0]).id == ids[0]


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"steps": 2}, "input.steps", "Must be greater than or equal to 3"),
        ({"steps": 6001}, "input.steps", "Must be less than or equal to 6000"),
        ({"lora_rank": 129}, "input.lora_rank", "Must be less than or equal to 128"),
        ({"steps": "many"}, "input.steps", "Invalid type. Expected: integer, given: string"),
        ({"caption_dropout_rate": 1.5}, "input.caption_dropout_rate", "Must be less than or equal to 1"),
        ({"input_images": "my.zip"}, "input.input_images", "Does not match format 'uri'"),
        ({"input_images": None}, "input", "input_images is required"),
    ],
)
def test_impossible_inputs_are_refused_by_field(
    client: Client, stand: Stand, given: dict[str, Any], field: str, words: str
) -> None:
    destination(client)
    with pytest.raises(ReplicateError) as refused:
        train(client, "https://example.org/a.zip", input=given)
    assert (refused.value.status, refused.value.title) == (422, "Input validation failed")
    assert f"- {field}: {words}" in str(refused.value.detail)
    assert stand.state()["trainings"] == 0


def test_a_missing_destination_is_named(client: Client, site: Site) -> None:
    with pytest.raises(ReplicateError, match="The specified training destination does not exist"):
        train(client, site.put("/a.zip", good_zip()))


def test_a_model_is_created_once_and_can_be_deleted(client: Client) -> None:
    destination(client)
    with pytest.raises(ReplicateError, match="already exists"):
        destination(client)
    assert client.models.delete(DESTINATION)
    with pytest.raises(ReplicateError) as missing:
        client.models.get(DESTINATION)
    assert missing.value.status == 404


def test_a_wrong_token_is_unauthenticated(stand: Stand) -> None:
    stranger = Client(base_url=f"{stand.url}/replicate", api_token="r8_wrong")
    with pytest.raises(ReplicateError) as refused:
        stranger.accounts.current()
    stranger._client.close()
    assert (refused.value.status, refused.value.title) == (401, "Unauthenticated")


def test_low_credit_throttles_and_no_credit_refuses(client: Client, stand: Stand, site: Site) -> None:
    destination(client)
    stand.configure(low_credit=True, training_seconds=600)
    url = site.put("/a.zip", good_zip())
    for _ in range(6):
        train(client, url)
    with pytest.raises(ReplicateError, match="Request was throttled") as throttled:
        train(client, url)
    assert throttled.value.status == 429
    stand.configure(credit_exhausted=True)
    with pytest.raises(ReplicateError, match="Insufficient credit"):
        train(client, url)
    assert stand.state()["trainings"] == 6


def test_pictures_come_from_a_trained_version_and_are_the_same_for_the_same_seed(
    client: Client, stand: Stand, site: Site
) -> None:
    destination(client)
    done = finished(client, train(client, site.put("/a.zip", good_zip())).id)
    given = {"prompt": "TOK on a hill", "seed": 7, "num_outputs": 2, "output_format": "png", "aspect_ratio": "custom"}
    given |= {"width": 512, "height": 256}
    version = done.output["version"].split(":")[1]
    pictures = []
    for _ in range(2):
        prediction = client.predictions.create(version=version, input=given)
        prediction.wait()
        assert prediction.status == "succeeded"
        pictures.append([httpx.get(url).content for url in prediction.output])
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 2
    assert Image.open(io.BytesIO(pictures[0][0])).size == (512, 256)
    assert stand.state()["generations"] == 2


def test_run_with_a_base_model_waits_for_the_picture(client: Client) -> None:
    output = client.run("black-forest-labs/flux-schnell", input={"prompt": "a cat", "aspect_ratio": "16:9"})
    picture = Image.open(io.BytesIO(httpx.get(str(output[0])).content))
    assert picture.format == "WEBP"
    assert picture.width > picture.height


def test_a_refused_prompt_fails_the_prediction(client: Client) -> None:
    prediction = client.models.predictions.create("black-forest-labs/flux-dev", input={"prompt": "nsfw-test"})
    prediction.wait()
    assert prediction.status == "failed"
    assert "NSFW content detected" in str(prediction.error)


def test_an_unknown_version_is_refused(client: Client) -> None:
    with pytest.raises(ReplicateError, match="Invalid version or not permitted"):
        client.predictions.create(version="0" * 64, input={"prompt": "a"})


def test_a_request_may_set_its_own_duration(client: Client, stand: Stand, site: Site) -> None:
    destination(client)
    version = client.models.get(TRAINER).latest_version.id
    answer = stand.http.post(
        f"/replicate/v1/models/{TRAINER}/versions/{version}/trainings",
        headers={"authorization": f"Bearer {stand.replicate_token}", "x-sandbox-training-seconds": "0"},
        content=json.dumps({"destination": DESTINATION, "input": {"input_images": site.put("/a.zip", good_zip())}}),
    )
    assert answer.status_code == 201
    assert finished(client, answer.json()["id"]).status == "succeeded"


def test_a_download_of_weights_can_break_off_and_be_repeated(client: Client, stand: Stand, site: Site) -> None:
    destination(client)
    done = finished(client, train(client, site.put("/a.zip", good_zip())).id)
    stand.fault("weights.download", "corrupt", mode="cut")
    with pytest.raises(httpx.RemoteProtocolError):
        stand.http.get(done.output["weights"])
    first, second = (stand.http.get(done.output["weights"]).content for _ in range(2))
    assert first == second
    assert len(first) == int(stand.http.head(done.output["weights"]).headers["content-length"])
