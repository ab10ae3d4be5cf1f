"""Finds constraints that permit the values seen at a place, the best first, and fits them within a bound.

1. One value: equals.
2. Numbers: from the smallest to the largest.
3. Three or more absolute paths: below their common directory, unless it is the root or above known roots.
4. Three or more URLs: their hosts. More than eight e-mail addresses: their domains, if at most eight.
5. Up to eight values: one_of.
6. More texts: a common prefix of four or more characters that is not a path; else any. Both are broad.
7. Last, one_of all values, for a ceiling that permits nothing wider.
8. A likely secret is never written: any value, or nothing if the ceiling does not permit that.

Fitting starts with the widest choice of each place and tries the next where the bound does not permit it, in
a bounded search. A place that the bound constrains as a whole is not entered; a constrained place that no
call gave is left out. An object or list that cannot be entered (always empty, of several kinds, always equal,
or with a name that a path cannot express) counts as a value. A place missing in some calls is optional. A
member always at the pinned schema's default is not mentioned.
"""

from __future__ import annotations

from dataclasses import field
from posixpath import commonpath
from typing import TYPE_CHECKING, Final

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.scope.constraints.below import Below
from taskbound.core.scope.constraints.choice import MAX_CHOICES
from taskbound.core.scope.constraints.constraint import read_constraint
from taskbound.core.scope.constraints.registry import CONSTRAINTS
from taskbound.core.scope.constraints.url import read_email, read_url
from taskbound.core.scope.grant import parse_scope
from taskbound.core.scope.path import (
    Items,
    Place,
    label,
    parse_argument_path,
    path_of,
    schema_of_items,
    schema_of_member,
)
from taskbound.core.scope.posix import resolve
from taskbound.core.scope.show import ScopeSyntaxError, is_secret_name, show
from taskbound.core.scope.values import Match, Mismatch, is_number, same
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Scope
    from taskbound.core.scope.path import ArgumentPath, Step

    Schema = Mapping[str, JsonValue] | None


_FEW: Final = 8
_PATHS: Final = 3
_BEGINNING: Final = 4
_HIDDEN: Final = show("x", "password")


@dataclass(frozen=True, slots=True, kw_only=True)
class Widening:
    """What a suggestion permits beyond what was seen, and by which rule."""

    grant: str
    """The id of the grant."""
    path: str
    """The place; empty for the grant as a whole."""
    what: str
    """What it permits now, in a person's words."""
    why: str
    broad: bool = False
    """Whether a person should look at it twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A constraint that permits all values seen."""

    body: dict[str, JsonValue]
    """As a scope writes it."""
    why: str
    """Empty when nothing was widened."""
    broad: bool = False


def choices_of(seen: ObservedPlace, roots: Sequence[str]) -> tuple[Choice, ...]:
    """Returns the constraints for a place, best first; `roots` are granted by the ceiling."""
    distinct = list({canonical(one): one for one in seen.values}.values())
    if any(_is_hidden(one, seen.path.hint) for one in distinct):
        return (Choice(body={"any": True}, why="what looks like a secret is not written here", broad=True),)
    if len(distinct) == 1:
        return (Choice(body={"equals": distinct[0]}, why=""),)  # 1
    found = [one for one in _proposed(distinct, roots) if _permits_all(one, distinct)]
    if len(distinct) <= MAX_CHOICES and not any("one_of" in one.body for one in found):
        found.append(Choice(body={"one_of": distinct}, why="the ceiling takes nothing wider"))  # 7
    return tuple(found)


def _proposed(distinct: list[JsonValue], roots: Sequence[str]) -> Iterator[Choice]:
    texts = [one for one in distinct if isinstance(one, str)]
    numbers = [one for one in distinct if is_number(one)]
    count = len(distinct)
    if len(numbers) == count:  # 2
        low, high = min(numbers), max(numbers)
        yield Choice(
            body={"range": {"min": low, "max": high}},
            why=f"{count} numbers were seen, from {show(low)} to {show(high)}",
        )
        return
    if len(texts) == count:
        yield from _paths(texts, roots)  # 3
        yield from _urls(texts)  # 4
        yield from _emails(texts)
    if count <= _FEW:  # 5
        yield Choice(body={"one_of": distinct}, why="")
    if len(texts) == count:
        start = _beginning(texts)
        if count > _FEW and len(start) >= _BEGINNING and not start.startswith("/"):  # 6
            why = f"{count} texts were seen, and all begin so"
            yield Choice(body={"prefix": start}, why=why, broad=True)
    yield Choice(body={"any": True}, why=f"{count} values were seen, with nothing in common", broad=True)


def _paths(texts: list[str], roots: Sequence[str]) -> Iterator[Choice]:
    resolved = [resolve(one) for one in texts]
    paths = [one for one in resolved if not isinstance(one, Mismatch)]
    if len(texts) < _PATHS or len(paths) < len(texts):
        return
    why = f"{len(texts)} paths were seen there"
    common = _directory(paths)
    if common != "/":
        yield Choice(body={"below": common}, why=why)
    parts = [[one for one in paths if _is_below(one, root)] for root in roots if root != "/"]
    below = sorted({_directory(part) for part in parts if part})
    if len(below) == 1:
        yield Choice(body={"below": below[0]}, why=f"{why}, below a root of the ceiling")
    elif below:
        options: list[JsonValue] = [{"below": one} for one in below]
        yield Choice(body={"any_of": options}, why=f"{why}, below roots of the ceiling")


def _urls(texts: list[str]) -> Iterator[Choice]:
    read = [read_url(one) for one in texts]
    urls = [one for one in read if not isinstance(one, Mismatch)]
    if len(texts) < _PATHS or len(urls) < len(texts):
        return
    names: list[JsonValue] = [*sorted({one.host for one in urls})]
    schemes: list[JsonValue] = [*sorted({one.scheme for one in urls})]
    if len(names) <= _FEW:
        yield Choice(
            body={"url": {"schemes": schemes, "names": names}},
            why=f"{len(texts)} URLs of {len(names)} hosts were seen",
        )


def _emails(texts: list[str]) -> Iterator[Choice]:
    addresses = [one for one in map(read_email, texts) if one is not None]
    domains: list[JsonValue] = [*sorted({domain for _, domain in addresses})]
    if len(texts) > _FEW and len(addresses) == len(texts) and len(domains) <= _FEW:
        yield Choice(
            body={"email": {"domains": domains}},
            why=f"{len(texts)} addresses of {len(domains)} domains were seen",
            broad=True,
        )


def _directory(paths: Sequence[str]) -> str:
    return commonpath(paths)


def _beginning(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    for at, char in enumerate(first):
        if last[at : at + 1] != char:
            return first[:at]
    return first


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root if root.endswith("/") else f"{root}/")


def _permits_all(choice: Choice, values: Sequence[JsonValue]) -> bool:
    """Returns whether the constraint is valid and permits every value; the rules only propose."""
    try:
        rule = read_constraint(choice.body, Place(), CONSTRAINTS)
    except ScopeSyntaxError:
        return False
    return all(isinstance(rule.permits(one), Match) for one in values)


def _is_hidden(value: JsonValue, name: str) -> bool:
    match value:
        case str():
            return show(value, name) == _HIDDEN
        case list():
            return any(_is_hidden(one, name) for one in value)
        case dict():
            return any(
                _is_hidden(one, name if is_secret_name(name) else inner) for inner, one in value.items()
            )
        case _:
            return False


MAX_PLACES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeCall:
    """A call that was made or is intended."""

    tool: str
    arguments: Mapping[str, JsonValue]
    task: str = ""
    """The task in which it was made; calls that are only meant are all of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedPlace:
    """A place and all values seen there."""

    path: ArgumentPath
    values: tuple[JsonValue, ...]
    """As often as they were seen."""
    calls: int
    """How many of the calls were looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All places of some calls."""

    seen: list[ObservedPlace] = field(default_factory=list)
    optional: list[tuple[ArgumentPath, int, int]] = field(default_factory=list)
    """(path, how often it was there, of how many) of what was left out at times."""
    defaults: list[ArgumentPath] = field(default_factory=list)
    """What only ever held its default."""
    whole: frozenset[str] = frozenset()
    spoken: frozenset[str] = frozenset()


def observe(
    calls: Sequence[Mapping[str, JsonValue]],
    schema: Schema,
    *,
    whole: frozenset[str] = frozenset(),
    spoken: frozenset[str] = frozenset(),
) -> Observed | None:
    """Returns the places; None if a grant cannot express them. `whole` paths are not entered."""
    found = Observed(whole=whole, spoken=spoken)
    if not _are_sayable((), calls):
        return None
    _members((), calls, schema, found, len(calls))
    return found if len(found.seen) <= MAX_PLACES and len(found.optional) <= MAX_PLACES else None


def _members(
    steps: tuple[Step, ...],
    objects: Sequence[Mapping[str, JsonValue]],
    schema: Schema,
    found: Observed,
    calls: int,
) -> None:
    for name in sorted({name for one in objects for name in one}):
        if len(found.seen) > MAX_PLACES:
            return
        values = [one[name] for one in objects if name in one]
        about = schema_of_member(schema, name)
        path = path_of((*steps, name))
        quiet = about is not None and "default" in about and path.text not in found.spoken
        if quiet and about is not None and all(same(about["default"], one) for one in values):
            found.defaults.append(path)
            continue
        if len(values) < len(objects):
            found.optional.append((path, len(values), len(objects)))
        _value((*steps, name), values, about, found, calls)


def _value(
    steps: tuple[Step, ...], values: Sequence[JsonValue], schema: Schema, found: Observed, calls: int
) -> None:
    path = path_of(steps)
    if path.text in found.whole:
        found.seen.append(ObservedPlace(path=path, values=tuple(values), calls=calls))
        return
    objects = [one for one in values if isinstance(one, dict)]
    lists = [one for one in values if isinstance(one, list)]
    if len(objects) == len(values) and any(objects) and _are_sayable(steps, objects):
        before = (len(found.seen), len(found.optional), len(found.defaults))
        _members(steps, objects, schema, found, calls)
        if len(found.seen) > before[0]:
            return
        del (
            found.optional[before[1] :],
            found.defaults[before[2] :],
        )  # nothing below would say that it is there
    items = [item for one in lists for item in one]
    constant = all(same(values[0], one) for one in values[1:])
    if len(lists) == len(values) and items and not constant and _is_sayable((*steps, Items.EACH)):
        _value((*steps, Items.EACH), items, schema_of_items(schema), found, calls)
        return  # an item is always seen, as a whole if not by its members
    found.seen.append(ObservedPlace(path=path, values=tuple(values), calls=calls))


def _are_sayable(steps: tuple[Step, ...], objects: Sequence[Mapping[str, JsonValue]]) -> bool:
    names = {name for one in objects for name in one}
    return len(names) <= MAX_PLACES and all(_is_sayable((*steps, name)) for name in names)


def _is_sayable(steps: tuple[Step, ...]) -> bool:
    if "" in steps:
        return False
    path = path_of(steps)
    try:
        return parse_argument_path(path.text, Place()).steps == steps
    except ScopeSyntaxError:
        return False


_TRIES: Final = 1_000

Told = tuple[str, str, str, bool]
"""(path, what, why, broad)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted(NoTruth):
    """A grant without its uses, and what was widened."""

    form: dict[str, JsonValue]
    told: tuple[Told, ...]


class _Fitting:
    def __init__(
        self,
        tool: str,
        calls: Sequence[Mapping[str, JsonValue]],
        schema: Mapping[str, JsonValue] | None,
        bound: Scope | None,
    ) -> None:
        self._tool = tool
        self._calls = calls
        self._schema = schema
        self._roots = () if bound is None else tuple(_roots(bound))
        self._whole: frozenset[str] = frozenset()
        self._spoken: frozenset[str] = frozenset()
        self._at: dict[str, int] = {}
        self._left_out: dict[str, ArgumentPath] = {}
        self._bound_paths = _fit_paths(bound)
        self._options: list[tuple[Choice, ...]] = []
        self.observed: Observed | None = None
        self.look()

    def look(self) -> None:
        self.observed = observe(self._calls, self._schema, whole=self._whole, spoken=self._spoken)
        if self.observed is not None:
            self._options = [choices_of(one, self._roots) for one in self.observed.seen]

    def fitted(self, observed: Observed) -> Fitted:
        chosen = [
            options[self._at.get(seen.path.text, 0)]
            for seen, options in zip(observed.seen, self._options, strict=True)
        ]
        arguments: dict[str, JsonValue] = {
            seen.path.text: {**choice.body} for seen, choice in zip(observed.seen, chosen, strict=True)
        }
        arguments |= {name: {"absent": True} for name in self._left_out}
        mentioned = [*(seen.path for seen in observed.seen), *self._left_out.values()]
        optional = [
            path.text
            for path, _, _ in observed.optional
            if any(one == path or one.is_below(path) for one in mentioned)
        ]
        form: dict[str, JsonValue] = {"tool": self._tool}
        if arguments:
            form |= {"arguments": arguments, "optional": [*optional, *self._left_out]}
        left = (
            (label(path.steps), "must be left out", "no call gave it, and the ceiling constrains it", False)
            for path in self._left_out.values()
        )
        return Fitted(form=form, told=(*_told(observed, chosen), *left))

    def narrow(self, wide: frozenset[str], observed: Observed) -> bool:
        """Narrows the places that exceed the bound; returns whether any changed."""
        moved, anew = False, False
        mentioned = [seen.path for seen in observed.seen]
        for seen, options in zip(observed.seen, self._options, strict=True):
            name = seen.path.text
            if name in wide and self._at.get(name, 0) + 1 < len(options):
                self._at[name] = self._at.get(name, 0) + 1
                moved = True
        for name in sorted(wide - {one.text for one in mentioned}):
            path = self._bound_paths.get(name)
            if name in {one.text for one in observed.defaults}:
                self._spoken |= {name}
                anew = True
            elif path is not None and any(one.is_below(path) for one in mentioned):
                self._whole |= {name}
                anew = True
            elif path is not None and name not in self._left_out:
                self._left_out[name] = path
                moved = True
        if anew:
            self.look()
        return moved or anew


def fit(
    tool: str,
    calls: Sequence[Mapping[str, JsonValue]],
    schema: Mapping[str, JsonValue] | None,
    bound: Scope | None,
) -> Fitted | None:
    """Returns a grant that covers these calls within the bound, or None."""
    fitting = _Fitting(tool, calls, schema, bound)
    for _ in range(_TRIES):
        observed = fitting.observed
        if observed is None:
            return None
        found = fitting.fitted(observed)
        try:
            scope = parse_scope({"grants": [found.form]})
        except ScopeSyntaxError:
            return None
        answer = None if bound is None else covers(bound, scope)
        if not isinstance(answer, NotCovers):
            return found
        wide = frozenset(gap.path for one in answer.uncovered for gap in one.gaps)
        if not fitting.narrow(wide, observed):
            return None
    return None


def _told(observed: Observed, chosen: Sequence[Choice]) -> Iterator[Told]:
    for seen, choice in zip(observed.seen, chosen, strict=True):
        if choice.why:
            ((tag, body),) = choice.body.items()
            what = tag if tag == "any" else f"{tag} {show(body, seen.path.hint)}"
            yield label(seen.path.steps), what, choice.why, choice.broad
    for path, there, of in observed.optional:
        yield label(path.steps), "may be left out", f"it was there {there} times of {of}", False
    for path in observed.defaults:
        yield label(path.steps), "not mentioned", "it was only ever at its default", False


def _roots(bound: Scope) -> Iterator[str]:
    todo = [rule for grant in bound.grants for _, rule in grant.arguments]
    while todo:
        rule = todo.pop()
        todo += rule.parts()
        if isinstance(rule, Below):
            yield rule.directory


def _fit_paths(bound: Scope | None) -> dict[str, ArgumentPath]:
    todo = [] if bound is None else [grant.tree for grant in bound.grants]
    found: dict[str, ArgumentPath] = {}
    while todo:
        node = todo.pop()
        found[node.path.text] = node.path
        todo += node.members.values()
        todo += [node.items] if node.items is not None else []
    found.pop("", None)
    return found
