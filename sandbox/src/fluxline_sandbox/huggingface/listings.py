"""Repositories as the API shows them: information, trees, history."""

from typing import Any

from fluxline_sandbox.huggingface import cards, repos
from fluxline_sandbox.huggingface.errors import entry_not_found
from fluxline_sandbox.replicate.jobs import timestamp
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_README_BYTES = 1_000_000


def info(sandbox: Sandbox, repo: Document, rev: str, blobs: bool) -> dict[str, Any]:
    """A model as the API answers it; the card of that revision gives tags, pipeline and library."""
    commit = repos.revision(repo, rev)
    card = _card(sandbox, commit)
    return {
        "_id": repo["history"][0]["oid"][:24],
        "id": repo["id"],
        "modelId": repo["id"],
        "author": repo["id"].partition("/")[0],
        "sha": commit["oid"],
        "private": repo["private"],
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "createdAt": timestamp(repo["created_at"]),
        "lastModified": timestamp(commit["date"]),
        "tags": [tag for tag in card.get("tags") or [] if isinstance(tag, str)],
        "pipeline_tag": card.get("pipeline_tag"),
        "library_name": card.get("library_name"),
        "cardData": card or None,
        "usedStorage": sum(file["size"] for file in commit["files"].values()),
        "siblings": [_sibling(path, file, blobs) for path, file in sorted(commit["files"].items())],
    }


def _card(sandbox: Sandbox, commit: Document) -> dict[str, Any]:
    readme = commit["files"].get("README.md")
    if readme is None or readme["size"] > _README_BYTES:
        return {}
    text = repos.blob(sandbox, readme["sha256"]).read_text("utf-8", errors="replace")
    try:
        return cards.metadata(text) or {}
    except cards.CardError:
        return {}


def _sibling(path: str, file: Document, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    lfs = {"sha256": file["sha256"], "size": file["size"], "pointerSize": file["pointer_size"]} if file["lfs"] else None
    sibling = {"rfilename": path, "size": file["size"], "blobId": file["oid"]}
    return sibling if lfs is None else {**sibling, "lfs": lfs}


def tree(commit: Document, prefix: str, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders below `prefix`, all of them or the next level only."""
    below = {path: file for path, file in sorted(commit["files"].items()) if path.startswith(prefix)}
    if prefix and not below:
        raise entry_not_found()
    folders: dict[str, None] = {}
    entries = []
    for path, file in below.items():
        parents = path[len(prefix) :].split("/")[:-1]
        for depth in range(1, (len(parents) if recursive else min(1, len(parents))) + 1):
            folders[prefix + "/".join(parents[:depth])] = None
        if recursive or not parents:
            entries.append(entry(path, file))
    return [{"type": "directory", "path": path, "oid": commit["oid"], "size": 0} for path in folders] + entries


def entry(path: str, file: Document) -> dict[str, Any]:
    """A file as trees and path queries show it."""
    shown = {"type": "file", "path": path, "size": file["size"], "oid": file["oid"]}
    if file["lfs"]:
        shown["lfs"] = {"oid": file["sha256"], "size": file["size"], "pointerSize": file["pointer_size"]}
    return shown


def shown_commit(author: str, commit: Document) -> dict[str, Any]:
    """A commit as the history shows it."""
    date = timestamp(commit["date"])
    return {"id": commit["oid"], "title": commit["title"], "message": "", "date": date, "authors": [{"user": author}]}
