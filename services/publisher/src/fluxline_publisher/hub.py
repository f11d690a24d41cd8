"""The Hugging Face Hub through its own client; blocking calls run in threads, each with a timeout.

Retries belong to the runtime, so refusals that the client would repeat by itself are raised at once; what is left
to it are a few quick repetitions of idempotent upload calls after a broken connection. The commit is sent once.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, ParamSpec, TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import GitCommitInfo, ModelInfo

from fluxline.contracts.job import HubPublication
from fluxline.runtime.provider_calls import ProviderCalls
from fluxline_publisher.card import WEIGHTS_NAME, with_samples
from fluxline_publisher.errors import HubFailed, HubHashMismatch, HubTokenRefused, RepoTaken
from fluxline_publisher.hub_client import configure_client
from fluxline_publisher.hub_errors import hub_errors
from fluxline_publisher.publication import IMAGES, CardUpdate, Publication, commit_title, follows, revision_of
from fluxline_publisher.weights import CAPTIONS

NAME: Final = "huggingface"
OPERATIONS: Final = ("account.get", "repos.get", "repos.create", "repos.delete", "commit", "commits.get", "files.get")
P = ParamSpec("P")
R = TypeVar("R")

_HUBS_OWN_FILES: Final = frozenset({".gitattributes"})
_HUBS_OWN_COMMIT: Final = "initial commit"
_READ_ONLY: Final = "read"
_COMMIT_ID: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class _Repo:
    """A repository as found: `commits` newest first."""

    info: ModelInfo
    commits: list[GitCommitInfo]

    @property
    def blank(self) -> bool:
        """Whether it holds nothing but what the hub itself puts there."""
        return {file.rfilename for file in self.info.siblings or ()} <= _HUBS_OWN_FILES

    def commit_titled(self, title: str) -> str | None:
        """The newest commit of that title."""
        return next((commit.commit_id for commit in self.commits if commit.title == title), None)

    def holds_only(self, title: str) -> bool:
        """Whether every commit is of that title or follows it, but for the one that the hub itself makes."""
        return all(commit.title == _HUBS_OWN_COMMIT or follows(commit.title, title) for commit in self.commits)

    def paths(self, prefix: str) -> list[str]:
        """The files whose paths begin so."""
        return [file.rfilename for file in self.info.siblings or () if file.rfilename.startswith(prefix)]


class HuggingFace:
    """One account's models under `namespace`; makes itself the process's configuration of huggingface_hub."""

    def __init__(
        self, endpoint: str, token: str, namespace: str, *, timeout_s: float, calls: ProviderCalls | None = None
    ) -> None:
        self._calls = calls or ProviderCalls()
        self._calls.announce(NAME, OPERATIONS)
        configure_client(timeout_s)
        self._api = HfApi(endpoint=endpoint, token=token, library_name="fluxline")
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._account_checked = False

    async def repo_id(self, name: str) -> str:
        """See Hub. The account is asked once per process and after every refusal: the hub limits that call."""
        if not self._account_checked:
            await asyncio.to_thread(self._check_account)
            self._account_checked = True
        return f"{self._namespace}/{name}"

    async def exists(self, repo_id: str) -> bool:
        """See Hub."""
        return await self._in_thread(self._find, repo_id) is not None

    async def publish(self, repo_id: str, publication: Publication) -> HubPublication:
        """See Hub."""
        return await self._in_thread(self._publish, repo_id, publication)

    async def remove(self, repo_id: str, title: str) -> bool:
        """See Hub."""
        return await self._in_thread(self._remove, repo_id, title)

    async def update_card(self, repo_id: str, update: CardUpdate) -> str | None:
        """See Hub."""
        return await self._in_thread(self._update_card, repo_id, update)

    async def _in_thread(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await asyncio.to_thread(call, *args, **kwargs)
        except HubTokenRefused:
            self._account_checked = False
            raise

    @contextmanager
    def _calling(self, operation: str, doing: str) -> Iterator[None]:
        with self._calls.measured(NAME, operation), hub_errors(doing):
            yield

    def _check_account(self) -> None:
        with self._calling("account.get", "Checking HUGGINGFACE_API_TOKEN"):
            account = self._api.whoami()
            names = {account["name"], *(org["name"] for org in account.get("orgs", ()))}
            role = account.get("auth", {}).get("accessToken", {}).get("role")
        if role == _READ_ONLY:
            raise HubTokenRefused("HUGGINGFACE_API_TOKEN may only read")
        if self._namespace not in names:
            raise HubTokenRefused(f"HUGGINGFACE_API_TOKEN belongs to {account['name']}, not to {self._namespace}")

    def _publish(self, repo_id: str, publication: Publication) -> HubPublication:
        """Look first: what an earlier attempt did is found by the title of its commit and the hash of its weights."""
        repo = self._find(repo_id) or self._create(repo_id, publication.private)
        commit = repo.commit_titled(publication.title)
        if commit is None:
            _require_ours(repo, repo_id, publication)
        if commit is None or not self._holds(repo_id, commit, publication.weights_sha256):
            files: dict[str, bytes | Path] = {"README.md": publication.card.encode(), **publication.files}
            commit = self._commit(repo_id, repo, publication.title, files)
            if not self._holds(repo_id, commit, publication.weights_sha256):
                raise HubHashMismatch(repo=repo_id, commit=commit)
        url = f"{self._api.endpoint}/{repo_id}"
        return HubPublication(repo=repo_id, commit=commit, url=url, private=bool(repo.info.private))

    def _remove(self, repo_id: str, title: str) -> bool:
        repo = self._find(repo_id)
        if repo is None or not repo.holds_only(title):
            return repo is None
        with self._calling("repos.delete", f"Deleting {repo_id}"):
            try:
                self._api.delete_repo(repo_id)
            except RepositoryNotFoundError as error:
                if error.response.status_code != httpx2.codes.NOT_FOUND:
                    raise
        return True

    def _update_card(self, repo_id: str, update: CardUpdate) -> str | None:
        """Look first, as for the model: the newest revision stands, and is found by the title of its commit."""
        repo = self._find(repo_id)
        title, training_id = commit_title(update.request.training_id), update.request.training_id
        if repo is None or repo.commit_titled(title) is None:
            return None
        if max(revision_of(commit.title, training_id) for commit in repo.commits) > update.request.revision:
            return None
        if commit := repo.commit_titled(update.title):
            return commit
        current = None if repo.holds_only(title) else self._readme(repo_id, repo)
        card = with_samples(current, update.samples) if current else update.card(len(repo.paths(CAPTIONS)))
        old = [path for path in repo.paths(IMAGES) if path not in update.images]
        commit = self._commit(repo_id, repo, update.title, {"README.md": card.encode(), **update.images}, old)
        self._require_images(repo_id, commit, update)
        return commit

    def _readme(self, repo_id: str, repo: _Repo) -> str | None:
        """The card as it is in the commit that was looked at."""
        if not repo.paths("README.md"):
            return None
        doing = f"Reading the card of {repo_id}"
        with self._calling("files.get", doing), TemporaryDirectory(prefix="publisher-") as folder:
            card = self._api.hf_hub_download(repo_id, "README.md", revision=repo.info.sha, local_dir=folder)
            return Path(card).read_text(encoding="utf-8", errors="replace")

    def _require_images(self, repo_id: str, commit: str, update: CardUpdate) -> None:
        with self._calling("commits.get", f"Checking {repo_id}"):
            info = self._api.model_info(repo_id, revision=commit, timeout=self._timeout_s)
        if missing := set(update.images) - {file.rfilename for file in info.siblings or ()}:
            raise HubFailed(f"Hugging Face does not show {min(missing)} after a commit to {repo_id}")

    def _find(self, repo_id: str) -> _Repo | None:
        with self._calling("repos.get", f"Looking for {repo_id}"):
            try:
                info = self._api.model_info(repo_id, timeout=self._timeout_s)
                return _Repo(info, self._api.list_repo_commits(repo_id))
            except RepositoryNotFoundError as error:
                if error.response.status_code == httpx2.codes.NOT_FOUND:
                    return None
                raise  # a refused token looks like a missing repository

    def _create(self, repo_id: str, private: bool) -> _Repo:
        with self._calling("repos.create", f"Creating {repo_id}"):
            self._api.create_repo(repo_id, private=private, exist_ok=True)
        repo = self._find(repo_id)
        if repo is None:
            raise HubFailed(f"Hugging Face does not show {repo_id} after creating it")
        return repo

    def _commit(
        self, repo_id: str, repo: _Repo, title: str, files: Mapping[str, bytes | Path], old: Sequence[str] = ()
    ) -> str:
        """All files in one commit on top of what was looked at; a commit in between makes the hub refuse this one."""
        with self._calling("commit", f"Uploading to {repo_id}"):
            added = [CommitOperationAdd(path, content) for path, content in files.items()]
            commit = self._api.create_commit(
                repo_id,
                operations=[*added, *(CommitOperationDelete(path) for path in old)],
                commit_message=title,
                parent_commit=repo.info.sha,
            )
            if not _COMMIT_ID.fullmatch(commit.oid):
                raise HubFailed(f"Hugging Face names no commit after uploading to {repo_id}")
            return commit.oid

    def _holds(self, repo_id: str, commit: str, sha256: str) -> bool:
        """Whether the commit's only weights have this hash, by the hub's own record of what it stored."""
        with self._calling("commits.get", f"Checking {repo_id}"):
            info = self._api.model_info(repo_id, revision=commit, files_metadata=True, timeout=self._timeout_s)
        weights = [file for file in info.siblings or () if file.rfilename.endswith(".safetensors")]
        hashes = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in weights}
        return hashes == {WEIGHTS_NAME: sha256}


def _require_ours(repo: _Repo, repo_id: str, publication: Publication) -> None:
    """Without a commit of this training, only an empty repository of the wanted visibility may be filled."""
    if not repo.blank:
        raise RepoTaken(f"{repo_id} exists already and holds something else", repo=repo_id)
    if bool(repo.info.private) != publication.private:
        wanted = "private" if publication.private else "public"
        raise RepoTaken(f"{repo_id} exists already and is not {wanted}", repo=repo_id)
