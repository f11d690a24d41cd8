"""A stopping studio ends its live streams at once: browsers go on at another replica, or at this one's successor."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class LiveStreams:
    """The live streams of this process; each is told by an event of its own that something is to be looked at."""

    def __init__(self) -> None:
        self.stopping = False
        self._open: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self) -> Iterator[asyncio.Event]:
        """A stream is open inside the block; its event is set for the first look."""
        news = asyncio.Event()
        news.set()
        self._open.add(news)
        try:
            yield news
        finally:
            self._open.discard(news)

    def end(self) -> None:
        """Have every stream end, and every new one too."""
        self.stopping = True
        for news in self._open:
            news.set()
