"""Reads rows and pages in a separate process that is killed when it takes too long."""

from __future__ import annotations

from taskbound.adapters.approval.apart.operands import ApartOperands

__all__ = ["ApartOperands"]
