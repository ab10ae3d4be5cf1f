"""Outcomes of permitted actions, and explanations of recorded decisions."""

from __future__ import annotations

from taskbound.flows.action.explain import Explanation, explain
from taskbound.flows.action.outcome import Outcomes, Release, Report, Withhold, reconcile

__all__ = ["Explanation", "Outcomes", "Release", "Report", "Withhold", "explain", "reconcile"]
