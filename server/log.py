"""Structured log lines, one set-up for our own code and for what libraries log."""

import logging
import sys

import structlog

from server.problems import Problem, english

# their own words only when something is wrong; httpx would log every address it calls
_LIBRARIES = (
    "httpx",
    "httpcore",
    "aiosqlite",
    "databases",
    "alembic",
    "uvicorn.error",
    "websockets",
    "opentelemetry",
    "urllib3",
)


def configure(level: str, form: str) -> None:
    """Sends everything to standard error, as JSON lines or (form `console`) for people."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _say_problems,
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _say_problems(
    logger: object, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Problems as their English sentences."""
    for key, value in event.items():
        if isinstance(value, Problem):
            event[key] = english(value)
    return event


def is_debug() -> bool:
    """Whether lines of a single batch are wanted: what goes into them is gathered only then."""
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger with our processors, lazily configured."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
