"""Whether every value that meets a place of one grant meets the same place of another.

1. *Yes* holds for every schema: both grants are compared as they would judge calls to one tool,
   whatever defaults its schema gives. A default is known to neither, so that a member which the
   one leaves at its default must be one that the other leaves at its default too, or takes whatever it is.
2. Each thing that the wider place asks for (its own rule, its items, its members, no others) is shown by
   itself. What isn't shown is a gap, with the path at which it was found; "no" is never a claim.
3. A few known values are tried out instead: they need no proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import Kind
from taskbound.core.scope.constraints.containment import CONTAINED, Contained, NotContained
from taskbound.core.scope.tree import meets
from taskbound.core.scope.verdict import Met
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.tree import Node


_OBJECT: Final = frozenset({Kind.OBJECT})
_LIST: Final = frozenset({Kind.LIST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(NoTruth):
    """What keeps one grant from being shown to be within another."""

    path: str
    """The path at which it was found, as a scope writes it; empty for the arguments as a whole."""
    reason: str
    """Plain words that follow the path, such as "its largest number is above the other's"."""

    @property
    def sentence(self) -> str:
        """The gap in a person's words."""
        return f"`{self.path}`: {self.reason}" if self.path else self.reason


Shown: TypeAlias = Contained | Gap


def place_within(child: Node, parent: Node) -> Shown:
    """Whether every value that meets the child's place meets the parent's."""
    values = None if child.rule is None else child.rule.choices()
    if values is not None:
        return _values_within(child, values, parent)  # rule 3
    for answer in _asked(child, parent):
        if isinstance(answer, Gap):
            return answer
    return CONTAINED


def members_within(child: Node, parent: Node) -> Iterator[Gap]:
    """Every gap between two objects' members, in the order of their names."""
    for name in sorted(child.members.keys() | parent.members.keys()):
        answer = _member_within(name, child, parent)
        if isinstance(answer, Gap):
            yield answer
    if parent.closed and not child.closed:
        yield Gap(path=child.path.text, reason="it leaves other arguments open, and the other doesn't")


def _asked(child: Node, parent: Node) -> Iterator[Shown]:
    """The answer to each thing that the parent's place asks for (rule 2)."""
    if parent.rule is not None:
        yield _rule_within(child, parent.rule)
    if parent.items is not None:
        yield _items_within(child, parent.items)
    if parent.members:
        if not child.members and not _is_always(child, _OBJECT):
            yield Gap(path=child.path.text, reason="it need not be an object")
        else:
            yield from members_within(child, parent)


def _rule_within(child: Node, rule: Constraint) -> Shown:
    if child.rule is None:
        if rule.permits_all:
            return CONTAINED
        return Gap(path=child.path.text, reason="the whole value is constrained only in the other")
    match child.rule.within(rule):
        case NotContained(reason=reason):
            return Gap(path=child.path.text, reason=reason)
        case Contained() as contained:
            return contained


def _items_within(child: Node, items: Node) -> Shown:
    if child.items is not None:
        return place_within(child.items, items)
    if not _is_always(child, _LIST):
        return Gap(path=child.path.text, reason="it need not be a list")
    if _takes_all(items):
        return CONTAINED
    return Gap(path=items.path.text, reason="each item is constrained only in the other")


def _member_within(name: str, child: Node, parent: Node) -> Shown:
    """What a member may be in the child, against what it must be in the parent."""
    mine, theirs = child.members.get(name), parent.members.get(name)
    never = mine is not None and mine.rule is not None and not mine.rule.kinds
    if theirs is None:
        if mine is not None and parent.closed and not never:
            return Gap(path=mine.path.text, reason="the other doesn't mention it")
        return CONTAINED
    if theirs.required and (mine is None or not mine.required):
        return Gap(path=theirs.path.text, reason="it may be left out, and the other asks for it")
    if mine is not None:
        return place_within(mine, theirs)
    if _takes_all(theirs):
        return CONTAINED
    what = "it may be left at its default" if child.closed else "it may be anything"
    return Gap(path=theirs.path.text, reason=f"{what}, and the other constrains it")  # rule 1


def _values_within(child: Node, values: tuple[JsonValue, ...], parent: Node) -> Shown:
    # A place with a rule of its own is open below, so that no default is asked for; in the parent's, a
    # schema could only let more pass.
    for value in values:
        if isinstance(meets(child, value, None), Met) and not isinstance(meets(parent, value, None), Met):
            return Gap(path=child.path.text, reason="it permits a value that the other doesn't")
    return CONTAINED


def _is_always(node: Node, kinds: frozenset[Kind]) -> bool:
    """Whether the rule at a place, or what stands below it, lets values of these kinds alone pass."""
    if node.rule is not None and node.rule.kinds <= kinds:
        return True
    return kinds == (_LIST if node.items is not None else _OBJECT) and not node.is_leaf


def _takes_all(node: Node) -> bool:
    return node.is_leaf and node.rule is not None and node.rule.permits_all
