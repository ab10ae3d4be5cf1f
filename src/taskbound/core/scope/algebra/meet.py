"""Computes what the arguments of two grants both permit, path by path.

1. Two rules at a path become the narrower one, the values that both permit, one range, or ``all_of``.
2. A member that one grant mentions and the other keeps closed must be absent, or at its default if the first
   takes any default; if the first requires it, nothing meets both.
3. A rule opens everything below it. If the other grant keeps it closed below, both can be written at once
   only for a rule that takes every value or a few known ones.
4. If both mention members of a place and no value of it meets both, the place must be absent; unmentioned, it
   could be at a default that neither grant permits.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.constraint import MAX_PARTS, Contained, Excluded, Kind
from taskbound.core.scope.constraints.range import Range
from taskbound.core.scope.path import Items, meets
from taskbound.core.scope.values import Match
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.path import Node


Form: TypeAlias = "dict[str, JsonValue]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeetable(NoTruth):
    """Nothing meets both, or it cannot be written as a grant."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What both permit, in the form of a grant."""

    arguments: Form = field(default_factory=dict)
    optional: list[str] = field(default_factory=list)


class _NoMeetingError(Exception):
    pass


def meet_trees(one: Node, two: Node) -> Meeting | Unmeetable:
    meeting = Meeting()
    try:
        _meet_members(one, two, meeting)
    except _NoMeetingError as error:
        return Unmeetable(reason=str(error))
    return meeting


def _meet_members(one: Node, two: Node, into: Meeting) -> None:
    for name in sorted(one.members.keys() | two.members.keys()):
        mine, theirs = one.members.get(name), two.members.get(name)
        if mine is not None and theirs is not None:
            _meet(mine, theirs, into)
        elif mine is not None:
            _meet_unmentioned(mine, two, into)
        elif theirs is not None:
            _meet_unmentioned(theirs, one, into)


def _meet_unmentioned(node: Node, other: Node, into: Meeting) -> None:
    if not other.closed:
        _copy(node, into)
        return
    path = node.path.text
    if node.required:
        raise _NoMeetingError(f"`{path}`: one asks for it, and the other doesn't mention it")
    if not (node.is_leaf and node.rule is not None and node.rule.permits_all):
        into.arguments[path] = {"absent": True}
        into.optional.append(path)


def _meet(one: Node, two: Node, into: Meeting) -> None:
    path = one.path.text
    for mine, theirs in ((one, two), (two, one)):
        values = None if mine.rule is None else mine.rule.choices()
        if values is not None:
            into.arguments[path] = _few(path, mine, theirs, values)
            _write_optional(one, two, into)
            return
    rules = [rule for rule in (one.rule, two.rule) if rule is not None]
    if len(rules) == 1:
        rules = _open_below(*((one, two) if two.rule is None else (two, one)))
    if rules:
        into.arguments[path] = _both(path, rules, required=one.required or two.required)
    _require_entered(rules, one, two)
    _meet_below(one, two, into)
    _write_optional(one, two, into)


def _require_entered(rules: list[Constraint], one: Node, two: Node) -> None:
    members = [*one.members.values(), *two.members.values()]
    listed = one.items is not None or two.items is not None
    kinds = frozenset(Kind).intersection(*(rule.kinds for rule in rules))
    if (members and Kind.OBJECT not in kinds) or (listed and Kind.LIST not in kinds):
        raise _NoMeetingError(
            f"`{one.path.text}`: the rule of the one and what the other asks for below it can't be joined"
        )


def _meet_below(one: Node, two: Node, into: Meeting) -> None:
    listed = one.items is not None or two.items is not None
    if listed and (one.members or two.members):
        raise _NoMeetingError(f"`{one.path.text}`: one asks for a list, and the other for an object")
    if one.items is not None and two.items is not None:
        _meet(one.items, two.items, into)
    elif one.items is not None:
        _copy(one.items, into)
    elif two.items is not None:
        _copy(two.items, into)
    else:
        _meet_members(one, two, into)


def _open_below(ruled: Node, other: Node) -> list[Constraint]:
    rule = ruled.rule
    if rule is None or (other.closed and rule.permits_all and (other.required or not ruled.required)):
        return []
    if not other.closed:
        return [rule]
    raise _NoMeetingError(
        f"`{ruled.path.text}`: the rule of the one and what the other asks for below it can't be joined"
    )


def _few(path: str, mine: Node, theirs: Node, values: Iterable[JsonValue]) -> Form:
    kept = [
        one
        for one in values
        if isinstance(meets(mine, one, None), Match) and isinstance(meets(theirs, one, None), Match)
    ]
    if not kept:
        if mine.required or theirs.required:
            raise _NoMeetingError(f"`{path}`: no value is permitted by both")
        return {"absent": True}
    return {"equals": kept[0]} if len(kept) == 1 else {"one_of": kept}


def _both(path: str, rules: list[Constraint], *, required: bool) -> Form:
    if len(rules) == 1:
        return _form(rules[0])
    one, two = rules
    if isinstance(one.excludes(two), Excluded):
        if required:
            raise _NoMeetingError(f"`{path}`: they exclude each other")
        return {"absent": True}
    if isinstance(one.within(two), Contained):
        return _form(one)
    if isinstance(two.within(one), Contained):
        return _form(two)
    if isinstance(one, Range) and isinstance(two, Range):
        low = one if one.low >= two.low else two
        high = one if one.high <= two.high else two
        return {"range": {"min": low.min, "max": high.max}}
    parts = {part.form(): part for rule in rules for part in rule.conjuncts() or (rule,)}
    if len(parts) > MAX_PARTS:
        raise _NoMeetingError(f"`{path}`: both together are more than {MAX_PARTS} constraints")
    return {"all_of": [_form(part) for part in parts.values()]}


def _copy(node: Node, into: Meeting) -> None:
    if node.rule is not None:
        into.arguments[node.path.text] = _form(node.rule)
    if node.items is not None:
        _copy(node.items, into)
    for inner in node.members.values():
        _copy(inner, into)
    _write_optional(node, node, into)


def _write_optional(one: Node, two: Node, into: Meeting) -> None:
    path = one.path
    if path.steps[-1] is Items.EACH:
        return
    written = path.text in into.arguments or any(
        name.startswith((f"{path.text}.", f"{path.text}[")) for name in into.arguments
    )
    if one.required or two.required:
        return
    if not written:  # 4
        into.arguments[path.text] = {"absent": True}
    into.optional.append(path.text)


def _form(rule: Constraint) -> Form:
    return {rule.tag: rule.value()}
