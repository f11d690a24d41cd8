"""The unmodified huggingface_hub client against the sandbox: repositories, uploads, downloads."""

import hashlib
import json
from pathlib import Path

import httpx
import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from .stand import Stand

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

REPO = "fluxline-sandbox/my-lora"
WEIGHTS = b"\x08\0\0\0\0\0\0\0{}      " + bytes(range(256)) * 40
CARD = """---
license: other
license_name: flux-1-dev-non-commercial-license
base_model: black-forest-labs/FLUX.1-dev
pipeline_tag: text-to-image
library_name: diffusers
tags: [flux, lora]
instance_prompt: TOK
---
# My LoRA
"""


@pytest.fixture
def api(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> HfApi:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    disable_progress_bars()
    return HfApi(endpoint=f"{stand.url}/hf", token=stand.hf_token)


def stranger(stand: Stand, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=f"{stand.url}/hf", token=token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "captions").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "lora.safetensors").write_bytes(WEIGHTS)
    (folder / "captions" / "01.txt").write_text("a photo of TOK")
    return folder


def publish(api: HfApi, folder: Path) -> str:
    api.create_repo(REPO, private=True, exist_ok=True)
    return str(api.upload_folder(repo_id=REPO, folder_path=folder, commit_message="Publish").oid)


def commit_lines(key: str, **value: str) -> str:
    """The ndjson of a commit with one operation."""
    lines = [{"key": "header", "value": {"summary": "s"}}, {"key": key, "value": value}]
    return "\n".join(map(json.dumps, lines))


def test_an_uploaded_folder_comes_back_byte_for_byte(api: HfApi, stand: Stand, folder: Path, tmp_path: Path) -> None:
    oid = publish(api, folder)
    path = api.hf_hub_download(REPO, "lora.safetensors", cache_dir=tmp_path / "cache")
    assert Path(path).read_bytes() == WEIGHTS
    info = api.model_info(REPO, files_metadata=True)
    assert info.sha == oid
    assert info.private
    assert (info.pipeline_tag, info.library_name, info.tags) == ("text-to-image", "diffusers", ["flux", "lora"])
    weights = next(file for file in info.siblings or [] if file.rfilename == "lora.safetensors")
    assert weights.lfs is not None
    assert weights.lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    [repo] = stand.state()["repos"]
    assert (repo["id"], repo["private"], repo["commits"], repo["head"]) == (REPO, True, 1, oid)
    listed = {file["path"]: file for file in repo["files"]}
    assert listed["lora.safetensors"]["sha256"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert listed["captions/01.txt"]["size"] == 14


def test_the_card_is_loaded_and_validated(
    api: HfApi, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(api, folder)
    card = ModelCard.load(api.hf_hub_download(REPO, "README.md", cache_dir=tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", api.endpoint)  # validation knows no other way
    card.validate()
    assert card.data.to_dict()["instance_prompt"] == "TOK"


def test_a_card_with_broken_metadata_is_refused_before_anything_is_sent(api: HfApi, stand: Stand, folder: Path) -> None:
    (folder / "README.md").write_text("---\nlicense: [other\n---\n")
    with pytest.raises(ValueError, match="YAML Metadata Error"):
        publish(api, folder)
    assert stand.state()["commits"] == 0


def test_publishing_twice_is_one_commit(api: HfApi, stand: Stand, folder: Path) -> None:
    assert publish(api, folder) == publish(api, folder)
    assert stand.state()["commits"] == 1


def test_a_change_is_a_new_commit_and_the_old_one_can_still_be_read(
    api: HfApi, stand: Stand, folder: Path, tmp_path: Path
) -> None:
    first = publish(api, folder)
    second = api.create_commit(
        REPO,
        [CommitOperationAdd("captions/01.txt", b"another"), CommitOperationDelete("lora.safetensors")],
        commit_message="Change",
    )
    old = api.hf_hub_download(REPO, "captions/01.txt", revision=first, cache_dir=tmp_path / "cache")
    assert Path(old).read_text() == "a photo of TOK"
    assert [commit.commit_id for commit in api.list_repo_commits(REPO)][:2] == [second.oid, first]
    assert stand.state()["commits"] == 2


def test_files_and_folders_can_be_deleted_and_listed(api: HfApi, folder: Path) -> None:
    publish(api, folder)
    assert {entry.path for entry in api.list_repo_tree(REPO)} == {
        ".gitattributes",
        "README.md",
        "captions",
        "lora.safetensors",
    }
    assert [entry.path for entry in api.get_paths_info(REPO, ["README.md", "none"])] == ["README.md"]
    api.delete_folder("captions", REPO)
    assert sorted(api.list_repo_files(REPO)) == [".gitattributes", "README.md", "lora.safetensors"]
    with pytest.raises(EntryNotFoundError):
        api.delete_file("captions/01.txt", REPO)


def test_a_repo_is_created_once_and_its_visibility_and_life_are_the_owners(api: HfApi, stand: Stand) -> None:
    assert str(api.create_repo(REPO)) == f"{stand.url}/hf/{REPO}"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo(REPO)
    api.update_repo_settings(REPO, private=True)
    assert api.model_info(REPO).private
    assert api.repo_exists(REPO)
    api.delete_repo(REPO)
    assert not api.repo_exists(REPO)
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("somebody-else/model")


def test_what_is_missing_is_named(api: HfApi, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("fluxline-sandbox/none")
    publish(api, folder)
    assert api.file_exists(REPO, "README.md")
    assert not api.file_exists(REPO, "none.txt")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(REPO, "none.txt", cache_dir=tmp_path / "cache")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPO, revision="0" * 40)


def test_a_private_repo_hides_from_strangers(api: HfApi, stand: Stand, folder: Path) -> None:
    publish(api, folder)
    with pytest.raises(RepositoryNotFoundError):
        stranger(stand).model_info(REPO)
    with pytest.raises(RepositoryNotFoundError):
        stranger(stand, "hf_wrong").model_info(REPO)
    api.update_repo_settings(REPO, private=False)
    assert stranger(stand).model_info(REPO).id == REPO


def test_a_wrong_token_is_told_by_whoami(api: HfApi, stand: Stand) -> None:
    assert api.whoami()["name"] == "fluxline-sandbox"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        stranger(stand, "hf_wrong").whoami()


def test_a_stale_parent_is_refused(api: HfApi, stand: Stand, folder: Path) -> None:
    api.create_repo(REPO)
    parent = api.model_info(REPO).sha
    publish(api, folder)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit(REPO, [CommitOperationAdd("a.txt", b"a")], commit_message="Late", parent_commit=parent)
    assert stand.state()["commits"] == 1


def test_bytes_that_are_not_what_was_announced_are_refused(api: HfApi, stand: Stand) -> None:
    api.create_repo(REPO)
    oid = hashlib.sha256(WEIGHTS).hexdigest()
    headers = {"authorization": f"Bearer {stand.hf_token}"}
    batch = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": len(WEIGHTS)}]}
    answer = stand.http.post(f"/hf/{REPO}.git/info/lfs/objects/batch", json=batch, headers=headers).json()
    actions = answer["objects"][0]["actions"]
    assert "BadDigest" in httpx.put(actions["upload"]["href"], content=WEIGHTS[::-1]).text
    verify = {"oid": oid, "size": len(WEIGHTS)}
    assert stand.http.post(f"/hf/{REPO}.git/info/lfs/objects/verify", json=verify, headers=headers).status_code == 404
    lines = commit_lines("lfsFile", path="a.bin", oid=oid)
    refused = stand.http.post(f"/hf/api/models/{REPO}/commit/main", content=lines, headers=headers)
    assert refused.status_code == 400
    assert "does not exist" in refused.json()["error"]
    forged = actions["upload"]["href"].replace("signature=", "signature=0")
    assert httpx.put(forged, content=WEIGHTS).status_code == 403


@pytest.mark.parametrize("path", ["../up", "/abs", "a//b", ".git/config", "a/./b", ""])
def test_paths_that_leave_the_repository_are_refused(api: HfApi, stand: Stand, path: str) -> None:
    api.create_repo(REPO)
    lines = commit_lines("file", path=path, content="")
    headers = {"authorization": f"Bearer {stand.hf_token}"}
    assert stand.http.post(f"/hf/api/models/{REPO}/commit/main", content=lines, headers=headers).status_code == 400
    assert stand.state()["commits"] == 0


def test_a_range_of_a_file_can_be_read(api: HfApi, stand: Stand, folder: Path) -> None:
    publish(api, folder)
    headers = {"authorization": f"Bearer {stand.hf_token}", "range": "bytes=4-9"}
    part = stand.http.get(f"/hf/{REPO}/resolve/main/lora.safetensors", headers=headers)
    assert (part.status_code, part.content) == (206, WEIGHTS[4:10])
    head = stand.http.head(
        f"/hf/{REPO}/resolve/main/lora.safetensors", headers={"authorization": headers["authorization"]}
    )
    assert head.headers["x-linked-etag"] == f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'
    assert head.headers["x-linked-size"] == str(len(WEIGHTS))
    assert head.headers["x-repo-commit"] == api.model_info(REPO).sha


def test_a_commit_whose_answer_is_lost_was_made_and_publishing_again_adds_none(
    api: HfApi, stand: Stand, folder: Path
) -> None:
    stand.fault("commit", "drop_answer", provider="hf")
    with pytest.raises(httpx2.TransportError):
        publish(api, folder)
    assert stand.state()["commits"] == 1
    assert publish(api, folder) == stand.state()["repos"][0]["head"]
    assert stand.state()["commits"] == 1


def test_an_upload_that_is_cut_is_repeated_by_the_client(api: HfApi, stand: Stand, folder: Path) -> None:
    stand.fault("lfs.upload", "drop_request")
    publish(api, folder)
    assert [call["status"] for call in stand.log() if call["operation"] == "lfs.upload"] == [None, 200]
