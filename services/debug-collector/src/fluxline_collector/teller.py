"""A training's history told: as a summary, a timeline, a report."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import HTTPException

from fluxline.contracts.debugging import Summary, Timeline
from fluxline_collector.history import History, Story
from fluxline_collector.report import render
from fluxline_collector.summary import summarise
from fluxline_collector.timeline import timeline_of


class Teller:
    """Answers from a training's history. Raises HTTPException 404 where there is none."""

    def __init__(self, history: History, trace_url: str | None) -> None:
        self._history = history
        self._trace_url = trace_url

    async def summary(self, training_id: UUID) -> Summary:
        """Where the training is, why, and what to do."""
        return self._summary(training_id, await self._story(training_id))

    async def timeline(self, training_id: UUID) -> Timeline:
        """What happened, in order, and how the time was spent."""
        return _timeline(training_id, await self._story(training_id))

    async def report(self, training_id: UUID) -> str:
        """All of it as one HTML document."""
        story = await self._story(training_id)
        curve = await self._history.curve(training_id)
        summary = self._summary(training_id, story)
        return render(summary, _timeline(training_id, story), story.events, curve, datetime.now(UTC))

    def _summary(self, training_id: UUID, story: Story) -> Summary:
        return summarise(
            training_id,
            story.events,
            now=datetime.now(UTC),
            total=story.total,
            folded=story.folded,
            trace_url=self._trace_url,
        )

    async def _story(self, training_id: UUID) -> Story:
        story = await self._history.story(training_id)
        if story is None:
            raise unknown(training_id)
        return story


def _timeline(training_id: UUID, story: Story) -> Timeline:
    return timeline_of(training_id, story.events, total=story.total, folded=story.folded)


def unknown(training_id: UUID) -> HTTPException:
    """The answer about a training that nothing is known of."""
    return HTTPException(404, f"No event of training {training_id} has been stored.")
