"""A process that dies at the paid call."""

from collections.abc import AsyncIterator
from pathlib import Path

from fluxline_trainer.provider import Order, Provider, ProviderRun


class Crash(BaseException):
    """The process dies."""


class Dying:
    """A provider whose process dies at the paid call: before it is sent, or after it had its effect."""

    def __init__(self, provider: Provider, *, after: bool) -> None:
        self._provider = provider
        self._after = after

    async def create(self, order: Order) -> ProviderRun:
        if self._after:
            await self._provider.create(order)
        raise Crash

    def newest_first(self) -> AsyncIterator[ProviderRun]:
        return self._provider.newest_first()

    async def account(self) -> str:
        return await self._provider.account()

    async def ensure_destination(self, owner: str, name: str) -> bool:
        return await self._provider.ensure_destination(owner, name)

    async def delete_model(self, model: str) -> None:
        await self._provider.delete_model(model)

    async def latest_version(self, trainer: str) -> str:
        return await self._provider.latest_version(trainer)

    async def get(self, run_id: str) -> ProviderRun:
        return await self._provider.get(run_id)

    async def cancel(self, run_id: str) -> None:
        await self._provider.cancel(run_id)

    async def download(self, url: str, target: Path) -> None:
        await self._provider.download(url, target)

    def page_of(self, run_id: str) -> str:
        return self._provider.page_of(run_id)
