"""Connections to OpenBao servers, for whatever speaks to one."""

from __future__ import annotations

from taskbound.adapters.openbao.connection import (
    BaoAddress,
    BaoAnswer,
    BaoConnection,
    BaoLostError,
    BaoUnreachedError,
)

__all__ = ["BaoAddress", "BaoAnswer", "BaoConnection", "BaoLostError", "BaoUnreachedError"]
