"""Logging to standard error: one JSON object a line, or readable lines on a terminal.

A logging library costs each process 5 MB and 60 ms, so this uses only the standard library.
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
    def __init__(self, process: str, trace: Callable[[], str]) -> None:
        super().__init__()
        self._process = process
        self._trace = trace

    def format(self, record: logging.LogRecord) -> str:
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
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Escapes control characters; only a traceback has more than one line."""
        words = f"taskbound {self._process}: {record.levelname.lower()}: {record.getMessage()}"
        more = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n".join(escape_rest(one) for one in (words, *more))


def open_log(process: str, level: str = "info", *, trace: Callable[[], str] = str) -> None:
    """Configures the process's logging; `trace` returns the current trace id or ''."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Readable(process) if sys.stderr.isatty() else _Lines(process, trace))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
