"""Finds the problems of a bundle before it is in force: file, line and column.

1. Errors that keep a policy from being read come first, then conflicts with the pinned tools.
2. Cedar's validator treats `has` of an unknown attribute as never true. So every argument that a policy names
   must exist in a tool that its head fits; a similar name is suggested.
3. At most 100 problems are reported.
4. A policy whose head fits no pinned tool is a problem.
5. The validator reads a policy once for each action of the schema. So it gets the actions that the policy
   names, and otherwise one action for each type of context. A policy with an escape in its text gets all, as
   the escape may spell an action's name.
6. A policy about operations is validated for the operations that its head fits. Its names of operations,
   groups and facts must exist there; it must not refuse operations by accident (`bundle`, rule 6).
7. A hold whose lifter cannot be given, or names a group that does not exist, is a problem (`not-liftable`,
   `no-approver`).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import cedarpy

from taskbound.adapters.policy.cedar.bundle import (
    ACTIONS,
    CALL,
    Piece,
    is_operation,
    locate,
    read_bundle,
    split,
)
from taskbound.adapters.policy.cedar.reads import EntityPath, paths, reads_within
from taskbound.adapters.policy.cedar.vocabulary import (
    Choice,
    Record,
    Shape,
    Unmappable,
    context_of,
    counted,
    keyed,
    operation_context_of,
    operations_schema,
    schema_of,
    shape_of,
)
from taskbound.core.approval import AGENT, NeedKind, UnliftableError, needs_of
from taskbound.core.policy import FACTS, PolicyProblem, PolicySyntaxError
from taskbound.core.policy.operation import ALL_OPERATIONS, Right
from taskbound.core.policy.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from taskbound.adapters.policy.cedar.bundle import Policy
    from taskbound.adapters.policy.cedar.reads import Fit
    from taskbound.core.policy import PolicyTool
    from taskbound.core.policy.operation import Operation


_GROUPS: Final = (ALL_OPERATIONS, *(one.value for one in Right))
_CALLS_ONLY: Final = f'write `action in {ACTIONS}::"call"`, or name the operations that it is about'


def operation_problems(
    pieces: Sequence[Piece], policies: Sequence[Policy]
) -> Iterator[tuple[int, tuple[str, str]]]:
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


_TYPES: Final = ("Agent", "Group", "Person", "Server", "Target", "Task", "Tool", "Action")
_MOST: Final = 100
_BATCH: Final = 50
"""Policies that are validated together, with the actions that they name."""
_APART: Final = re.compile(r'[\s"]+')
"""What stands around the name of a tool in a text."""
_PATH: Final = re.compile(r"`[^`]*`")


def problems_of(
    files: Mapping[str, str], tools: Sequence[PolicyTool], groups: Collection[str] | None = None
) -> tuple[PolicyProblem, ...]:
    """Returns the problems of a bundle's files, in order; `groups` None means unknown (rule 7)."""
    found: list[PolicyProblem] = []
    names: dict[str, str] = {}
    read: list[tuple[str, tuple[Piece, ...], tuple[Policy, ...]]] = []
    for file, text in files.items():
        try:
            pieces, policies = split(text), read_bundle(text).policies
        except PolicySyntaxError:
            found += _unreadable(file, text)  # 1
            continue
        for piece, policy in zip(pieces, policies, strict=True):
            first = names.setdefault(policy.name.casefold(), file)
            if first != file:
                found.append(
                    _problem(file, piece, policy.name, f"`{first}` has a policy of this name as well")
                )
        read.append((file, pieces, policies))
    if found:
        return tuple(found)
    known = _Words(tools)
    for file, every, named in read:
        wrong = operation_problems(every, named)  # 6
        more = [_problem(file, every[number], named[number].name, *one) for number, one in wrong]
        more += _unliftable(file, every, named, groups)  # 7
        found += more[: _MOST - len(found)]
        if not tools:
            continue
        pieces, policies = _of_calls(every, named)
        for piece, policy in zip(pieces, policies, strict=True):
            if len(found) < _MOST:  # 3
                found += [_problem(file, piece, policy.name, *one) for one in known.strange(policy)]
        strange = {one.policy for one in found}
        for name, problem in _invalid(file, pieces, policies, validated(pieces, policies, tools), known):
            if name not in strange and len(found) < _MOST:
                strange.add(name)
                found.append(problem)
    return tuple(sorted(found, key=lambda one: (list(files).index(one.file), one.line, one.column)))


def _unliftable(
    file: str, pieces: Sequence[Piece], policies: Sequence[Policy], groups: Collection[str] | None
) -> Iterator[PolicyProblem]:
    for piece, policy in zip(pieces, policies, strict=True):
        why = _lifted_by_nothing(policy.lifter, groups)
        if why is not None:
            yield _problem(file, piece, policy.name, *why)


def _lifted_by_nothing(lifter: str, groups: Collection[str] | None) -> tuple[str, str] | None:
    try:
        needs = needs_of((lifter,) if lifter else ())
    except UnliftableError as error:
        return f"{error.code}: {error.message}", error.advice
    if groups is None:
        return None
    for need in needs:
        if need.kind is NeedKind.APPROVAL and need.group != AGENT and need.group not in groups:
            there = ", ".join(f"`{one}`" for one in sorted(groups))
            words = f"unknown-group: no group is named `{need.group}`, which `@hold` asks"
            return (
                words,
                f"the groups are {there}" if there else "there are no groups: `taskbound person group add`",
            )
    return None


def _of_calls(
    pieces: Sequence[Piece], policies: Sequence[Policy]
) -> tuple[tuple[Piece, ...], tuple[Policy, ...]]:
    both = [(piece, policy) for piece, policy in zip(pieces, policies, strict=True) if policy.calls]
    return tuple(one for one, _ in both), tuple(one for _, one in both)


def _unreadable(file: str, text: str) -> Iterator[PolicyProblem]:
    try:
        pieces = split(text)
    except PolicySyntaxError as error:
        yield _placed(file, error, 1, 1)
        return
    named = 0
    for piece in pieces:
        try:
            read_bundle(piece.text)
        except PolicySyntaxError as error:
            named += 1
            if named > _MOST:
                return
            yield _placed(file, error, piece.words[0].line, piece.words[0].column)
    if not named:
        try:
            read_bundle(text)
        except PolicySyntaxError as error:
            yield _placed(file, error, 1, 1)


def _placed(file: str, error: PolicySyntaxError, line: int, column: int) -> PolicyProblem:
    at, _, along = (error.where or "").partition(":")
    row, across = (int(at), int(along)) if at.isdigit() and along.isdigit() else (1, 1)
    quoted = re.findall(r"`([^`]*)`", str(error))
    hint = _problems_near(quoted[-1].rpartition(".")[2], [*FACTS, *_tails(FACTS)]) if quoted else ""
    return PolicyProblem(
        file=file,
        line=line + row - 1,
        column=across + column - 1 if row == 1 else across,
        policy="",
        words=str(error),
        hint=hint or error.remedy,
    )


def _problem(file: str, piece: Piece, policy: str, words: str, hint: str = "") -> PolicyProblem:
    where = locate(PolicySyntaxError(words), piece).where or "1:1"
    line, _, column = where.partition(":")
    return PolicyProblem(file=file, line=int(line), column=int(column), policy=policy, words=words, hint=hint)


def _invalid(
    file: str,
    pieces: Sequence[Piece],
    policies: Sequence[Policy],
    errors: Iterable[tuple[int | None, str]],
    words: _Words,
) -> Iterator[tuple[str, PolicyProblem]]:
    for number, text in errors:
        if number is None:
            yield "", PolicyProblem(file=file, line=1, column=1, policy="", words=text, hint="")
            continue
        piece, policy = pieces[number], policies[number]
        yield policy.name, _problem(file, piece, policy.name, text, words.hint(text))


def validated(
    pieces: Sequence[Piece], policies: Sequence[Policy], tools: Sequence[PolicyTool]
) -> Iterator[tuple[int | None, str]]:
    """Yields the validator's findings: the policy's number, if known, and the message (rule 5)."""
    known = {one.name: one for one in tools}
    bound: list[int] = []
    free: list[int] = []
    escaped: list[int] = []
    for number, (piece, policy) in enumerate(zip(pieces, policies, strict=True)):
        named = all(fit[:2] == ("==", ACTIONS) for fit in policy.head.actions)
        (escaped if "\\" in piece.text else bound if named else free).append(number)
    for first in range(0, len(bound), _BATCH):
        some = bound[first : first + _BATCH]
        yield from _validate(pieces, some, [known[name] for name in _named(pieces, some, known)])
    if free:
        names = _named(pieces, free, known)
        kinds: dict[str, PolicyTool] = {}
        for name, tool in known.items():
            if name not in names:
                kinds.setdefault(context_of(tool), tool)
        yield from _validate(pieces, free, [*(known[name] for name in names), *kinds.values()])
    if escaped:
        yield from _validate(pieces, escaped, tools)


def _named(
    pieces: Sequence[Piece], numbers: Sequence[int], known: Mapping[str, PolicyTool]
) -> dict[str, None]:
    words = (word for number in numbers for word in _APART.split(pieces[number].text))
    return {word: None for word in words if word in known}


def _validate(
    pieces: Sequence[Piece], numbers: Sequence[int], tools: Sequence[PolicyTool]
) -> Iterator[tuple[int | None, str]]:
    text = "\n".join(pieces[number].text for number in numbers)
    for error in cedarpy.validate_policies(text, schema_of(tools)).errors:
        number = error.policy_id.removeprefix("policy")
        words = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
        yield (numbers[int(number)] if number.isdigit() else None), words


class _Words:
    def __init__(self, tools: Sequence[PolicyTool]) -> None:
        self._shapes = {one.name: shape_of(one.schema) for one in tools}
        self._by_action: dict[Fit, list[str]] = {}
        self._resources: dict[str, frozenset[Fit]] = {}
        for one in tools:
            actions, self._resources[one.name] = _fits(one)
            for fit in actions:
                self._by_action.setdefault(fit, []).append(one.name)

    def strange(self, policy: Policy) -> Iterator[tuple[str, str]]:
        """Yields names in the policy that no tool of its head has (rules 2 and 4)."""
        head = policy.head
        named_by_action = dict.fromkeys(name for fit in head.actions for name in self._by_action.get(fit, ()))
        fitting = [name for name in named_by_action if head.resource in self._resources[name]]
        if not fitting:
            named = [fit[-1] for fit in (*policy.head.actions, policy.head.resource) if fit]
            name = named[0].rpartition("/")[2] if named else ""
            yield f"no pinned tool fits its head (`{name}`)", _problems_near(name, list(self._shapes))
            return
        shapes = [self._shapes[name] for name in fitting]
        for path, whole in paths(reads_within(policy.reads, "context", "arguments")):
            missing = [_missing(shape, path, whole=whole) for shape in shapes]
            wrong = [one for one in missing if one]
            if len(wrong) == len(missing):
                yield wrong[0]
        for beside, pointers in (("counts", counted), ("keys", keyed)):
            asked = [path for path, _ in paths(reads_within(policy.reads, "context", beside)) if path]
            known = [one for shape in shapes for one in pointers(shape)] if asked else []
            for path in asked:
                if path[0] not in known:
                    words = f"`context.{beside}` of the tools that it is for has no `{path[0]}`"
                    yield words, _problems_near(path[0], known)

    def hint(self, text: str) -> str:
        quoted = [one.strip("`") for one in _PATH.findall(text)]
        if not quoted:
            return ""
        last = re.findall(r"[\w-]+", quoted[0])[-1:]
        known = [*self._shapes, *_tails(FACTS), *_TYPES]
        return _problems_near(last[0], known) if last else ""


def _fits(tool: PolicyTool) -> tuple[frozenset[Fit], frozenset[Fit]]:
    server = ("Taskbound::Server", f"{tool.namespace}/{tool.server}")
    name = ("Taskbound::Tool", f"{tool.namespace}/{tool.name}")
    action = EntityPath(entity=(ACTIONS, tool.name), above=frozenset({(ACTIONS, CALL)}))
    return frozenset(action.fits()), frozenset(EntityPath(entity=name, above=frozenset({server})).fits())


def _missing(shape: Shape, path: tuple[str, ...], *, whole: bool) -> tuple[str, str] | None:
    above = "context.arguments"
    for number, name in enumerate(path):
        last = number == len(path) - 1
        match shape:
            case Record(members=members) if name in members:
                shape = members[name].shape
            case Record(members={}) if number and last and not whole:
                return None
            case Record(members=members):
                return f"no tool that it is for has `{above}.{name}`", _problems_near(name, list(members))
            case Choice(kinds=kinds) if name in kinds:
                shape = kinds[name]
            case Choice(kinds=kinds):
                return f"`{above}` has no `{name}`", f"it is one of several kinds: {', '.join(kinds)}"
            case _:
                why = f": {shape.why}" if isinstance(shape, Unmappable) else ""
                return f"`{above}` is no record with a `{name}`{why}", ""
        above = f"{above}.{name}"
    return None


def _problems_near(name: str, known: Sequence[str]) -> str:
    if name in known:
        return ""
    found = get_close_matches(name, known, n=1)
    return f"did you mean `{found[0]}`?" if found else ""


def _tails(names: Iterable[str]) -> list[str]:
    return [one.rpartition(".")[2] for one in names]
