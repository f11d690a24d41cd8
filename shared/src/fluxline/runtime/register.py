"""Registers that several services compete for: a key-value bucket of JetStream, changed by compare-and-set.

Whoever swaps first wins, and everybody reads the same winner, on any number of replicas.
"""

from collections.abc import Callable

import nats.errors
import nats.js.errors
from nats.js.kv import KeyValue

from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable

Condition = Callable[[str | None], bool]
"""Whether a register of this value (None: never set) may be changed."""

_UNAVAILABLE = (nats.errors.Error, nats.js.errors.Error, ConnectionError, TimeoutError, OSError)


class Registers:
    """The registers of one bucket, which provisioning has made. Every call may raise `BrokerUnavailable`."""

    def __init__(self, bus: Bus, bucket: str) -> None:
        self._bus = bus
        self._bucket = bucket

    async def get(self, key: str) -> str | None:
        """What stands in the register; None when nothing was ever written."""
        try:
            return (await _entry(await self._store(), key))[0]
        except _UNAVAILABLE as error:
            raise _unavailable(key, error) from error

    async def swap(self, key: str, value: str, when: Condition) -> str | None:
        """Write `value` if `when` holds for what stands there; returns what stands there afterwards."""
        while True:
            try:
                store = await self._store()
                standing, revision = await _entry(store, key)
                if not when(standing):
                    return standing
                await store.update(key, value.encode(), last=revision)
                return value
            except nats.js.errors.KeyWrongLastSequenceError:
                continue  # somebody was faster: look again
            except _UNAVAILABLE as error:
                raise _unavailable(key, error) from error

    async def _store(self) -> KeyValue:
        """Asked for anew each time: a bucket that was lost and made again must not be remembered."""
        return await self._bus.jetstream.key_value(self._bucket)


async def _entry(store: KeyValue, key: str) -> tuple[str | None, int]:
    """Value and revision; revision 0 stands for "not there yet"."""
    try:
        entry = await store.get(key)
    except nats.js.errors.KeyNotFoundError:
        return None, 0
    return (entry.value or b"").decode(), entry.revision or 0


def _unavailable(key: str, error: BaseException) -> BrokerUnavailable:
    return BrokerUnavailable(f"NATS did not answer for the register {key} ({type(error).__name__})")
