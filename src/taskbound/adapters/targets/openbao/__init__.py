"""OpenBao as a target: dynamic secrets, each from a role of its own."""

from __future__ import annotations

from taskbound.adapters.targets.openbao.target import OpenbaoTarget

__all__ = ["OpenbaoTarget"]
