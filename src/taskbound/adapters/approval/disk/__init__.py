"""Looking at files and git repositories on this machine, with the rights of this process."""

from __future__ import annotations

from taskbound.adapters.approval.disk.operands import DiskOperands

__all__ = ["DiskOperands"]
