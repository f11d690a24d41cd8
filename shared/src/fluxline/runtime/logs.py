"""Structured logs: JSON for machines, columns on a terminal; with trace and training ids, without secrets."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from fluxline.runtime.redaction import redact
from fluxline.runtime.telemetry import current_trace_id

Entry = MutableMapping[str, Any]


def setup_logs(service: str, level: str) -> None:
    """Send structlog and the standard library's logging through one pipeline to stderr."""
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
    renderer: Processor = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "botocore", "uvicorn.access", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The module's logger: `log.info("zip.stored", size_bytes=…)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def _add_service(service: str) -> Processor:
    def add(_logger: Any, _method: str, entry: Entry) -> Entry:
        entry["service"] = service
        return entry

    return add


def _add_trace(_logger: Any, _method: str, entry: Entry) -> Entry:
    if trace_id := current_trace_id():
        entry["trace_id"] = trace_id
    return entry


def _redact(_logger: Any, _method: str, entry: Entry) -> Mapping[str, Any]:
    return {key: value if key.startswith("_") else redact(value, key=key) for key, value in entry.items()}
