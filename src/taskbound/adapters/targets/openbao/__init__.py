"""OpenBao as a target: what its engines give, by a role of each credential's own."""

from __future__ import annotations

from taskbound.adapters.targets.openbao.target import OpenbaoTarget

__all__ = ["OpenbaoTarget"]
