"""Durable state: documents and counters in SQLite, blobs as plain files.

Every write is committed before the call returns, so a killed process loses nothing it answered for.
Used from the event loop only; single statements take well under a millisecond.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL,
    created REAL NOT NULL, body TEXT NOT NULL, UNIQUE (kind, id)
);
CREATE INDEX IF NOT EXISTS documents_by_kind ON documents (kind, seq);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
CACHE = "weights"
COUNTS = ("trainings", "cancels", "commits", "generations", "webhooks")


class Store:
    """Documents by kind and id, counters by name, and a folder for bytes."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self._db = sqlite3.connect(home / "sandbox.db", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # survives a killed process; not a power cut
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Release the database; the state stays."""
        self._db.close()

    def clear(self) -> None:
        """Remove every document, count and file, except tensor bytes that are always made the same."""
        self._db.executescript("DELETE FROM documents; DELETE FROM counts;")
        for path in self.home.iterdir():
            if path.is_dir() and path.name != CACHE:
                shutil.rmtree(path)

    def folder(self, name: str) -> Path:
        """A folder inside the state directory, created on first use."""
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, kind: str, id: str, body: Document) -> None:
        """Insert or replace one document; replacing keeps its place in `newest`."""
        self._db.execute(
            "INSERT INTO documents (kind, id, created, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
            (kind, id, time.time(), json.dumps(body)),
        )

    def get(self, kind: str, id: str) -> Document | None:
        """One document, None when there is none."""
        row = self._db.execute("SELECT body FROM documents WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def delete(self, kind: str, id: str) -> None:
        """Remove one document if it is there."""
        self._db.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, id))

    def newest(
        self, kind: str, *, limit: int = 100, before: int | None = None, created_by: float | None = None
    ) -> list[tuple[int, Document]]:
        """Newest first, as (sequence number, document), older than sequence `before` and time `created_by`."""
        rows = self._db.execute(
            "SELECT seq, body FROM documents WHERE kind = ? AND seq < ? AND created <= ? ORDER BY seq DESC LIMIT ?",
            (kind, before or 2**62, created_by if created_by is not None else 1e18, limit),
        ).fetchall()
        return [(seq, json.loads(body)) for seq, body in rows]

    def all(self, kind: str) -> Iterator[Document]:
        """Every document of one kind, oldest first."""
        rows = self._db.execute("SELECT body FROM documents WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
        return (json.loads(body) for (body,) in rows)

    def increment(self, name: str) -> None:
        """Count one more."""
        self._db.execute("INSERT INTO counts VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", (name,))

    def counts(self) -> dict[str, int]:
        """Every counter, zero when nothing was counted yet."""
        found = dict(self._db.execute("SELECT name, value FROM counts").fetchall())
        return {name: int(found.get(name, 0)) for name in COUNTS}
