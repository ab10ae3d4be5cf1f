"""What a task may do: grants of tools with constraints on arguments, uses and totals. It only narrows."""

from __future__ import annotations

from taskbound.core.scope.charge import Charge, Covered, Exhausted, Paid, Payer, Shortfall, pay
from taskbound.core.scope.cover import cover
from taskbound.core.scope.describe import describe
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.grant import (
    Grant,
    InForce,
    Others,
    Scope,
    Step,
    counted_limits,
    initial_limits,
    map_grants,
    scope_ahead,
    tools_of,
)
from taskbound.core.scope.limits import Rate, Total
from taskbound.core.scope.miss import Miss, Missed
from taskbound.core.scope.parse import parse_scope
from taskbound.core.scope.path import ArgumentPath

__all__ = [
    "ArgumentPath",
    "Charge",
    "Covered",
    "Exhausted",
    "Grant",
    "InForce",
    "Miss",
    "Missed",
    "Others",
    "Paid",
    "Payer",
    "Rate",
    "Scope",
    "ScopeSyntaxError",
    "Shortfall",
    "Step",
    "Total",
    "counted_limits",
    "cover",
    "describe",
    "initial_limits",
    "map_grants",
    "parse_scope",
    "pay",
    "scope_ahead",
    "tools_of",
]
