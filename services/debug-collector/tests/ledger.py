"""Rows of the tables `jobs` and `attempts`, made by hand: what happened, and when."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from fluxline.postgres.pool import Database

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
PROVIDERS = {"zip_creation": "storage", "replicate_training": "replicate", "huggingface_upload": "huggingface"}


def after(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


class Ledger:
    """Writes rows one after another; each attempt comes after the ones before in the stream."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._sequence = count(1)

    async def attempt(self, outcome: str, **facts: Any) -> None:
        """One ended attempt: at noon, 1 s long, of a training of its own, unless the facts say otherwise."""
        stage = facts.get("stage", "zip_creation")
        failed = outcome != "succeeded"
        row = {
            "sequence": next(self._sequence), "stored_at": NOON, "training_id": uuid4(), "stage": stage, "attempt": 1,
            "outcome": outcome, "category": "network" if failed else None, "retryable": True if failed else None,
            "ended_at": NOON, "duration_ms": 1000, "service": "zipper", "service_version": "1.0.0",
            "provider": PROVIDERS.get(stage),
        }  # fmt: skip
        await self._insert("attempts", row | facts)

    async def run(self, job: UUID, stage: str, *outcomes: str, minute: float = 0, **facts: Any) -> None:
        """A run of a stage of a training, a minute per attempt: `retried`, or with a category as `retried billing`."""
        for number, told in enumerate(outcomes, start=1):
            outcome, _, category = told.partition(" ")
            at = {"attempt": number, "ended_at": after(minute + number)}
            if outcome != "succeeded":
                at |= {"category": category or "network"}
            await self.attempt(outcome, **{"training_id": job, "stage": stage} | at | facts)

    async def job(self, status: str = "succeeded", **facts: Any) -> UUID:
        """One training, requested at noon, ended ten minutes later, unless the facts say otherwise."""
        ended = facts.get("ended_at", after(10) if status != "running" else None)
        row = {
            "training_id": uuid4(), "name": "Ada", "owner": "ada", "status": status, "verdict": status,
            "stage": "zip_creation", "requested_at": NOON, "first_at": NOON, "ended_at": ended,
            "last_at": ended or after(1), "last_sequence": next(self._sequence), "provider": "replicate",
        }  # fmt: skip
        await self._insert("jobs", row | facts)
        training_id: UUID = (row | facts)["training_id"]
        return training_id

    async def paid(self, *amounts: float, status: str = "succeeded", **facts: Any) -> UUID:
        """A training whose runs at the provider cost so many dollars each."""
        costs = {f"r{number}": amount for number, amount in enumerate(amounts)}
        return await self.job(status, costs=json.dumps(costs), cost_usd=sum(map(_exact, amounts)), **facts)

    async def _insert(self, table: str, row: dict[str, Any]) -> None:
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        values: Sequence[Any] = list(row.values())
        await self.database.pool.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *values)


def _exact(amount: float) -> Any:
    from decimal import Decimal

    return Decimal(str(amount))
