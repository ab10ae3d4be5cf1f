"""The scope of a task: grants of tools with constraints on arguments, uses and totals. It can only narrow."""

from __future__ import annotations

from taskbound.core.scope.cover import Miss, NotCovered, cover
from taskbound.core.scope.grant import (
    ActiveGrants,
    Grant,
    Others,
    Scope,
    Step,
    counted_limits,
    describe,
    initial_limits,
    map_grants,
    parse_scope,
    scope_ahead,
    tools_of,
)
from taskbound.core.scope.limits import Charge, Covered, Exhausted, Paid, Payer, Rate, Shortfall, Total, pay
from taskbound.core.scope.path import ArgumentPath
from taskbound.core.scope.show import ScopeSyntaxError

__all__ = [
    "ActiveGrants",
    "ArgumentPath",
    "Charge",
    "Covered",
    "Exhausted",
    "Grant",
    "Miss",
    "NotCovered",
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
