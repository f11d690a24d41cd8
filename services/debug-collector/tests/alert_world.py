"""What tests of alerts have: rows by hand, a sight of the streams, a channel's other side, and time that passes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from fluxline.contracts.alerts import Severity
from fluxline.postgres.pool import Database
from fluxline_collector.alerts.channel_urls import channel_urls
from fluxline_collector.alerts.channels import Channel, channels_of
from fluxline_collector.alerts.evaluator import Evaluator, Policy
from fluxline_collector.alerts.observations import Backlog
from fluxline_collector.alerts.outbox import Outbox
from fluxline_collector.alerts.quiet import QuietHours
from fluxline_collector.alerts.rules import RuleSet
from fluxline_collector.alerts.sight import Sight, StreamSight
from fluxline_collector.metrics import AlertMetrics

CURRENT = Sight([Backlog("collector", 0, 0.0)], {})
TOKEN = "Zk93hdk2-secret-of-the-channel"
_JOB = """
INSERT INTO jobs (training_id, status, verdict, status_sequence, stage, failed_stage, category, message, provider,
    ended_at, first_at, last_at, last_sequence)
VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, now() - $9::interval, now() - interval '1 hour', now() - $9::interval, $3)
ON CONFLICT (training_id) DO UPDATE SET status = $2, status_sequence = $3
"""
_ATTEMPT = """
INSERT INTO attempts (sequence, stored_at, training_id, generation_id, stage, attempt, outcome, category, ended_at,
    duration_ms, provider)
VALUES ($1, now() - $2::interval, $3, $4, $5, 1, $6, $7, now() - $2::interval, 1000, $8)
"""
_EARLIER = (
    "UPDATE alert_incidents SET since = since - $1::interval, last_seen_at = last_seen_at - $1::interval,"
    " opened_at = opened_at - $1::interval, notified_at = notified_at - $1::interval",
    "UPDATE alert_marks SET evaluated_at = evaluated_at - $1::interval",
    "UPDATE alert_notices SET due_at = due_at - $1::interval, written_at = written_at - $1::interval",
)
_NOTICES = "SELECT * FROM alert_notices ORDER BY id"


class FixedSight(StreamSight):
    """Sees what it is told to."""

    def __init__(self, sight: Sight = CURRENT) -> None:
        self.sight = sight

    async def look(self) -> Sight:
        return self.sight


class OtherSide:
    """Where a channel's messages arrive: `statuses` are the next answers (200 after them), 0 is none at all."""

    def __init__(self, port: int) -> None:
        self.url = f"json://127.0.0.1:{port}/{TOKEN}?rto=30"
        self.statuses: list[int] = []
        self.messages: list[dict[str, Any]] = []
        self.release = Event()

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


@contextmanager
def other_side() -> Iterator[OtherSide]:
    """A real HTTP server, while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status = side.statuses.pop(0) if side.statuses else 200
            if status == 0:
                side.release.wait(20)
            if status == 200:
                side.messages.append(message)
            self.send_response(status or 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    side = OtherSide(server.server_port)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield side
    finally:
        side.release.set()
        server.shutdown()
        server.server_close()


class World:
    """A database, rules and channels; `evaluate` and `send` are what the service does again and again."""

    def __init__(self, database: Database, *sides: OtherSide) -> None:
        self.database = database
        self.sight = FixedSight()
        self.registry = CollectorRegistry()
        self.metrics = AlertMetrics(self.registry)
        self.channels = channels_of(channel_urls(" ".join(side.url for side in sides)), "secret")
        self.sequence = 0

    def policy(self, *rules: dict[str, Any], quiet: QuietHours | None = None) -> Policy:
        """With no interval between two evaluations."""
        filled = [
            {"name": rule["kind"].replace("_", "-"), "severity": "warning", "remedy": "Look."} | rule for rule in rules
        ]
        found = RuleSet.model_validate({"rules": filled})
        return Policy(found, self.channels, quiet, "http://studio.example", every_s=0)

    def evaluator(self, policy: Policy) -> Evaluator:
        """As another process would make it."""
        return Evaluator(self.database, self.sight, policy, self.metrics)

    async def evaluate(self, policy: Policy) -> bool:
        return await self.evaluator(policy).evaluate()

    def outbox(self, channels: tuple[Channel, ...] | None = None) -> Outbox:
        return Outbox(self.database, self.channels if channels is None else channels, self.metrics)

    async def send(self) -> int:
        """All that is due, over all channels."""
        return sum([await self.outbox().send_due(channel) for channel in self.channels])

    async def pass_time(self, seconds: float) -> None:
        """Make everything that alerts know as much older."""
        for statement in _EARLIER:
            await self.database.pool.execute(statement, timedelta(seconds=seconds))

    async def job(
        self,
        status: str = "failed",
        *,
        stage: str = "huggingface_upload",
        category: str | None = "authentication",
        message: str | None = "Hugging Face does not accept the token.",
        provider: str | None = "replicate",
        age_s: float = 0,
        training_id: UUID | None = None,
    ) -> UUID:
        self.sequence += 1
        job, failed = training_id or uuid4(), status == "failed"
        facts = (stage, stage if failed else None, category if failed else None, message if failed else None, provider)
        await self.database.pool.execute(_JOB, job, status, self.sequence, *facts, timedelta(seconds=age_s))
        return job

    async def attempt(
        self,
        outcome: str = "failed",
        *,
        stage: str = "huggingface_upload",
        category: str | None = "network",
        provider: str | None = "huggingface",
        age_s: float = 0,
        training_id: UUID | None = None,
        generation_id: UUID | None = None,
    ) -> UUID:
        self.sequence += 1
        job = training_id or (None if generation_id else uuid4())
        facts = (stage, outcome, None if outcome == "succeeded" else category, provider)
        age = timedelta(seconds=age_s)
        await self.database.pool.execute(_ATTEMPT, self.sequence, age, job, generation_id, *facts)
        return generation_id or job or uuid4()

    async def incidents(self, state: str = "open") -> list[dict[str, Any]]:
        rows = await self.database.pool.fetch("SELECT * FROM alert_incidents WHERE state = $1 ORDER BY id", state)
        return [dict(row) | {"fields": json.loads(row["fields"])} for row in rows]

    async def notices(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.database.pool.fetch(_NOTICES)]

    async def write(self, *titles: str, channel: Channel | None = None, severity: Severity = "warning") -> None:
        """Notices as an evaluation leaves them in the outbox."""
        statement = (
            "INSERT INTO alert_notices (kind, severity, channel, title, body) VALUES ('opened', $1, $2, $3, 'x')"
        )
        for title in titles:
            key = (channel or self.channels[0]).key
            await self.database.pool.execute(statement, severity, key, title)
