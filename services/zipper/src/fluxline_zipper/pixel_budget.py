"""How many decoded pixels are in memory at a time: that, and not the number of threads, is what memory depends on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PixelBudget:
    """Room for `pixels`, shared by threads; a picture that is larger gets all of it, alone."""

    def __init__(self, pixels: int) -> None:
        self._all = self._left = pixels
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for `pixels`, and keep it for the block."""
        taken = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= taken)
            self._left -= taken
        try:
            yield
        finally:
            with self._changed:
                self._left += taken
                self._changed.notify_all()
