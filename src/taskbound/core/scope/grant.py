"""A scope and its grants: what a task may do, as values that are compiled once.

A scope is its canonical form; two that are written differently and say the same by
the rules of ``parse`` are equal and have the same digest. Keep it by its digest: it
never changes, and compiling it costs more than a decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.scope.charge import Charge, Payer
from taskbound.core.scope.tree import compile_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.scope.tree import Node

__all__ = ["Grant", "Others", "Scope", "Total", "initial_limits", "tools_of"]

_KIND: Final = "taskbound-scope"
_VERSION: Final = 1


class Others(Enum):
    """What an argument that the grant doesn't mention may be."""

    DEFAULT_ONLY = "default-only"
    """Absent, or the default of the pinned schema."""
    ANY = "any"
    """Whatever the agent likes: breadth, and shown as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """A cumulative limit on a number: the sum over all actions that the grant pays for."""

    path: ArgumentPath
    limit: int
    """In minor units, 1 or more."""
    exponent: int
    """Decimal places of a minor unit, 0 to 9."""
    key: str
    """The key of the limit, such as ``g0/total/amount``."""


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
    """In the order of the paths."""
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
        object.__setattr__(self, "flat", Payer(grant=self.id, charges=flat))

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
            form["total"] = {
                str(one.path): {"limit": one.limit, "exponent": one.exponent} for one in self.totals
            }
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a task may do: its grants, in the order in which they pay."""

    grants: tuple[Grant, ...] = field(compare=False)
    canonical: bytes = field(init=False, repr=False, compare=False)
    """The canonical bytes of the scope as it is written."""
    digest: str = field(init=False)
    """SHA-256 over the canonical bytes of kind, version and scope, in hex; equality is equality of this."""
    by_tool: Mapping[str, tuple[Grant, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the grants and make the digest."""
        form: JsonValue = {"grants": [grant.value() for grant in self.grants]}
        named: dict[str, list[Grant]] = {}
        for grant in self.grants:
            named.setdefault(grant.tool, []).append(grant)
        whole = canonical({"kind": _KIND, "version": _VERSION, "scope": form})
        object.__setattr__(self, "canonical", canonical(form))
        object.__setattr__(self, "digest", sha256(whole).hexdigest())
        object.__setattr__(
            self, "by_tool", MappingProxyType({tool: tuple(some) for tool, some in named.items()})
        )

    def value(self) -> JsonValue:
        """The scope as JSON, in canonical form; a fresh copy each time."""
        return parse_document(self.canonical)


def tools_of(scope: Scope) -> frozenset[str]:
    """The tools that the scope names; no others need be listed to the agent."""
    return frozenset(scope.by_tool)


def initial_limits(scope: Scope) -> dict[str, int]:
    """What each limit has left before the first action, by key."""
    limits: dict[str, int] = {}
    for grant in scope.grants:
        if grant.uses is not None:
            limits[grant.uses_key] = grant.uses
        limits.update((total.key, total.limit) for total in grant.totals)
    return limits
