"""Looking at what is behind a database, in a process apart that is ended when it takes too long."""

from __future__ import annotations

from taskbound.adapters.approval.apart.operands import ApartOperands

__all__ = ["ApartOperands"]
