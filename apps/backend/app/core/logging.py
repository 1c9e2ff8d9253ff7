"""One line per event: readable in a terminal, JSON elsewhere."""

import logging
import os
import sys

import structlog
from structlog.typing import EventDict, Processor

from app.core.config import get_settings

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def _show_request(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put what the access log tells into columns. Who asked, and from where, is in the JSON."""
    if event["logger"] != "backdesk.access":
        return event
    text = "{method:<8}{path:<40} {status} {ms:>8} ms".format_map(event)
    return {"timestamp": event["timestamp"], "level": event["level"], "event": text}


def _make_printable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what would forge lines, or steer the terminal. Only a traceback has lines."""
    for key, value in event.items():
        if isinstance(value, str):
            lines = value.splitlines() if key == "exception" else [value]
            event[key] = "\n".join(one if one.isprintable() else repr(one)[1:-1] for one in lines)
    return event


def configure_logging() -> None:
    """Send every logger, the libraries' too, through one formatter on standard error."""
    is_terminal, log_format = sys.stderr.isatty(), get_settings().LOG_FORMAT
    final: list[Processor] = [structlog.processors.format_exc_info]
    if log_format == "text" or (log_format == "auto" and is_terminal):
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
        has_colors = is_terminal and not os.environ.get("NO_COLOR")
        # Plain tracebacks: the pretty ones print local variables, and passwords are among them.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=has_colors, exception_formatter=plain)
        final += [clock, _make_printable, _show_request, renderer]
    else:
        final.append(structlog.processors.JSONRenderer())
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.basicConfig(handlers=[handler], level=get_settings().LOG_LEVEL, force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
