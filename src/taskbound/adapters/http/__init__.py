"""Connections to servers over HTTP that have an end, for whatever asks one."""

from __future__ import annotations

from taskbound.adapters.http.connection import (
    ANSWER,
    HttpAddress,
    HttpAnswer,
    HttpConnection,
    HttpLostError,
    HttpUnreachedError,
    LookUp,
    look_up,
)
from taskbound.adapters.http.kept import HttpKept

__all__ = [
    "ANSWER",
    "HttpAddress",
    "HttpAnswer",
    "HttpConnection",
    "HttpKept",
    "HttpLostError",
    "HttpUnreachedError",
    "LookUp",
    "look_up",
]
