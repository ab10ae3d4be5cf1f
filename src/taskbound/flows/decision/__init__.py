"""From the bytes of a call to a durable answer: read, evaluate, settle, record."""

from __future__ import annotations

from taskbound.flows.decision.commit import Answer, Decisions
from taskbound.flows.decision.doubts import Doubts, overdue, strangers
from taskbound.flows.decision.evaluate import Call
from taskbound.flows.decision.narrowing import Narrowings
from taskbound.flows.decision.planned import Proposer
from taskbound.flows.decision.planning import Planning, Step
from taskbound.flows.decision.refusals import Refusals
from taskbound.flows.decision.views import Views
from taskbound.flows.decision.watched import Watched

__all__ = [
    "Answer",
    "Call",
    "Decisions",
    "Doubts",
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
