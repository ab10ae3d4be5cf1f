"""From the calls of one tool to one grant, as wide as the rules make it and no wider than a bound.

1. Each place begins with its widest choice. Where the bound doesn't take it, the next one is tried.
2. What the bound constrains as a whole is not entered. What it constrains and no call gave is left out; what
   it constrains and was only ever at its default is mentioned.
3. The search is bounded: each step makes one place narrower, or settles how a place is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.algebra import NotCovers, covers
from taskbound.core.scope.constraints.below import Below
from taskbound.core.scope.errors import ScopeSyntaxError
from taskbound.core.scope.parse import parse_scope
from taskbound.core.scope.path import label
from taskbound.core.scope.show import show
from taskbound.core.scope.suggest.observe import observe
from taskbound.core.scope.suggest.widen import choices_of
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.grant import Scope
    from taskbound.core.scope.path import ArgumentPath
    from taskbound.core.scope.suggest.observe import Observed
    from taskbound.core.scope.suggest.widen import Choice


_TRIES: Final = 1_000

Told = tuple[str, str, str, bool]
"""(path, what, why, broad)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted(NoTruth):
    """A grant without its uses, and what was widened."""

    form: dict[str, JsonValue]
    told: tuple[Told, ...]


class _Fitting:
    """One grant on its way."""

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
        self._bound_paths = _paths(bound)
        self._options: list[tuple[Choice, ...]] = []
        self.observed: Observed | None = None
        self.look()

    def look(self) -> None:
        """Look at the calls anew."""
        self.observed = observe(self._calls, self._schema, whole=self._whole, spoken=self._spoken)
        if self.observed is not None:
            self._options = [choices_of(one, self._roots) for one in self.observed.seen]

    def fitted(self, observed: Observed) -> Fitted:
        """The grant as it is now."""
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
        """Make narrower what is wider than the bound at these paths; whether anything was (rules 1 and 2)."""
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
    """A grant that covers these calls, within the bound if there is one; ``None`` when none was found."""
    fitting = _Fitting(tool, calls, schema, bound)
    for _ in range(_TRIES):  # 3
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
    """Every directory that the bound names."""
    todo = [rule for grant in bound.grants for _, rule in grant.arguments]
    while todo:
        rule = todo.pop()
        todo += rule.parts()
        if isinstance(rule, Below):
            yield rule.directory


def _paths(bound: Scope | None) -> dict[str, ArgumentPath]:
    """Every path that the bound constrains or enters, by its text."""
    todo = [] if bound is None else [grant.tree for grant in bound.grants]
    found: dict[str, ArgumentPath] = {}
    while todo:
        node = todo.pop()
        found[node.path.text] = node.path
        todo += node.members.values()
        todo += [node.items] if node.items is not None else []
    found.pop("", None)
    return found
