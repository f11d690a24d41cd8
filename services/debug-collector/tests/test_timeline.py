"""Timeline and spans: the same time as the summary's, told in order."""

import json
from collections.abc import Callable
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fluxline.contracts.catalog import EVENTS
from fluxline.contracts.debugging import Span, Summary, Timeline
from fluxline_collector.timeline import timeline_of

from .stories import TRAIN, UPLOAD, ZIP, HubDown, Story, Throttled, WrongToken

STAGES = (ZIP, TRAIN, UPLOAD)
ACTIONS: tuple[Callable[[Story, Random], object], ...] = (
    lambda story, random: story.start(random.choice(STAGES), random.randint(1, 3)),
    lambda story, random: story.succeed(random.choice(STAGES), random.randint(1, 3), worked_s=random.random() * 9),
    lambda story, random: story.retry(random.choice(STAGES), HubDown(), random.randint(1, 3), worked_s=random.random()),
    lambda story, random: story.fail(random.choice(STAGES), WrongToken(), random.randint(1, 3)),
    lambda story, random: story.after(random.random() * 30),
    lambda story, random: story.asked_to_retry(random.choice(STAGES)),
    lambda story, random: story.asked_to_stop(),
    lambda story, random: story.canceled(random.choice(STAGES)),
    lambda story, random: story.timed_out(random.choice(STAGES)),
    lambda story, random: story.zipped(),
    lambda story, random: story.trained(worked_s=random.random() * 50),
    lambda story, random: story.published(random.randint(1, 3)),
    lambda story, random: story.trains(random.random() * 100),
)
HISTORIES = st.tuples(st.lists(st.integers(0, len(ACTIONS) - 1), max_size=25), st.integers(0, 2**32))


def told(actions: list[int], seed: int, *, shuffled: bool = False) -> Story:
    story, random = Story(), Random(seed)
    for number in actions:
        ACTIONS[number](story, random)
    if shuffled:
        random.shuffle(story.messages)
    return story


def spans_of(timeline: Timeline, stage: str) -> list[Span]:
    return [span for span in timeline.spans if span.stage == stage]


def agree(summary: Summary, timeline: Timeline) -> None:
    """Whether the spans of each stage lie end to end, and add up to what the summary says."""
    assert {span.stage for span in timeline.spans} == {stage.stage for stage in summary.stages if stage.attempts}
    for stage in summary.stages:
        spans = spans_of(timeline, stage.stage)
        queued = [span for span in spans if span.started_at < stage.started_at]
        own = spans[len(queued) :]
        for before, after in pairwise(spans):
            assert before.duration_ms is not None
            assert before.offset_ms + before.duration_ms == after.offset_ms
        sums = {kind: sum(span.duration_ms or 0 for span in own if span.kind == kind) for kind in ("work", "wait")}
        assert (stage.work_ms, stage.wait_ms) == (sums["work"], sums["wait"])
        assert stage.queued_ms == (sum(span.duration_ms or 0 for span in queued) if queued else None)
        assert stage.duration_ms in (None, stage.work_ms + stage.wait_ms)
        assert stage.attempts == sum(span.kind == "work" for span in own)
        assert all(span.duration_ms is None or span.duration_ms >= 0 for span in spans)


@given(HISTORIES, st.booleans())
def test_spans_add_up_to_the_summary_whatever_happened_in_whatever_order(
    history: tuple[list[int], int], shuffled: bool
) -> None:
    story = told(*history, shuffled=shuffled)
    agree(story.summary(), story.timeline())
    assert [entry.at for entry in story.timeline().entries] == sorted(entry.at for entry in story.timeline().entries)


@given(HISTORIES, st.lists(st.tuples(st.sampled_from([*sorted(EVENTS), "zip.unheard_of"]), st.text()), max_size=5))
def test_nothing_that_a_message_may_hold_disturbs_the_telling(
    history: tuple[list[int], int], junk: list[tuple[str, str]]
) -> None:
    story = told(*history)
    for subject, text in junk:
        facts = dict.fromkeys(("stage", "run", "message", "hint", "provider_ids", "context", "cost", "replay"), text)
        story.raw(subject, json.dumps(facts | {"training_id": str(story.training_id)}).encode())
    agree(story.summary(), story.timeline())
    assert story.summary().diagnosis


def test_a_waterfall_has_work_and_waits_with_their_reasons() -> None:
    story = Story().zipped().after(2).start(TRAIN).retry(TRAIN, Throttled(), delay_s=32).after(32).start(TRAIN, 2)
    spans = spans_of(story.after(9).weights(attempt=2, worked_s=9).timeline(), "replicate_training")
    assert [(s.kind, s.reason, s.attempt, s.offset_ms, s.duration_ms, s.outcome, s.category) for s in spans] == [
        ("wait", "queue", 1, 5000, 2000, None, None),
        ("work", None, 1, 7000, 1000, "retried", "rate_limit"),
        ("wait", "rate_limit", 2, 8000, 32_000, None, None),
        ("work", None, 2, 40_000, 9000, "succeeded", None),
    ]
    assert {span.provider for span in spans if span.kind == "work"} == {"replicate"}


def test_the_time_between_a_failure_and_its_retry_is_its_owners() -> None:
    story = Story().zipped().trained().start(UPLOAD).fail(UPLOAD, WrongToken()).after(600).asked_to_retry(UPLOAD)
    spans = spans_of(story.after(3).start(UPLOAD).published().timeline(), "huggingface_upload")
    assert [(span.kind, span.reason, span.run, span.duration_ms) for span in spans] == [
        ("work", None, 0, 1000),
        ("wait", "owner", 1, 600_000),
        ("wait", "queue", 1, 3000),
        ("work", None, 1, 3000),
    ]


def test_an_attempt_that_was_cut_off_is_a_wait_of_unknown_work() -> None:
    story = Story().start(ZIP).after(15)
    story.say(story._attempt(ZIP, 1, 0).cut_off()).start(ZIP, 2).succeed(ZIP, 2)
    assert [(span.kind, span.reason, span.duration_ms) for span in story.timeline().spans] == [
        ("wait", "cut_off", 15_000),
        ("work", None, 0),
        ("work", None, 2000),
    ]


def test_work_is_as_long_as_its_attempt_says_whatever_the_clocks_say() -> None:
    story = Story().start(ZIP).after(0.05).succeed(ZIP, worked_s=4)
    assert [(span.kind, span.duration_ms) for span in story.timeline().spans] == [("work", 4000)]
    story = Story().start(ZIP).succeed(ZIP, worked_s=0).after(-2)
    story.messages.pop()
    story.say(story._attempt(ZIP, 1, 4).succeeded())
    assert [(span.kind, span.duration_ms) for span in story.timeline().spans] == [("work", 4000)]


def test_an_attempt_whose_start_comes_after_its_end_is_one() -> None:
    story = Story().after(1).start(ZIP).succeed(ZIP, worked_s=4)
    expected = story.timeline().spans
    story.messages[1], story.messages[2] = story.messages[2], story.messages[1]
    assert story.timeline().spans == expected


def test_the_entries_read_as_a_story() -> None:
    story = Story().zipped().after(2).start(TRAIN).retry(TRAIN, Throttled(), delay_s=32).after(32).start(TRAIN, 2)
    story.accepted().trains(0, phase="starting").after(30).trains(40).after(30).trains(80)
    entries = story.weights(attempt=2, worked_s=60).timeline().entries
    assert [(entry.offset_ms // 1000, entry.level, entry.title) for entry in entries] == [
        (0, "info", "Training requested: Ada"),
        (0, "info", "ZIP creation waited 1.0 s: waiting for its turn"),
        (1, "info", "ZIP creation started (attempt 1)"),
        (3, "debug", "Processed image 5/5"),
        (5, "info", "Archive of 5 images created"),
        (5, "info", "ZIP creation succeeded in 4.0 s"),
        (5, "info", "Training waited 2.0 s: waiting for its turn"),
        (7, "info", "Training started (attempt 1)"),
        (8, "warning", "Training: attempt 1 failed, next at 10:00:40 UTC: Replicate asks to slow down."),
        (8, "info", "Training waited 32.0 s: rate limit"),
        (40, "info", "Training started (attempt 2)"),
        (40, "info", "replicate accepted the training as r1"),
        (100, "debug", "Training at 80 %, step 800 of 1000, loss 0.0123"),
        (100, "info", "Training succeeded; the weights are in storage"),
        (100, "info", "Training succeeded in 1 min 00 s"),
    ]
    retried, accepted, progress = entries[8], entries[11], entries[12]
    assert retried.detail == "It is tried again by itself; credit below $5 lowers the limit."
    assert (retried.category, retried.attempt) == ("rate_limit", 1)
    assert accepted.provider_ids == {"replicate": "r1"}
    assert (progress.folded, progress.detail) == (2, "about 20.0 s left")


def test_an_error_in_the_timeline_says_what_to_do_and_what_it_met() -> None:
    story = Story().zipped().trained().start(UPLOAD).fail(UPLOAD, WrongToken(status=401))
    failed, ended = story.timeline().entries[-2:]
    assert failed.detail == "Set HUGGINGFACE_API_TOKEN. (status 401)"
    assert (ended.title, ended.level) == ("The training failed at Publishing: Hugging Face refused the token.", "error")


def test_what_is_still_waited_for_is_the_last_entry() -> None:
    story = Story().zipped().start(TRAIN).retry(TRAIN, Throttled(), delay_s=32)
    last = story.timeline().entries[-1]
    assert (last.type, last.title, last.duration_ms) == ("wait", "Training waits: rate limit", None)


def test_events_that_were_left_out_are_counted() -> None:
    story = Story()
    timeline = timeline_of(story.training_id, story.events(), total=10, folded={1: 4})
    assert (timeline.entries[0].folded, timeline.left_out) == (4, 5)


def test_a_wait_for_an_attempt_that_the_deadline_ended_is_not_the_next_runs() -> None:
    story = Story().zipped().start(TRAIN).retry(TRAIN, Throttled(), delay_s=900).after(60).timed_out(TRAIN)
    spans = spans_of(story.after(40).asked_to_retry(TRAIN).start(TRAIN).timeline(), "replicate_training")
    assert [(span.kind, span.reason, span.run, span.duration_ms) for span in spans] == [
        ("work", None, 0, 1000),
        ("wait", "owner", 1, 100_000),
        ("work", None, 1, None),
    ]
