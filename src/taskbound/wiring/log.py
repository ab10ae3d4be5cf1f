"""What our processes write to their logs: one JSON object a line, on standard error.

A library for this brought its console's colors and tracebacks into each of our processes: 5 MB and 60 ms.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["open_log"]


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


def open_log(process: str, level: str = "info", *, trace: Callable[[], str] = str) -> None:
    """Send everything that this process logs to standard error, a JSON object a line.

    Args:
        process: The process's name, in every line.
        level: `debug`, `info`, `warning` or `error`.
        trace: The trace that what is logged right there belongs to; empty for none.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(process, trace))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
