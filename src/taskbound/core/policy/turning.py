"""Finds what would change an answer, by changing each fact, argument or the scope alone.

1. Each change stays within its domain and is asked of the engine. The first one that gives another conclusion
   is named.
2. At most 400 requests are made; the result says if that was not enough.
3. `effect` and `tool.effect` are one fact and change together.

The scope is judged before policy and changed likewise: without the covering grants, or with a grant that
covers. Without a scope the call counts as covered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import TextKind
from taskbound.core.dataclass import dataclass
from taskbound.core.policy.answer import FACTS, Fact, FactKind, Forbidden, conclude
from taskbound.core.policy.case import words_of
from taskbound.core.scope import NotCovered, cover
from taskbound.core.scope.grant import describe_grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.policy.answer import PolicyAnswer, PolicyConclusion, PolicyRequest, PolicyTrace
    from taskbound.core.scope import Covered, Scope


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
class Counterfactual:
    """A change that gives another conclusion."""

    what: str
    """A fact's name, or a pointer of an argument."""
    change: str
    """What it would be instead, in words."""
    answer: str
    """What would be answered then, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactuals:
    """All changes found, and whether everything that was read was tried."""

    found: tuple[Counterfactual, ...]
    whole: bool


def turns(
    request: PolicyRequest, trace: PolicyTrace, judge: Callable[[PolicyRequest], PolicyConclusion]
) -> Counterfactuals:
    """Returns the changes for a request; `judge` concludes a changed request."""
    now = _bare(judge(request))
    found: list[Counterfactual] = []
    asked = 0
    seen: set[str] = set()
    for what, change, other in _changes(request, trace):
        if what in seen:
            continue
        if asked >= _MOST:
            return Counterfactuals(found=tuple(found), whole=False)  # 2
        asked += 1
        then = judge(other)
        if _bare(then) != now:
            seen.add(what)  # 1
            found.append(Counterfactual(what=what, change=change, answer=words_of(then)))
    return Counterfactuals(found=tuple(found), whole=True)


def _bare(found: PolicyConclusion) -> PolicyConclusion:
    return replace(found, details=()) if isinstance(found, Forbidden) else found


def _changes(request: PolicyRequest, trace: PolicyTrace) -> Iterator[tuple[str, str, PolicyRequest]]:
    done: set[str] = set()
    for name in trace.facts:
        if name in done or name not in request.facts:
            continue
        names = {name, _TWINS.get(name, name)}  # 3
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


_OUTSIDE: Final = "outside-scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsFor:
    """The grants that cover a call, or why the nearest does not."""

    covering: tuple[str, ...]
    """Each grant that covers in words, in the order in which they are to pay."""
    nearest: tuple[str, ...]
    """When none does: what missed, and what would have been covered, a sentence each."""


def grants_for(scope: Scope, request: PolicyRequest, *, step: int = 0) -> GrantsFor:
    found = _look(scope, request, step)
    if isinstance(found, NotCovered):
        return GrantsFor(covering=(), nearest=found.sentences)
    ids = [one.grant for one in found.payers]
    named = {one.id: describe_grant(one) for one in scope.grants if one.id in ids}
    return GrantsFor(covering=tuple(named[one] for one in ids), nearest=())


def conclude_within(
    scope: Scope | None, request: PolicyRequest, answer: PolicyAnswer, *, step: int = 0
) -> PolicyConclusion:
    found = None if scope is None else _look(scope, request, step)
    if isinstance(found, NotCovered):
        return Forbidden(code=_OUTSIDE, policies=(), details=found.sentences)
    return conclude(answer)


def turns_within(
    scope: Scope | None,
    request: PolicyRequest,
    trace: PolicyTrace,
    ask: Callable[[PolicyRequest], PolicyAnswer],
    *,
    step: int = 0,
) -> Counterfactuals:
    """Returns the changes of facts, arguments and scope; `ask` is the engine."""
    if scope is None:
        return turns(request, trace, lambda one: conclude(ask(one)))
    grants = scope.at(step).by_tool.get(request.tool, ())
    constrained = {f"arguments/{name}": None for grant in grants for name in grant.tree.members}
    told = replace(trace, arguments=tuple({**dict.fromkeys(trace.arguments), **constrained}))
    more = turns(request, told, lambda one: conclude_within(scope, one, ask(one), step=step))
    return replace(more, found=(_turn_of_scope(scope, request, ask, step), *more.found))


def _turn_of_scope(
    scope: Scope, request: PolicyRequest, ask: Callable[[PolicyRequest], PolicyAnswer], step: int
) -> Counterfactual:
    found = _look(scope, request, step)
    if isinstance(found, NotCovered):
        then = words_of(conclude(ask(request)))
        return Counterfactual(what="scope", change="with a grant that covers it as it is", answer=then)
    ids = [one.grant for one in found.payers]
    named = "grant" if len(ids) == 1 else "grants"
    return Counterfactual(
        what="scope", change=f"without {named} {', '.join(ids)}", answer=f"refuse, {_OUTSIDE}"
    )


def _look(scope: Scope, request: PolicyRequest, step: int) -> Covered | NotCovered:
    return cover(scope, request.tool, request.arguments, request.schema, step=step)
