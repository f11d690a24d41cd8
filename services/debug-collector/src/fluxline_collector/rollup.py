"""The tables `jobs` and `attempts`, out of rows of `events`: one statement, for a new batch as for all that is stored.

Whatever the order and the batches in which the rows of a stream come, the tables end up the same: of each group of
columns the newest event decides, earliest and latest times are kept, and only rows that are new are counted. An event
that came twice under two sequences has one attempt, that of the first.
"""

from dataclasses import dataclass

from fluxline.postgres.pool import Connection

COLUMNS_READ = (
    "sequence, stored_at, occurred_at, subject, event_id, training_id, generation_id, stage, service, service_version,"
    " category, retryable, attempt, duration_ms, trace_id, readable, facts"
)
"""Of `events`: what a source has to have."""
STATEMENT_TIMEOUT_S = 600.0
"""For statements over all that is stored."""


@dataclass(frozen=True)
class Group:
    """Columns of `jobs` that are taken together from the newest event of some subjects.

    `columns` maps each to its SQL; newest is by `rank`, then by sequence. `guard` are the columns that remember both.
    """

    name: str
    where: str
    columns: dict[str, str]
    rank: str = "NULL::integer"
    guard: tuple[str, ...] = ()

    @property
    def guards(self) -> tuple[str, ...]:
        """The columns by which a newer event is known."""
        return self.guard or (f"{self.name}_sequence",)

    def newest(self) -> str:
        """The CTE of this group."""
        chosen = "".join(f", {sql} AS {name}" for name, sql in self.columns.items())
        rank = f", {self.rank} AS {self.name}_rank" if self.guard else ""
        return f"""newest_{self.name} AS (
    SELECT DISTINCT ON (training_id) training_id, sequence AS {self.name}_sequence{rank}{chosen}
    FROM job_events WHERE readable AND {self.where} ORDER BY training_id, {self.rank} DESC, sequence DESC
)"""  # noqa: S608 – names of our own columns

    def merged(self, column: str) -> str:
        """The value of `column` after the upsert."""
        new, old = (", ".join(f"{table}.{guard}" for guard in self.guards) for table in ("excluded", "jobs"))
        return f"CASE WHEN ({new}) > ({old}) THEN excluded.{column} ELSE jobs.{column} END"


_AT = "coalesce(occurred_at, stored_at)"


def _number(value: str, most: int) -> str:
    """A JSON number in SQL, bounded so that no event can fail the statement; null where it is none."""
    return f"CASE jsonb_typeof({value}) WHEN 'number' THEN least(({value})::numeric, {most}) END"


_RUN = "coalesce(" + _number("facts->'run'", 100_000_000) + ", 0)::integer"
_IMAGES = "coalesce(" + _number("facts->'image_count'", 1_000_000) + ", jsonb_array_length(facts->'images'))::integer"
_AMOUNT = _number("facts->'cost'->'amount_usd'", 10**9)
GROUPS = (
    Group(
        "facts",
        "subject IN ('training.requested', 'zip.created')",
        {
            "owner": "facts->>'owner'",
            "name": "facts->>'name'",
            "image_count": _IMAGES,
        },
    ),
    Group(
        "status",
        "subject IN ('training.requested', 'training.retry_requested', 'training.failed', 'training.canceled',"
        " 'model.published')",
        {
            "verdict": "CASE subject WHEN 'training.failed' THEN 'failed' WHEN 'training.canceled' THEN 'canceled'"
            " WHEN 'model.published' THEN 'succeeded' ELSE 'running' END",
            "failed_stage": "CASE subject WHEN 'training.failed' THEN stage END",
            "category": "CASE subject WHEN 'training.failed' THEN category END",
            "retryable": "CASE subject WHEN 'training.failed' THEN retryable END",
            "message": "CASE subject WHEN 'training.failed' THEN left(facts->>'message', 500) END",
            "ended_at": "CASE WHEN subject IN ('training.failed', 'training.canceled', 'model.published')"
            f" THEN {_AT} END",
        },
        # A published model stays so; a later run replaces an earlier one; within a run canceled wins over failed.
        rank="CASE subject WHEN 'model.published' THEN 2147483647 ELSE 4 * (" + _RUN + ") + CASE subject"
        " WHEN 'training.canceled' THEN 2 WHEN 'training.failed' THEN 1 ELSE 0 END END",
        guard=("status_rank", "status_sequence"),
    ),
    Group(
        "stage",
        "(stage IS NOT NULL OR subject = 'training.retry_requested')",
        {"stage": "coalesce(stage, facts->>'from_stage')"},
    ),
    Group(
        "started",
        "subject = 'training.started'",
        {"started_at": _AT, "trainer_version": "facts->>'trainer_version'"},
    ),
    Group(
        "succeeded",
        "subject = 'training.succeeded'",
        {"succeeded_at": _AT, "provider_version": "facts->>'provider_version'"},
    ),
    Group(
        "provider",
        "subject IN ('training.started', 'training.succeeded')",
        {"provider": "facts->>'provider'", "external_id": "facts->>'external_id'"},
    ),
)
_STATUS = next(group for group in GROUPS if group.name == "status")
_GROUPED = {column: group for group in GROUPS for column in (*group.guards, *group.columns)}

_ATTEMPT = {
    "event_id": "event_id",
    "sequence": "sequence",
    "stored_at": "stored_at",
    "training_id": "training_id",
    "generation_id": "generation_id",
    "stage": "stage",
    "attempt": "attempt",
    "outcome": "split_part(subject, '.', 2)",
    "category": "category",
    "retryable": "retryable",
    "ended_at": _AT,
    "duration_ms": "duration_ms",
    "service": "service",
    "service_version": "service_version",
    "provider": """coalesce(
        (SELECT min(key) FROM jsonb_each_text(facts->'provider_ids') AS ids (key, id)
         WHERE jsonb_typeof(facts->'provider_ids') = 'object'),
        CASE stage WHEN 'zip_creation' THEN 'storage' WHEN 'replicate_training' THEN 'replicate'
                   WHEN 'huggingface_upload' THEN 'huggingface' WHEN 'image_generation' THEN 'replicate' END)""",
}


def _attempts() -> str:
    kept = ", ".join(f"{name} = excluded.{name}" for name in _ATTEMPT if name != "event_id")
    return f"""ended AS (
    INSERT INTO attempts AS known ({", ".join(_ATTEMPT)})
    SELECT DISTINCT ON (event_id) {", ".join(f"{sql} AS {name}" for name, sql in _ATTEMPT.items())} FROM fresh
    WHERE subject IN ('stage.succeeded', 'stage.retried', 'stage.failed') AND readable ORDER BY event_id, sequence
    ON CONFLICT (event_id) DO UPDATE SET {kept} WHERE excluded.sequence < known.sequence
    RETURNING training_id, generation_id, outcome, xmax = 0 AS is_new
)"""  # noqa: S608 – names of our own columns


def _status_of(verdict: str, replayed: str, sequence: str) -> str:
    return f"CASE WHEN {verdict} = 'failed' AND {replayed} > {sequence} THEN 'running' ELSE {verdict} END"


_ADDED = ("events", "retries", "errors")
_TOTALS = {
    "status": _status_of("coalesce(verdict, 'running')", "replayed_sequence", "coalesce(status_sequence, 0)"),
    "replayed_sequence": "replayed_sequence",
    "requested_at": "requested_at",
    "first_at": "first_at",
    "last_at": "last_at",
    "last_sequence": "last_sequence",
    "costs": "coalesce(costs, '{}')",
    "cost_usd": "total_cost(costs)",
    "events": "events",
    "retries": "coalesce(retries, 0)",
    "errors": "coalesce(errors, 0)",
    "trace_id": "trace_id",
    "trace_sequence": "trace_sequence",
}
_FIRST_TRACE = "excluded.trace_sequence < coalesce(jobs.trace_sequence, 9223372036854775807)"
_MERGED = {
    "status": _status_of(
        f"({_STATUS.merged('verdict')})",
        "greatest(excluded.replayed_sequence, jobs.replayed_sequence)",
        f"({_STATUS.merged('status_sequence')})",
    ),
    "replayed_sequence": "greatest(excluded.replayed_sequence, jobs.replayed_sequence)",
    "requested_at": "least(excluded.requested_at, jobs.requested_at)",
    "first_at": "least(excluded.first_at, jobs.first_at)",
    "last_at": "greatest(excluded.last_at, jobs.last_at)",
    "last_sequence": "greatest(excluded.last_sequence, jobs.last_sequence)",
    "costs": "merged_costs(jobs.costs, excluded.costs)",
    "cost_usd": "total_cost(merged_costs(jobs.costs, excluded.costs))",
    "trace_id": f"CASE WHEN {_FIRST_TRACE} THEN excluded.trace_id ELSE jobs.trace_id END",
    "trace_sequence": "least(excluded.trace_sequence, jobs.trace_sequence)",
    **{name: f"jobs.{name} + excluded.{name}" for name in _ADDED},
}


def _jobs() -> str:
    guards = {guard for group in GROUPS for guard in group.guards}
    values = {name: f"coalesce({name}, 0)" if name in guards else name for name in _GROUPED}
    values |= {"verdict": "coalesce(verdict, 'running')"} | _TOTALS
    sets = {name: group.merged(name) for name, group in _GROUPED.items()} | _MERGED
    joins = "".join(f" LEFT JOIN newest_{group.name} USING (training_id)" for group in GROUPS)
    return f"""changed AS (
    INSERT INTO jobs (training_id, {", ".join(values)})
    SELECT training_id, {", ".join(values.values())}
    FROM totals{joins} LEFT JOIN troubles USING (training_id) LEFT JOIN spent USING (training_id)
        LEFT JOIN first_trace USING (training_id)
    ORDER BY training_id
    ON CONFLICT (training_id) DO UPDATE SET {", ".join(f"{name} = {sql}" for name, sql in sets.items())}
)"""  # noqa: S608 – names of our own columns


def rollup_sql(source: str) -> str:
    """The statement that rolls up the rows of `source`, a SELECT or INSERT … RETURNING of rows of `events`.

    It returns how many rows the source had. Jobs and attempts are written in the order of their keys, after the
    events: two replicas that store the same trainings at once wait for each other and cannot deadlock.
    """
    groups = ",\n".join(group.newest() for group in GROUPS)
    return f"""WITH fresh AS ({source}),
job_events AS (SELECT * FROM fresh WHERE training_id IS NOT NULL AND generation_id IS NULL),
{_attempts()},
troubles AS (
    SELECT training_id, count(*) FILTER (WHERE outcome = 'retried') AS retries,
        count(*) FILTER (WHERE outcome <> 'succeeded') AS errors
    FROM ended WHERE is_new AND training_id IS NOT NULL AND generation_id IS NULL GROUP BY training_id
),
totals AS (
    SELECT training_id, min(stored_at) AS first_at, max(stored_at) AS last_at, max(sequence) AS last_sequence,
        count(*) AS events, min({_AT}) FILTER (WHERE subject = 'training.requested' AND readable) AS requested_at,
        coalesce(max(sequence) FILTER (WHERE subject = 'stage.started' AND readable AND facts ? 'replay'
            AND facts->>'replay' IS NOT NULL), 0) AS replayed_sequence
    FROM job_events GROUP BY training_id
),
spent AS (
    SELECT training_id, jsonb_object_agg(run, amount) AS costs FROM (
        SELECT training_id, facts->>'external_id' AS run, max({_AMOUNT}) AS amount
        FROM job_events WHERE subject = 'training.succeeded' AND readable AND {_AMOUNT} IS NOT NULL
        GROUP BY 1, 2
    ) AS runs GROUP BY training_id
),
first_trace AS (
    SELECT DISTINCT ON (training_id) training_id, trace_id, sequence AS trace_sequence
    FROM job_events WHERE trace_id IS NOT NULL ORDER BY training_id, sequence
),
{groups},
{_jobs()}
SELECT count(*) FROM fresh"""  # noqa: S608 – names of our own columns


_OF_ALL = rollup_sql(f"SELECT {COLUMNS_READ} FROM events")  # noqa: S608 – names of our own columns


async def roll_up_all(connection: Connection) -> int:
    """Fill the two tables, which must be empty, from all of `events`; returns how many rows there are."""
    return int(await connection.fetchval(_OF_ALL, timeout=STATEMENT_TIMEOUT_S))
