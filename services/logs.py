"""How every process logs: one line an event on standard error, `event name` plus fields, JSON when nobody watches."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


def configure(level: str, process: str) -> None:
    """Sets up structlog and the standard library's logging for this process; call once, in its wiring."""
    severity = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()

    def name_process(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        fields["process"] = process
        return fields

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        name_process,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(severity),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    # Libraries speak up only when something is wrong.
    logging.basicConfig(level=max(severity, logging.WARNING), handlers=[handler], force=True)
