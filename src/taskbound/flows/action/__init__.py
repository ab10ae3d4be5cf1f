"""What becomes of a permitted action, and what can be said of any action afterwards."""

from __future__ import annotations

from taskbound.flows.action.explain import Explanation, explain
from taskbound.flows.action.outcome import Outcomes, Release, Report, Withhold, reconcile

__all__ = ["Explanation", "Outcomes", "Release", "Report", "Withhold", "explain", "reconcile"]
