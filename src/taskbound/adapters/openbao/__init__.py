"""Connections to OpenBao servers, for whatever speaks to one."""

from __future__ import annotations

from taskbound.adapters.openbao.connection import BaoAnswer, BaoConnection

__all__ = ["BaoAnswer", "BaoConnection"]
