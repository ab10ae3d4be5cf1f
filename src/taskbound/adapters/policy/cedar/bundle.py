"""Reads a Cedar bundle: its text, its policies by name, and what they read.

1. Every policy has an `@id`, unique without regard to case: records name policies by it.
2. A policy that reads a fact that does not exist is refused here, not when it errs.
3. Refused as without effect: templates, `@hold` on a permit, an impossible lifter, and
   `action == Taskbound::Action::"call"` (a group needs `in`).
4. Cedar gets no text before its size is checked (`text.split`).
5. A policy's head makes it about calls, about API operations, or about both. For operations it reads facts in
   the context only; if it is about both, each fact must exist for either.
6. A policy about both that reads what operations lack, or has a lifter, would refuse every operation. Older
   bundles have such policies, so they can be read but not put in force.

Cedar recurses until the stack is exhausted (20,000 times `true &&` ends the process). So at most 32 nested
brackets and 200 steps in a policy, 10,000 policies and 8 MiB are allowed. Cedar names no line: a place is
found by the word in its message.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import cedarpy

from taskbound.adapters.policy.cedar.reads import (
    Head,
    HeadIndex,
    Json,
    Reads,
    head_of,
    object_of,
    paths,
    reads_of,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.policy import FACTS, PolicySyntaxError
from taskbound.core.policy.operation import ALL_OPERATIONS, OPERATION_FACTS, STEP_UP, Right, parse_step_up
from taskbound.core.policy.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


MAX_POLICIES: Final = 10_000
MAX_STEPS: Final = 200
"""Operators, brackets, accesses and conditions of one policy."""
MAX_BRACKETS: Final = 32
MAX_BUNDLE: Final = 8 * 1_048_576
"""Characters of a bundle."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)"""
    r"""|(?P<string>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<word>[A-Za-z_][A-Za-z_0-9]*|[0-9]+)"""
    r"""|(?P<mark>::|&&|\|\||==|!=|<=|>=|.)""",
    re.DOTALL,
)
_NESTING: Final = frozenset({"has", "if", "in", "is", "like"})
_FREE: Final = frozenset({",", ":", "::", ";", "@", ")", "]", "}"})
_OPEN: Final = frozenset("([{")
_CLOSE: Final = frozenset(")]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A token with its line and column, both from 1."""

    text: str
    line: int
    column: int
    end: int
    """Where it ends in the text of its piece."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The text of one policy."""

    text: str
    words: tuple[Word, ...]

    def as_permit(self) -> str:
        """Returns the policy as a permit, which matches and errs alike; raises PolicySyntaxError."""
        before = ""
        for word in self.words:
            if word.text in {"permit", "forbid"} and before != "@":
                return f"permit{self.text[word.end :]}"
            before = word.text
        raise PolicySyntaxError("a policy says neither `permit` nor `forbid`")

    def find(self, *wanted: str) -> Word:
        for one in wanted:
            for word in self.words:
                if word.text in {one, f'"{one}"'}:
                    return word
        return self.words[0]


def split(text: str) -> tuple[Piece, ...]:
    """Returns the policies of a text; raises PolicySyntaxError at `line:column` if it exceeds the limits."""
    if len(text) > MAX_BUNDLE:
        raise PolicySyntaxError(f"the bundle is longer than {MAX_BUNDLE} characters")
    pieces: list[Piece] = []
    words: list[Word] = []
    start = steps = depth = 0
    for kind, token, at, line, column in _tokens(text):
        start = start if words else at
        words.append(Word(text=token, line=line, column=column, end=at + len(token) - start))
        if kind == "mark":
            depth += (token in _OPEN) - (token in _CLOSE)
        steps += (kind == "mark" and token not in _FREE) or (kind == "word" and token in _NESTING)
        if steps > MAX_STEPS or depth > MAX_BRACKETS:
            raise PolicySyntaxError(
                f"a policy has more than {MAX_STEPS} operators or {MAX_BRACKETS} brackets in each other",
                where=f"{words[0].line}:{words[0].column}",
                remedy="write a set with `contains`, or make several policies of it",
            )
        if (kind, token) == ("mark", ";"):
            pieces.append(Piece(text=text[start : at + 1], words=tuple(words)))
            words, steps, depth = [], 0, 0
            if len(pieces) > MAX_POLICIES:
                raise PolicySyntaxError(
                    f"the bundle has more than {MAX_POLICIES} policies", where=f"{line}:1"
                )
    if words:
        pieces.append(Piece(text=text[start:], words=tuple(words)))
    return tuple(pieces)


def _tokens(text: str) -> Iterator[tuple[str, str, int, int, int]]:
    line, begins = 1, 0
    for match in _TOKEN.finditer(text):
        kind, token, at = match.lastgroup or "mark", match.group(), match.start()
        if kind != "space":
            yield kind, token, at, line, at - begins + 1
        lines = token.count("\n")
        if lines:
            line += lines
            begins = at + token.rindex("\n") + 1


ACTIONS: Final = "Taskbound::Action"
CALL: Final = "call"
"""The group that every tool's action is in."""

_GROUPS: Final = frozenset({ALL_OPERATIONS, *(one.value for one in Right)})
_OPERATIONS_ALONE: Final = OPERATION_FACTS.keys() - FACTS.keys()
_ON_TOP: Final = {"context": "", "principal": "agent.", "resource": "tool."}
_ARGUMENTS: Final = frozenset({"arguments", "counts", "keys", "nulls"})
_NAMED: Final = "[a-z0-9][a-z0-9._-]{0,63}"
_LIFTER: Final = re.compile(f"confirm|evidence:{_NAMED}|{STEP_UP}|approval:{_NAMED}(:[1-9])?", re.ASCII)
_NAME_LIMIT: Final = 200
_NAME_IT: Final = 'write @id("…") above it'


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy of a bundle."""

    name: str
    forbids: bool
    lifter: str
    """What lifts it, when it is a `forbid` that holds."""
    reason: str
    """Its `@reason`, for people."""
    head: Head
    reads: Reads
    facts: frozenset[str]
    """The facts of calls among what it reads."""
    as_permit: str
    """Its text as a permit."""
    calls: bool = True
    """Whether its head can fit a call of a tool."""
    operations: bool = False
    """Whether its head can fit an operation of our own API."""
    operation_facts: frozenset[str] = frozenset()
    """The facts of operations among what it reads."""
    unfit: str = ""
    """Why it can't be about operations though its head can fit them; empty when it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A parsed bundle."""

    policies: tuple[Policy, ...]
    index: HeadIndex
    reads: frozenset[str]
    """The facts that any of its policies reads."""


@lru_cache(maxsize=2)
def read_bundle(text: str) -> Bundle:
    """Parses a bundle, once for the last two; raises PolicySyntaxError with `line:column` and the name."""
    pieces = split(text)  # 4
    bodies = _parse(text, pieces)
    policies: list[Policy] = []
    names: set[str] = set()
    for piece, body in zip(pieces, bodies, strict=True):
        try:
            policy = _policy(piece, body, names)
        except PolicySyntaxError as error:
            raise locate(error, piece) from error
        except RecursionError as error:
            raise locate(PolicySyntaxError("a policy is nested too deeply to be read"), piece) from error
        names.add(policy.name.casefold())
        policies.append(policy)
    return Bundle(
        policies=tuple(policies),
        index=HeadIndex([one.head for one in policies]),
        reads=frozenset().union(*[one.facts for one in policies]),
    )


def locate(error: PolicySyntaxError, piece: Piece) -> PolicySyntaxError:
    quoted = re.findall(r"`([^`]*)`", str(error))
    parts = [
        part for one in reversed(quoted) for part in (one, *reversed(re.findall(r'"[^"]*"|[\w-]+', one)))
    ]
    word = piece.find(*parts)
    return PolicySyntaxError(str(error), where=f"{word.line}:{word.column}", remedy=error.remedy)


def _parse(text: str, pieces: Sequence[Piece]) -> Iterator[dict[str, Json]]:
    try:
        document = object_of(json.loads(cedarpy.policies_to_json_str(text)))
    except (ValueError, RecursionError) as error:
        raise _first_error(pieces, str(error)) from error
    if document.get("templates") or document.get("templateLinks"):
        raise PolicySyntaxError(
            "the bundle holds a template, which decides nothing",  # 3
            remedy="write a policy for each principal and resource",
        )
    policies = object_of(document.get("staticPolicies", {}))
    if len(policies) != len(pieces):
        raise PolicySyntaxError("the bundle does not fall into as many policies as Cedar found")
    return (object_of(policies[f"policy{number}"]) for number in range(len(pieces)))


def _first_error(pieces: Sequence[Piece], words: str) -> PolicySyntaxError:
    for piece in pieces:
        try:
            cedarpy.policies_to_json_str(piece.text)
        except ValueError as error:
            return _point_at(piece, str(error))
    return PolicySyntaxError(f"the bundle can't be parsed: {words}")


def _point_at(piece: Piece, words: str) -> PolicySyntaxError:
    """Finds the place as the end of the shortest beginning of the policy with the same error."""
    error = PolicySyntaxError(f"a policy can't be parsed: {words}")
    if "end of input" in words:
        last = piece.words[-1]
        return PolicySyntaxError(str(error), where=f"{last.line}:{last.column}")
    named = set(re.findall(r"`([^`]*)`", words))
    for word in piece.words:
        if word.text in named:
            try:
                cedarpy.policies_to_json_str(piece.text[: word.end])
            except ValueError as shorter:
                if str(shorter) == words:
                    return PolicySyntaxError(str(error), where=f"{word.line}:{word.column}")
    return locate(error, piece)


def _policy(piece: Piece, body: dict[str, Json], taken: set[str]) -> Policy:
    annotations = object_of(body.get("annotations", {}))
    name = annotations.get("id")
    if not isinstance(name, str) or not name or len(name) > _NAME_LIMIT or not name.isprintable():
        raise PolicySyntaxError("a policy has no name that can be shown", remedy=_NAME_IT)  # 1
    if name.casefold() in taken:
        raise PolicySyntaxError(f"two policies are named `{name}`", remedy="give one another @id")  # 1
    forbids = body.get("effect") == "forbid"
    head = head_of(body)
    if ("==", ACTIONS, CALL) in head.actions:  # 3
        raise PolicySyntaxError(
            f'policy `{name}` asks for `action == {ACTIONS}::"{CALL}"`, which nothing is',
            remedy="write `action in` for every tool, or name a tool's own action",
        )
    reads = reads_of(body.get("conditions", []))
    calls, operations = domain_of(head)
    return Policy(
        name=name,
        forbids=forbids,
        lifter=_lifter(name, annotations, forbids=forbids),
        reason=str(annotations.get("reason") or ""),
        head=head,
        reads=reads,
        facts=_facts(name, reads, calls=calls, operations=operations),
        as_permit=piece.as_permit(),
        calls=calls,
        operations=operations,
        operation_facts=_operation_facts(name, reads, calls=calls) if operations else frozenset(),
        unfit=_unfit(annotations, reads, calls=calls) if operations else "",
    )


def _unfit(annotations: Mapping[str, Json], reads: Reads, *, calls: bool) -> str:
    if "hold" in annotations and (calls or parse_step_up(str(annotations["hold"])) is None):
        return "it has `@hold`, and nothing lifts the refusal of an operation but `step-up:…`"
    if calls and reads is None:
        return "it names no action, and reads what only calls can have"
    for path, _ in paths(reads) if calls else ():
        if path[1:] and (path[0] != "context" or path[1] not in OPERATION_FACTS):
            return f"it names no action, and reads `{'.'.join(path)}`, which operations don't have"
    return ""


def domain_of(head: Head) -> tuple[bool, bool]:
    """Returns whether this head can fit calls, and whether it can fit operations (rule 5)."""
    calls = operations = False
    for fit in head.actions:
        if not fit:
            calls = operations = True
        elif is_operation(fit[-1]):
            operations = True
        else:
            calls = True
    return calls, operations


def is_operation(name: str) -> bool:
    """Returns whether the action is an operation or a group of them; a tool's name has `__`."""
    return name in _GROUPS or name in OPERATIONS or (":" in name and "__" not in name)


def _lifter(name: str, annotations: dict[str, Json], *, forbids: bool) -> str:
    if "hold" not in annotations:
        return ""
    lifter = str(annotations["hold"] or "confirm")
    if not forbids:
        raise PolicySyntaxError(f"policy `{name}` has `@hold` and is a permit", remedy="a hold is a `forbid`")
    if not _LIFTER.fullmatch(lifter):
        raise PolicySyntaxError(
            f"policy `{name}` is lifted by `{lifter}`, which does not exist",
            remedy="write confirm, approval:…, evidence:… or step-up:…",
        )
    return lifter


def _operation_facts(name: str, reads: Reads, *, calls: bool) -> frozenset[str]:
    if reads is None:
        return frozenset(OPERATION_FACTS)
    found: set[str] = set()
    for path, whole in paths(reads):
        if path == ("context",) and whole:
            return frozenset(OPERATION_FACTS)
        if path[0] == "context" and len(path) == len(("context", "fact")) and path[1] in OPERATION_FACTS:
            found.add(path[1])
        elif not calls and (path[0] not in {"principal", "resource"} or len(path) > 1 or whole):
            raise PolicySyntaxError(
                f"policy `{name}` reads `{'.'.join(path)}`, which operations don't have",
                remedy="read `context` and one of the operation's facts: see docs/reference/operations.md",
            )
    return frozenset(found)


def _facts(name: str, reads: Reads, *, calls: bool, operations: bool) -> frozenset[str]:
    if not calls:
        return frozenset()
    if reads is None:
        return frozenset(FACTS)
    found: set[str] = set()
    for path, whole in paths(reads):
        if operations and path[0] == "context" and path[1:] and path[1] in _OPERATIONS_ALONE:
            continue
        if path[0] not in _ON_TOP:
            if len(path) > 1:
                raise _unknown(name, ".".join(path))
        elif path[:1] != ("context",) or not _ARGUMENTS.issuperset(path[1:2]) or len(path) == 1:
            found |= _named(name, path, whole=whole)
    return frozenset(found)


def _named(policy: str, path: tuple[str, ...], *, whole: bool) -> set[str]:
    above, rest = _ON_TOP[path[0]], path[1:]
    if path[:2] == ("context", "task"):
        above, rest = "task.", rest[1:]
    if not rest:
        return {one for one in FACTS if one.startswith(above)} if whole else set()
    if "." in rest[0] or above + rest[0] not in FACTS or len(rest) > 1:
        raise _unknown(policy, ".".join(path))
    return {above + rest[0]}


def _unknown(policy: str, path: str) -> PolicySyntaxError:
    return PolicySyntaxError(
        f"policy `{policy}` reads `{path}`, which does not exist",
        remedy=f"read `context.arguments`, `counts`, `keys`, `nulls` or one of {', '.join(FACTS)}",
    )
