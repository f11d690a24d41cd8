"""Repositories: their commits, each a full listing of files, and the bytes behind them."""

import hashlib
import re
import secrets
import time
from pathlib import Path
from typing import Any

from fluxline_sandbox.huggingface.errors import HubError, entry_not_found, repo_not_found
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
LFS_SUFFIXES = frozenset(
    {"7z", "bin", "ckpt", "gz", "h5", "msgpack", "npy", "npz", "onnx"}
    | {"parquet", "pickle", "pkl", "pt", "pth", "safetensors", "tar", "tflite", "zip"}
)
_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(LFS_SUFFIXES)).encode()
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


def check_name(name: Any) -> str:
    """A repository name the hub allows; raises a 400 otherwise."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith((".git", ".ipynb", "-", ".")):
        raise HubError(400, "Invalid repo name: use 1 to 96 of [A-Za-z0-9._-], no '--' or '..', not ending in - or .")
    return name


def create(sandbox: Sandbox, id: str, private: bool) -> Document:
    """A new repository with the hub's initial commit, which holds `.gitattributes`."""
    repo: Document = {"id": id, "private": private, "created_at": time.time(), "history": []}
    files = {".gitattributes": regular_file(sandbox, _ATTRIBUTES)}
    commit(repo, files, "initial commit")
    sandbox.store.put("repo", id, repo)
    return repo


def commit(repo: Document, files: Document, title: str) -> str:
    """Add a commit with these files, in place; the answer is its id. An equal listing makes an empty commit."""
    oid = secrets.token_hex(20)
    repo["history"].append({"oid": oid, "title": title, "date": time.time(), "files": files})
    return oid


def existing(sandbox: Sandbox, id: str, authenticated: bool) -> Document:
    """The repository, if it exists and may be seen."""
    repo = sandbox.store.get("repo", id)
    if repo is None or (repo["private"] and not authenticated):
        raise repo_not_found(authenticated)
    return repo


def revision(repo: Document, name: str) -> Document:
    """The commit behind a branch name or a commit id; only `main` exists."""
    history: list[Document] = repo["history"]
    if name in ("main", "HEAD", "refs/heads/main"):
        return history[-1]
    for entry in history:
        if entry["oid"] == name:
            return entry
    raise HubError(404, f"Invalid rev id: {name}", "RevisionNotFound")


def file_at(entry: Document, path: str) -> Document:
    """One file of a commit."""
    found = entry["files"].get(path)
    if found is None:
        raise entry_not_found()
    return dict(found)


def regular_file(sandbox: Sandbox, content: bytes) -> Document:
    """Store a regular file; its object id is git's: sha1 over `blob {size}\\0` and the content."""
    sha256 = hashlib.sha256(content).hexdigest()
    blob(sandbox, sha256).write_bytes(content)
    return {"size": len(content), "sha256": sha256, "oid": _git_oid(content), "lfs": False}


def lfs_file(sha256: str, size: int) -> Document:
    """A large file; its object id is that of its pointer file (git-lfs/docs/spec.md)."""
    pointer = _POINTER.format(oid=sha256, size=size).encode()
    oid = _git_oid(pointer)
    return {"size": size, "sha256": sha256, "oid": oid, "lfs": True, "pointer_size": len(pointer)}


def blob(sandbox: Sandbox, sha256: str) -> Path:
    """Where bytes with this hash lie, whether or not they are there."""
    return sandbox.store.folder("blobs") / sha256


def summary(repo: Document) -> dict[str, Any]:
    """What `/_sandbox/state` tells; `commits` leaves out the initial one, as it is the hub's own."""
    head = repo["history"][-1]
    files = [{"path": path, "size": file["size"], "sha256": file["sha256"]} for path, file in head["files"].items()]
    return {
        "id": repo["id"],
        "private": repo["private"],
        "files": files,
        "commits": len(repo["history"]) - 1,
        "head": head["oid"],
    }


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
