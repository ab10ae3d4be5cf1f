"""Widening a running task: asked for by a person in charge, approved by approvers, applied at once."""

from __future__ import annotations

from taskbound.flows.task.widen.ground import AmendmentOrder, AmendmentSaid
from taskbound.flows.task.widen.widenings import Widenings

__all__ = ["AmendmentOrder", "AmendmentSaid", "Widenings"]
