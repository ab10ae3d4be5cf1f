"""What our processes write to standard error as logs: a JSON object a line, or plain lines on a terminal.

A library for this brought its console's colors and tracebacks into each of our processes: 5 MB and 60 ms.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from taskbound.core.action.text import escape_rest

if TYPE_CHECKING:
    from collections.abc import Callable


class _Lines(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, process: str, trace: Callable[[], str]) -> None:
        """Keep the process's name, and what says which trace a line belongs to."""
        super().__init__()
        self._process = process
        self._trace = trace

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "process": self._process,
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if trace := self._trace():
            line["trace"] = trace
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Readable(logging.Formatter):
    """One line for a person, in which everything is visible."""

    def __init__(self, process: str) -> None:
        """Keep the process's name."""
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as lines; only a traceback has more than one."""
        words = f"taskbound {self._process}: {record.levelname.lower()}: {record.getMessage()}"
        more = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n".join(escape_rest(one) for one in (words, *more))


def open_log(process: str, level: str = "info", *, trace: Callable[[], str] = str) -> None:
    """Send everything that this process logs to standard error: readable lines on a terminal, else JSON.

    Args:
        process: The process's name, in every line.
        level: `debug`, `info`, `warning` or `error`.
        trace: The trace that what is logged right there belongs to; empty for none.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Readable(process) if sys.stderr.isatty() else _Lines(process, trace))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
