"""An account of AWS as a target: sessions of roles, denied by their tag."""

from __future__ import annotations

from taskbound.adapters.targets.sts.target import StsTarget

__all__ = ["StsTarget"]
