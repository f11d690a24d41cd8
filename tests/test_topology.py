"""The topology names every event, every durable and every service that the contracts have."""

from fluxline.contracts.catalog import CONSUMERS, EVENTS, EVENTS_STREAM
from fluxline.contracts.permissions import PERMISSIONS
from fluxline_cli.stack.topology import SERVICES as PROGRAMS
from topology import CALLS, EDGES, MATRIX, PRODUCERS, UNSEEN, service_of


def test_every_event_has_a_producer_that_may_say_it() -> None:
    assert set(PRODUCERS) == set(EVENTS)
    for subject, service in PRODUCERS.items():
        may = PERMISSIONS[service].publish
        assert subject in may or (subject.startswith("stage.") and "stage.>" in may), (service, subject)


def test_every_event_is_read_by_somebody_beside_those_who_read_all() -> None:
    read = {edge.subject for edge in EDGES if edge.durable not in ("gateway", "collector")}
    told_only = {"zip.progressed", "training.started", "training.progressed", "training.failed", "model.progressed"}
    ends = {"generation.succeeded", "generation.failed", "generation.canceled"}
    cards = {"model.card_updated", "model.card_failed"}
    assert read | told_only | ends | cards == {subject for subject in EVENTS if not subject.startswith("stage.")}


def test_every_durable_of_the_events_belongs_to_one_service() -> None:
    durables = {consumer.durable for consumer in CONSUMERS if consumer.stream is EVENTS_STREAM}
    assert {edge.durable for edge in EDGES} == durables
    assert {service_of(durable) for durable in durables} == set(PERMISSIONS)


def test_what_is_not_seen_is_an_event_and_has_a_reason() -> None:
    assert set(UNSEEN) < set(EVENTS)
    assert all(UNSEEN.values())


def test_every_service_of_the_stack_is_in_the_matrix() -> None:
    assert set(MATRIX) == set(PROGRAMS)
    assert {service for call in CALLS for service in call} <= set(MATRIX)
