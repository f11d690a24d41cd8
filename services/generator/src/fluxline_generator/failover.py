"""Who is asked, and who next: a provider that declines for a reason of its own makes room, a refusal of content never.

What is wrong with the request itself (422) would be wrong elsewhere too, and is told at once.
"""

from collections.abc import Sequence
from typing import Final, NoReturn

from fluxline.contracts.errors import ErrorCategory
from fluxline.runtime.stages import MENDED_ALONE
from fluxline_generator.errors import (
    ContentRefused,
    ModelNotReady,
    ProviderBilling,
    ProviderDeclined,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProvidersExhausted,
)
from fluxline_generator.orders import Order
from fluxline_generator.prompts import Wanted
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation, GenerationStore

OUTAGE_TRIES: Final = 3
_GONE: Final = (404, 410)


class Failover:
    """The configured providers in their order."""

    def __init__(self, store: GenerationStore, providers: Sequence[Provider]) -> None:
        self.store = store
        self.providers = {provider.name: provider for provider in providers}

    def first(self, wanted: Wanted) -> tuple[str, Order]:
        """Who is asked first, and for what; raises ModelNotReady when nobody can do exactly this."""
        for name, order in self._able(wanted):
            return name, order
        raise ModelNotReady("No configured provider can make exactly this", hint="Change the parameters.")

    async def decline(self, generation: Generation, error: ProviderError) -> NoReturn:
        """The provider did not take the order, for certain: says who is asked in the next attempt.

        Raises `error` while that is the same one, ProviderDeclined for another one, and ProvidersExhausted when
        several have declined and nobody is left.
        """
        at_once = moves_at_once(error)
        await self.store.reset(generation, lost=False, tried=not at_once)
        if not at_once and (not error.retryable or generation.tries + 1 < OUTAGE_TRIES):
            raise error
        await self.move(generation, error)
        await self._exhausted(generation, error)

    async def move(self, generation: Generation, error: ProviderError) -> None:
        """Go on with the next provider: raises ProviderDeclined, or returns when there is none."""
        wanted, last = generation.wanted, generation.provider
        able = self._able(wanted) if wanted else []
        names = [name for name, _ in able]
        later = able[names.index(last) + 1 :] if last in names else able
        if not later:
            return
        await self.store.move(generation, *later[0], (*generation.refusals, _refusal(last, error)))
        hint = f"{MENDED_ALONE}, with {later[0][0]}. About {last}: {error.hint}"
        raise ProviderDeclined(
            f"{last} declined: {error.message}", category=error.category, hint=hint, provider=last
        ) from error

    async def _exhausted(self, generation: Generation, error: ProviderError) -> NoReturn:
        """Begin anew with the first one next time, and tell of everybody this time."""
        if not generation.refusals or generation.wanted is None:
            raise error
        refusals = (*generation.refusals, _refusal(generation.provider, error))
        await self.store.move(generation, *self.first(generation.wanted), ())
        told = "; ".join(f"{refusal['provider']}: {refusal['message']}" for refusal in refusals)
        category = ErrorCategory(refusals[0]["category"])
        raise ProvidersExhausted(told, category=category, hint=refusals[0]["hint"]) from error

    def _able(self, wanted: Wanted) -> list[tuple[str, Order]]:
        orders = ((name, provider.order(wanted)) for name, provider in self.providers.items())
        return [(name, order) for name, order in orders if order is not None]


def moves_at_once(error: ProviderError) -> bool:
    """Whether the same provider would decline again: key, credit, a model that is gone."""
    if isinstance(error, ContentRefused):
        return False
    if isinstance(error, ProviderDenied | ProviderBilling):
        return True
    return isinstance(error, ProviderRefused) and error.context.get("status") in _GONE


def _refusal(provider: str, error: ProviderError) -> dict[str, str]:
    return {"provider": provider, "category": error.category, "message": error.message, "hint": error.hint}
