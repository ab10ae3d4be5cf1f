"""What is wrong with policies that can be about operations of our own API, found before they are in force.

1. A policy that would refuse operations that nobody meant is a problem (`bundle`, rule 6).
2. An operation, or a group of them, that a head names must exist; a name that is near is hinted at.
3. A fact that a policy names, also with `has`, must be one of an operation that its head fits.
4. Cedar's validator reads each for the operations that its head names; one that names groups or none for one
   operation of each kind of context, group and resource: those differ by their names alone.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import cedarpy

from taskbound.adapters.policy.cedar.bundle import ACTIONS, is_operation
from taskbound.adapters.policy.cedar.vocabulary import operation_context_of, operations_schema
from taskbound.core.policy.operation import ALL_OPERATIONS, Right
from taskbound.core.policy.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.adapters.policy.cedar.bundle import Policy
    from taskbound.adapters.policy.cedar.head import Fit
    from taskbound.adapters.policy.cedar.text import Piece
    from taskbound.core.policy.operation import Operation


_GROUPS: Final = (ALL_OPERATIONS, *(one.value for one in Right))
_CALLS_ONLY: Final = f'write `action in {ACTIONS}::"call"`, or name the operations that it is about'


def operation_problems(
    pieces: Sequence[Piece], policies: Sequence[Policy]
) -> Iterator[tuple[int, tuple[str, str]]]:
    """The number of each policy with a problem, the problem's words and a hint."""
    sound: list[int] = []
    for number, policy in enumerate(policies):
        if not policy.operations:
            continue
        wrong = _wrong(policy)
        if wrong is None:
            sound.append(number)
        else:
            yield number, wrong
    named = [one for one in sound if all(fit[:1] == ("==",) for fit in policies[one].head.actions)]
    kinds = {operation_context_of(one): one for one in OPERATIONS.values()}
    for numbers, operations in (
        (named, _fitting([fit for one in named for fit in policies[one].head.actions])),
        ([one for one in sound if one not in named], list(kinds.values())),
    ):
        yield from _validated(pieces, numbers, operations)


def _wrong(policy: Policy) -> tuple[str, str] | None:
    """What is wrong with it by rules 1 to 3; none when nothing is."""
    if policy.unfit:
        return f"it can be about operations, and must not: {policy.unfit}", _CALLS_ONLY
    for fit in policy.head.actions:
        if fit and is_operation(fit[-1]):
            name, group = fit[-1], fit[0] == "in"
            if fit[0] == "==" and name in _GROUPS:
                return f"`{name}` is a group of operations", f'write `action in {ACTIONS}::"{name}"`'
            if name not in OPERATIONS and not (group and name in _GROUPS):
                return f"no operation is named `{name}`", _near(name, [*OPERATIONS, *_GROUPS])
    fitting = _fitting(policy.head.actions)
    known = {fact for one in fitting for fact in one.facts}
    for name in sorted(policy.operation_facts - known) if policy.reads is not None else ():
        if not policy.calls:
            return f"no operation that it is for has the fact `{name}`", _near(name, sorted(known))
    return None


def _fitting(fits: Sequence[Fit]) -> list[Operation]:
    """The operations that these parts of heads can be about."""
    return [
        one
        for one in OPERATIONS.values()
        if any(not fit or fit[-1] == one.name or fit[-1] in one.groups for fit in fits)
    ]


def _validated(
    pieces: Sequence[Piece], numbers: Sequence[int], operations: Sequence[Operation]
) -> Iterator[tuple[int, tuple[str, str]]]:
    if not numbers:
        return
    text = "\n".join(pieces[number].text for number in numbers)
    told: set[int] = set()
    for error in cedarpy.validate_policies(text, operations_schema(operations)).errors:
        place = error.policy_id.removeprefix("policy")
        words = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
        number = numbers[int(place)] if place.isdigit() else numbers[0]
        if number not in told:
            told.add(number)
            yield number, (words, "see docs/reference/operations.md")


def _near(name: str, known: Sequence[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f"did you mean `{found[0]}`?" if found else ""
