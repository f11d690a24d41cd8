"""Structured logs: JSON for machines, columns on a terminal; with trace and training ids, without secrets."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import Processor

from fluxline.runtime.log_records import LogQueue, QueueHandler, instance_name, record_line, shown
from fluxline.runtime.redaction import redact, redact_text
from fluxline.runtime.telemetry import current_span_id, current_trace_id

Entry = MutableMapping[str, Any]


def setup_logs(service: str, level: str, shipped: LogQueue | None = None) -> None:
    """Send structlog and the standard library's logging through one pipeline to stderr, and into `shipped` as well."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
        _add_trace,
        structlog.processors.format_exc_info,
        _redact,
    ]
    on_terminal = sys.stderr.isatty()
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(default=shown)
    )
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(shared, renderer))
    root = logging.getLogger()
    root.handlers = [handler]
    if shipped is not None:
        root.addHandler(QueueHandler(shipped, _formatter(shared, _as_record(instance_name()))))
    root.setLevel(level)
    for noisy in ("httpx", "httpx2", "httpcore", "httpcore2", "botocore", "uvicorn.access", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    sys.excepthook = _log_crash


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The module's logger: `log.info("zip.stored", size_bytes=…)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _formatter(shared: list[Processor], renderer: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        foreign_pre_chain=shared,
    )


def _as_record(instance: str) -> Processor:
    def render(_logger: Any, _method: str, entry: Entry) -> str:
        return record_line(entry, instance)

    return render


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ends the process is logged like everything else: as JSON, and without secrets."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    get_logger(__name__).critical("process.crashed", exc_info=(kind, error, trace))


def _add_service(service: str) -> Processor:
    def add(_logger: Any, _method: str, entry: Entry) -> Entry:
        entry["service"] = service
        return entry

    return add


def _add_trace(_logger: Any, _method: str, entry: Entry) -> Entry:
    if trace_id := current_trace_id():
        entry["trace_id"], entry["span_id"] = trace_id, current_span_id()
    return entry


def _redact(_logger: Any, _method: str, entry: Entry) -> Mapping[str, Any]:
    return {
        redact_text(key): value if key.startswith("_") else redact(_plain(value), key=key)
        for key, value in entry.items()
    }


def _plain(value: Any) -> Any:
    """What redaction can look into; any other object, at any depth, is what its `repr` says."""
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else shown(value)
