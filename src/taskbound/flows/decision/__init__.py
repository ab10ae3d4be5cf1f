"""From the bytes of a call to a durable answer: read, evaluate, settle, record."""

from __future__ import annotations

from taskbound.flows.decision.commit import Answer, Decisions, Refusals, Watched
from taskbound.flows.decision.context import Views
from taskbound.flows.decision.evaluate import Call
from taskbound.flows.decision.narrowing import Narrowings
from taskbound.flows.decision.plans import Planning, Proposer, Step
from taskbound.flows.decision.retries import LostHolders, overdue, strangers

__all__ = [
    "Answer",
    "Call",
    "Decisions",
    "LostHolders",
    "Narrowings",
    "Planning",
    "Proposer",
    "Refusals",
    "Step",
    "Views",
    "Watched",
    "overdue",
    "strangers",
]
