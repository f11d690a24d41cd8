"""The outermost layer: logs every provider call and makes the planned faults happen on the wire."""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fluxline_sandbox.calls import Call, CallLog
from fluxline_sandbox.exchange import Exchange
from fluxline_sandbox.faults import Fault, FaultPlan
from fluxline_sandbox.operations import Operation, identify
from fluxline_sandbox.request_text import Reread

FAULT_HEADER = "x-sandbox-fault"
Subject = Callable[[str], str]
"""What is known of the job that a path names, as text; empty when it names none."""
_Play = Callable[[Exchange, Fault], Awaitable[None]]


class Interference:
    """ASGI middleware; a request may also carry one fault of its own in the header `X-Sandbox-Fault` (JSON)."""

    def __init__(self, app: ASGIApp, plan: FaultPlan, calls: CallLog, subject: Subject) -> None:
        self._app = app
        self._plan = plan
        self._calls = calls
        self._subject = subject

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the call and play its faults; the sandbox's own routes are left alone."""
        if scope["type"] != "http" or scope["path"].startswith(("/_sandbox", "/healthz")):
            await self._app(scope, receive, send)
            return
        operation = identify(scope["method"], scope["path"])
        names = (operation.provider, operation.name) if operation else (None, None)
        call = self._calls.add(Call(scope["method"], scope["path"], *names))
        request = Reread(receive)
        exchange = Exchange(self._app, scope, request.receive, send)
        try:
            await self._play(exchange, await self._faults(scope, request, operation), call)
        finally:
            call.finish(exchange.status)

    async def _faults(self, scope: Scope, request: Reread, operation: Operation | None) -> list[Fault]:
        if operation is None:
            return []
        own = Headers(scope=scope).get(FAULT_HEADER)
        if own is None:
            choosy = self._plan.is_choosy(operation)
            about = await request.text(scope) + self._subject(scope["path"]) if choosy else ""
            return self._plan.take(operation, about)
        try:
            return [Fault.model_validate_json(own)]
        except ValidationError:
            body = {"detail": f"{FAULT_HEADER} is not a fault: see the sandbox README"}
            return [Fault(kind="status", code=400, body=body)]

    async def _play(self, exchange: Exchange, faults: list[Fault], call: Call) -> None:
        call.fault = "+".join(fault.kind for fault in faults) or None
        for fault in faults:
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds or 0)
            else:
                await _PLAYS[fault.kind](exchange, fault)
                return
        await exchange.answer()


_PLAYS: dict[str, _Play] = {
    "status": Exchange.refuse,
    "hang": Exchange.hang,
    "drop_request": Exchange.drop_request,
    "drop_answer": Exchange.drop_answer,
    "corrupt": Exchange.corrupt,
    "alter": Exchange.alter,
}
