"""A scope and its grants: what a task may do, as values that are compiled once.

A scope is its canonical form; two that are written differently and say the same by
the rules of ``parse`` are equal and have the same digest. Keep it by its digest: it
never changes, and compiling it costs more than a decision.
"""

from __future__ import annotations

from dataclasses import field, replace
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.charge import Charge, Payer
from taskbound.core.scope.limits import write_rates, write_totals
from taskbound.core.scope.tree import compile_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.limits import Rate, Total
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.scope.tree import Node


_KIND: Final = "taskbound-scope"
_VERSION: Final = 1


class Others(Enum):
    """What an argument that the grant doesn't mention may be."""

    DEFAULT_ONLY = "default-only"
    """Absent, or the default of the pinned schema."""
    ANY = "any"
    """Whatever the agent likes: breadth, and shown as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Leave to call one tool, within constraints and limits."""

    id: str
    """``g0``, ``g1`` …: its place in the scope."""
    tool: str
    arguments: tuple[tuple[ArgumentPath, Constraint], ...]
    """In the order of the paths."""
    optional: frozenset[ArgumentPath]
    others: Others
    uses: int | None
    totals: tuple[Total, ...]
    """In the order of paths and currencies."""
    rates: tuple[Rate, ...] = ()
    """From the shortest window to the longest."""
    tree: Node = field(init=False, repr=False, compare=False)
    """The paths as a tree, from the arguments inward."""
    plan: tuple[tuple[str, Constraint, bool], ...] = field(init=False, repr=False, compare=False)
    """Each argument that is constrained as a whole only, its constraint, and whether it must be present."""
    deep: bool = field(init=False, repr=False, compare=False)
    """Whether a path goes into an argument, so that the tree must be walked."""
    named: frozenset[str] = field(init=False, repr=False, compare=False)
    """The arguments that the grant mentions."""
    flat: Payer = field(init=False, repr=False, compare=False)
    """What the grant pays whatever the arguments are."""

    def __post_init__(self) -> None:
        """Compile what `cover` needs for each action."""
        tree = compile_tree(self.arguments, self.optional, closed=self.others is Others.DEFAULT_ONLY)
        nodes = tree.members.items()
        plan = tuple(
            (name, node.rule, node.required) for name, node in nodes if node.is_leaf and node.rule is not None
        )
        flat = (Charge(limit=self.uses_key, amount=1),) if self.uses is not None else ()
        object.__setattr__(self, "tree", tree)
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "deep", not all(node.is_leaf for _, node in nodes))
        object.__setattr__(self, "named", frozenset(tree.members))
        object.__setattr__(self, "flat", Payer(grant=self.id, charges=flat, rates=self.rates))

    @property
    def uses_key(self) -> str:
        """The key of the limit of uses."""
        return f"{self.id}/uses"

    def coverage(self) -> dict[str, JsonValue]:
        """Which calls the grant covers, in canonical form: all of it but its limits."""
        form: dict[str, JsonValue] = {"tool": self.tool}
        if self.arguments:
            form["arguments"] = {str(path): {rule.tag: rule.value()} for path, rule in self.arguments}
        if self.optional:
            form["optional"] = [str(path) for path in sorted(self.optional)]
        if self.others is not Others.DEFAULT_ONLY:
            form["others"] = self.others.value
        return form

    def value(self) -> dict[str, JsonValue]:
        """The canonical form: what is default is left out, and lists without order are sorted."""
        form = self.coverage()
        if self.uses is not None:
            form["uses"] = self.uses
        if self.totals:
            form["total"] = write_totals(self.totals)
        if self.rates:
            form["rate"] = write_rates(self.rates)
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of the task, in which its own grants are in force."""

    name: str
    keep: bool
    """Whether what was in force in the step before still is."""
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The grants that are in force in one step, in the order in which they pay."""

    grants: tuple[Grant, ...]
    by_tool: Mapping[str, tuple[Grant, ...]]

    @classmethod
    def of(cls, grants: tuple[Grant, ...]) -> InForce:
        """These grants, by tool."""
        named: dict[str, list[Grant]] = {}
        for grant in grants:
            named.setdefault(grant.tool, []).append(grant)
        index = MappingProxyType({tool: tuple(some) for tool, some in named.items()})
        return cls(grants=grants, by_tool=index)


_NOTHING: Final = InForce.of(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a task may do: its grants, in the order in which they pay."""

    grants: tuple[Grant, ...] = field(compare=False)
    """Those of all steps, one after another."""
    steps: tuple[Step, ...] = field(default=(), compare=False)
    """Empty: there is one step, with all grants."""
    canonical: bytes = field(init=False, repr=False, compare=False)
    """The canonical bytes of the scope as it is written."""
    digest: str = field(init=False)
    """SHA-256 over the canonical bytes of kind, version and scope, in hex; equality is equality of this."""
    by_tool: Mapping[str, tuple[Grant, ...]] = field(init=False, repr=False, compare=False)
    """The grants of all steps; what may be done in one is `at`."""
    in_force: tuple[InForce, ...] = field(init=False, repr=False, compare=False)
    """Step by step; at least one."""

    def __post_init__(self) -> None:
        """Index the grants and make the digest."""
        form: JsonValue = {"grants": [grant.value() for grant in self.grants]}
        if self.steps:
            form = {"steps": [_step_value(step) for step in self.steps]}
        every = InForce.of(self.grants)
        in_force: list[InForce] = []
        for step in self.steps:
            kept = in_force[-1].grants if step.keep and in_force else ()
            in_force.append(InForce.of((*kept, *step.grants)))
        whole = canonical({"kind": _KIND, "version": _VERSION, "scope": form})
        object.__setattr__(self, "canonical", canonical(form))
        object.__setattr__(self, "digest", sha256(whole).hexdigest())
        object.__setattr__(self, "by_tool", every.by_tool)
        object.__setattr__(self, "in_force", tuple(in_force) or (every,))

    def at(self, step: int) -> InForce:
        """The grants in force in a step, counted from 0; in a step that isn't there, none."""
        return self.in_force[step] if 0 <= step < len(self.in_force) else _NOTHING

    def value(self) -> JsonValue:
        """The scope as JSON, in canonical form; a fresh copy each time."""
        return parse_document(self.canonical)


def _step_value(step: Step) -> JsonValue:
    form: dict[str, JsonValue] = {"name": step.name, "grants": [grant.value() for grant in step.grants]}
    return {**form, "keep": True} if step.keep else form


def scope_ahead(scope: Scope, step: int) -> Scope:
    """What a task in this step can still do: the grants in force as its first step, and the steps to come."""
    if not step:
        return scope
    first = replace(scope.steps[step], keep=False, grants=scope.at(step).grants)
    steps = (first, *scope.steps[step + 1 :])
    return Scope(grants=tuple(grant for one in steps for grant in one.grants), steps=steps)


def map_grants(scope: Scope, change: Callable[[Grant], Grant]) -> Scope:
    """The scope with each grant changed so."""
    steps = tuple(replace(one, grants=tuple(map(change, one.grants))) for one in scope.steps)
    return Scope(grants=tuple(map(change, scope.grants)), steps=steps)


def tools_of(scope: Scope) -> frozenset[str]:
    """The tools that the scope names in any step; no others need be listed to the agent."""
    return frozenset(scope.by_tool)


def counted_limits(scope: Scope) -> dict[str, int]:
    """What each limit permits in all, or in a window, by key: for people."""
    limits: dict[str, int] = {}
    for grant in scope.grants:
        if grant.uses is not None:
            limits[grant.uses_key] = grant.uses
        limits.update((total.key, total.limit) for total in grant.totals)
        limits.update((rate.key, rate.uses) for rate in grant.rates)
    return limits


def initial_limits(scope: Scope) -> dict[str, int]:
    """What each row of a limit holds before the first action, by key; a rate's window opened at 0."""
    opened = {rate.opened_key: 0 for grant in scope.grants for rate in grant.rates}
    return counted_limits(scope) | opened
