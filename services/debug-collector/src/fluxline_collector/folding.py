"""Progress folded: of what is told many times in a row, the last time."""

from collections.abc import Sequence

from fluxline.contracts.debugging import StoredEvent


def fold_progress(events: Sequence[StoredEvent]) -> list[tuple[StoredEvent, int]]:
    """The events, of progress without anything in between only the newest, each with how many were left out for it."""
    kept: list[tuple[StoredEvent, int]] = []
    for event in events:
        if kept and event.type.endswith(".progressed") and kept[-1][0].type == event.type:
            kept[-1] = (event, kept[-1][1] + 1)
        else:
            kept.append((event, 0))
    return kept
