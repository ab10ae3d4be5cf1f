"""What would change an answer: each fact and argument that was read, changed alone.

1. One thing is changed at a time, within its domain; each change is a question to the engine.
2. For each of them the first change that leads to another conclusion is named.
3. At most 400 questions are asked; who reads more than that is told so.
4. `effect` and `tool.effect` are one fact under two names, and change together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import TextKind
from taskbound.core.dataclass import dataclass
from taskbound.core.policy.answer import FACTS, Fact, FactKind, Forbidden
from taskbound.core.policy.case_parts import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy.answer import PolicyConclusion, PolicyRequest, PolicyTrace


_MOST: Final = 400
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "effect": ("read", "write", "destructive"),
    "last_outcome": ("none", "succeeded", "failed", "unknown"),
    "risk": ("low", "medium", "high"),
}
_SETS: Final[Mapping[str, tuple[str, ...]]] = {
    "changed": ("definition", "people", "policy", "risk", "scope"),
    "flags": tuple(sorted(kind.value for kind in TextKind)),
    "task.proven": ("jws",),
    "task.unproven": ("jws",),
}
_NUMBERS: Final = (0, 1, 2, 3, 5, 10, 100, 60, 600, 3_600, 86_400, 604_800)
_TWINS: Final[Mapping[str, str]] = {"effect": "tool.effect", "tool.effect": "effect"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One change that leads to another conclusion."""

    what: str
    """A fact's name, or a pointer of an argument."""
    change: str
    """What it would be instead, in words."""
    answer: str
    """What would be answered then, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """All changes that were found, and whether everything that was read was tried."""

    found: tuple[Turn, ...]
    whole: bool


def turns(
    request: PolicyRequest, trace: PolicyTrace, judge: Callable[[PolicyRequest], PolicyConclusion]
) -> Turns:
    """What would change the answer to this request.

    Args:
        request: The request.
        trace: What the engine looked at for it.
        judge: What is concluded of a request.
    """
    now = _bare(judge(request))
    found: list[Turn] = []
    asked = 0
    seen: set[str] = set()
    for what, change, other in _changes(request, trace):
        if what in seen:
            continue
        if asked >= _MOST:
            return Turns(found=tuple(found), whole=False)  # 3
        asked += 1
        then = judge(other)
        if _bare(then) != now:
            seen.add(what)  # 2
            found.append(Turn(what=what, change=change, answer=words_of(then)))
    return Turns(found=tuple(found), whole=True)


def _bare(found: PolicyConclusion) -> PolicyConclusion:
    """A conclusion without its sentences: another sentence is no other answer."""
    return replace(found, details=()) if isinstance(found, Forbidden) else found


def _changes(request: PolicyRequest, trace: PolicyTrace) -> Iterator[tuple[str, str, PolicyRequest]]:
    done: set[str] = set()
    for name in trace.facts:
        if name in done or name not in request.facts:
            continue
        names = {name, _TWINS.get(name, name)}  # 4
        done |= names
        for value in _others(name, request.facts[name]):
            facts = {**request.facts, **dict.fromkeys(names, value)}
            yield name, f"{name} = {_shown(value)}", replace(request, facts=facts)
    for pointer in trace.arguments:
        name = pointer.split("/")[1] if "/" in pointer else ""
        if not name or name in done or name not in request.arguments:
            continue
        done.add(name)
        for change, arguments in _other_arguments(request.arguments, name):
            yield f"arguments/{name}", change, replace(request, arguments=arguments)


def _others(name: str, value: Fact) -> Iterator[Fact]:
    """Other values of a fact's domain, the nearest first."""
    match FACTS[name], value:
        case FactKind.TRUTH, bool():
            yield not value
        case FactKind.NUMBER, int():
            yield from (one for one in (value + 1, value - 1, *_NUMBERS) if one not in {value, -1})
        case ((FactKind.TEXTS | FactKind.PERSONS), tuple()):
            yield from (tuple(one for one in value if one != gone) for gone in value)
            if name in _SETS:
                kinds = _SETS[name]
                yield from (tuple(sorted({*value, kind})) for kind in kinds if kind not in value)
        case _, str():
            words = _WORDS.get(name.rpartition(".")[2], ("",))
            yield from (one for one in words if one != value)
        case _:
            return


def _other_arguments(
    arguments: Mapping[str, JsonValue], name: str
) -> Iterator[tuple[str, dict[str, JsonValue]]]:
    value = arguments[name]
    if isinstance(value, bool):
        yield f"{name} = {str(not value).lower()}", {**arguments, name: not value}
    elif isinstance(value, int):
        for other in (value + 1, value - 1, 0):
            yield f"{name} = {other}", {**arguments, name: other}
    yield f"without {name}", {one: kept for one, kept in arguments.items() if one != name}


def _shown(value: Fact) -> str:
    if isinstance(value, tuple):
        return "{" + ", ".join(value) + "}"
    return f"`{value}`" if isinstance(value, str) else str(value).lower()
