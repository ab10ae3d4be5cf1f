"""Suggests the narrowest scope that covers some calls.

1. The suggestion covers every call, and is within the ceiling if all calls are.
2. There is one grant for each tool, or for each grant of the ceiling that covers calls of it. Places are
   widened by the rules of ``widen`` as far as the ceiling permits.
3. If no such grant is within the ceiling, each call gets an exact grant.
4. Uses are the most seen in one task, plus half.
5. Each widening is reported with its rule; names and values are escaped (``show``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.scope.algebra import Covers, NotCovers, covers
from taskbound.core.scope.cover import cover
from taskbound.core.scope.grant import MAX_GRANTS, Scope, parse_scope
from taskbound.core.scope.limits import Covered
from taskbound.core.scope.show import bare
from taskbound.core.scope.suggest.widen import Fitted, Widening, fit
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Grant
    from taskbound.core.scope.suggest.widen import MadeCall


MAX_CALLS: Final = 20_000
_EXACT: Final = 64

_Form = dict[str, "JsonValue"]


class NothingToSuggestError(MalformedError):
    """There are no calls to suggest a scope from."""

    code = "nothing-to-suggest"
    remedy = "name a task whose actions were permitted, or a file with a call on each line"


class TooManyCallsError(MalformedError):
    """There are too many calls to suggest a scope from."""

    code = "too-many-calls"
    remedy = "name fewer tasks, or a later `--since`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion(NoTruth):
    """A suggested scope."""

    scope: Scope
    widenings: tuple[Widening, ...]
    """In the order of the grants."""
    calls: int
    within: Covers | NotCovers | None
    """Whether the scope is within the ceiling; ``None`` when there is no ceiling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A grant without its id."""

    form: _Form
    told: tuple[tuple[str, str, str, bool], ...]
    """(path, what, why, broad)."""


def suggest(
    calls: Sequence[MadeCall],
    *,
    ceiling: Scope | None = None,
    schemas: Mapping[str, Mapping[str, JsonValue]] | None = None,
) -> Suggestion:
    """Returns the narrowest scope for these calls; `schemas` are pinned, by tool, for defaults."""
    if not calls:
        raise NothingToSuggestError("no call was found")
    if len(calls) > MAX_CALLS:
        raise TooManyCallsError(f"there are {len(calls)} calls; at most {MAX_CALLS} are looked at")
    known = schemas or {}
    parts: list[_Part] = []
    for (tool, _), (grant, some) in sorted(_groups(calls, ceiling, known).items()):
        parts += _parts(some, grant, known.get(tool))
    whole = _joined(parts)
    if len(whole) > MAX_GRANTS:
        raise TooManyCallsError(f"they would need {len(whole)} grants; a scope has at most {MAX_GRANTS}")
    scope = parse_scope({"grants": [part.form for part in whole]})
    widenings = tuple(
        Widening(grant=f"g{at}", path=path, what=what, why=why, broad=broad)
        for at, part in enumerate(whole)
        for path, what, why, broad in part.told
    )
    within = None if ceiling is None else covers(ceiling, scope)
    return Suggestion(scope=scope, widenings=widenings, calls=len(calls), within=within)


def _groups(
    calls: Sequence[MadeCall],
    ceiling: Scope | None,
    schemas: Mapping[str, Mapping[str, JsonValue]],
) -> dict[tuple[str, str], tuple[Grant | None, list[MadeCall]]]:
    payers: list[tuple[str, ...]] = []
    for call in calls:
        found = None if ceiling is None else cover(ceiling, call.tool, call.arguments, schemas.get(call.tool))
        payers.append(tuple(one.grant for one in found.payers) if isinstance(found, Covered) else ())
    often = Counter(name for names in payers for name in names)
    by_id = {grant.id: grant for grant in ceiling.grants} if ceiling is not None else {}
    groups: dict[tuple[str, str], tuple[Grant | None, list[MadeCall]]] = {}
    for call, names in zip(calls, payers, strict=True):
        best = max(names, key=lambda name: (often[name], name), default="")
        groups.setdefault((call.tool, best), (by_id.get(best), []))[1].append(call)
    return groups


def _parts(
    calls: Sequence[MadeCall], grant: Grant | None, schema: Mapping[str, JsonValue] | None
) -> list[_Part]:
    tool, arguments = calls[0].tool, [one.arguments for one in calls]
    bound = None if grant is None else Scope(grants=(grant,))
    found = fit(tool, arguments, schema, bound)
    if found is not None:
        return [_counted(found, calls)]
    exact = list(_exact(calls, schema, bound))
    if exact:
        return exact
    found = fit(tool, arguments, schema, None)
    if found is None:
        why = "its arguments have names, or are so many, that no grant can say them one by one"
        found = Fitted(form={"tool": tool, "others": "any"}, told=(("", "any arguments", why, True),))
    if bound is not None:
        outside = ("", "maybe more than the ceiling", "it was not shown to be within the ceiling", True)
        found = Fitted(form=found.form, told=(outside, *found.told))
    return [_counted(found, calls)]


def _exact(
    calls: Sequence[MadeCall], schema: Mapping[str, JsonValue] | None, bound: Scope | None
) -> Iterator[_Part]:
    distinct: dict[bytes, list[MadeCall]] = {}
    for call in calls:
        distinct.setdefault(canonical(dict(call.arguments)), []).append(call)
    if len(distinct) > _EXACT:
        return
    parts: list[_Part] = []
    for some in distinct.values():
        found = fit(some[0].tool, [some[0].arguments], schema, bound)
        if found is None:
            return
        parts.append(_counted(found, some))
    yield from parts


def _counted(found: Fitted, calls: Sequence[MadeCall]) -> _Part:
    uses, told = _uses(calls)
    return _Part(form={**found.form, **uses}, told=(*found.told, *told))


def _uses(calls: Sequence[MadeCall]) -> tuple[_Form, tuple[tuple[str, str, str, bool], ...]]:
    most = max(Counter(one.task for one in calls).values())
    uses = most + (most + 1) // 2
    why = (
        f"`{bare(calls[0].tool)}` was called at most {most} times in one task, and this is half as many again"
    )
    return {"uses": uses}, (("", f"{uses} uses", why, False),)


def _joined(parts: Sequence[_Part]) -> list[_Part]:
    found: dict[bytes, _Part] = {}
    for part in parts:
        key = canonical({name: body for name, body in part.form.items() if name != "uses"})
        before = found.get(key)
        if before is None:
            found[key] = part
            continue
        more, had = part.form["uses"], before.form["uses"]
        if isinstance(more, int) and isinstance(had, int):
            found[key] = _Part(form={**before.form, "uses": more + had}, told=before.told)
    return list(found.values())
