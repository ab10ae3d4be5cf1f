"""Decides whether a grant covers a call, explains a miss, and decides whether a grant could cover one.

1. A grant covers a call if it names the tool, every constrained argument is present (or optional and absent)
   and meets its constraint, every total can read its amount exactly, and there are no other arguments.
2. *Closed world*: an argument that the grant does not mention is absent or has the pinned schema's default,
   at every level that a path enters; only ``others: "any"`` opens it. Without a schema there is no default.
3. A tool that no grant in force names is not covered.
4. A miss is explained by the nearest grant: the most accepted arguments, then the fewest misses, then the
   first. The words show the value short, escaped and without secrets; equal calls get equal words.

`could_cover` judges a partial call, for lists only: missing arguments count as granted. A URI template counts
as every URI that it can expand to, unless values, prefixes, scheme, host or port show that no URI is
permitted.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from taskbound.core.dataclass import dataclass
from taskbound.core.scope.constraints.below import Prefix
from taskbound.core.scope.constraints.constraint import Excluded
from taskbound.core.scope.constraints.url import Url
from taskbound.core.scope.grant import Others
from taskbound.core.scope.limits import Charge, Covered, Payer, amounts_of, judge_amount
from taskbound.core.scope.path import (
    MISSING,
    NOT_A_LIST,
    NOT_AN_OBJECT,
    UNMENTIONED,
    hint_of,
    is_default,
    label,
    meets,
    meets_members,
    schema_of_items,
    schema_of_member,
)
from taskbound.core.scope.show import bare, show
from taskbound.core.scope.values import MET, Match, Mismatch, Verdict
from taskbound.core.transition import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import ActiveGrants, Grant, Scope
    from taskbound.core.scope.path import Node
    from taskbound.core.tool.name import UriTemplate

    Arguments = Mapping[str, JsonValue]
    Schema = Mapping[str, JsonValue] | None


_MAX_MISSES: Final = 8
_MAX_TOLD: Final = 3
_MAX_TOOLS: Final = 5
_NO_TOOL: Final = "tool-not-granted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """An argument that the nearest grant does not accept."""

    argument: str
    """Its name, escaped and shortened if the agent wrote something odd."""
    code: str
    """A stable word, such as ``above-max`` or ``argument-missing``."""
    was: str
    """What it was, for people; empty when it was missing."""
    reason: str
    """Why that isn't covered, such as "is more than 50"."""
    needed: str
    """What would have been covered, such as "a number from 1 to 50"."""

    @property
    def sentence(self) -> str:
        name = f"argument `{self.argument}`"
        if not self.was:
            return f"{name} must be given: {self.needed}"
        return f"{name} was `{self.was}`, which {self.reason}: it must be {self.needed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCovered(NoTruth):
    """No grant covers the call."""

    tool: str
    """Its name, escaped and shortened if the agent wrote something odd."""
    grant: str | None
    """The id of the grant that came nearest; ``None`` when no grant names the tool."""
    misses: tuple[Miss, ...]
    """What kept the nearest grant from covering, at most eight."""
    more: int
    """How many misses, or tools, there are beyond those that are named."""
    tools: tuple[str, ...]
    """A few tools that the scope does name, when it doesn't name this one."""

    @property
    def code(self) -> str:
        return self.misses[0].code if self.misses else _NO_TOOL

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence for each miss with what to do instead; at least one."""
        if not self.misses:
            known = ", ".join(f"`{tool}`" for tool in self.tools)
            rest = f" and {self.more} more" if self.more else ""
            return (f"no grant names the tool `{self.tool}`; it may be {known}{rest}",)
        first, *others = (miss.sentence for miss in self.misses)
        tail = (f"and {self.more} more arguments",) if self.more else ()
        return (f"grant {self.grant} came nearest: {first}", *others, *tail)

    @property
    def sentence(self) -> str:
        """One sentence for the agent, with the first three misses in full."""
        told = self.sentences
        if not self.misses:
            return told[0]
        rest = len(told[_MAX_TOLD:]) - (1 if self.more else 0) + self.more
        return "; ".join(told[:_MAX_TOLD]) + (f"; and {rest} more" if rest else "")


def explain(in_force: ActiveGrants, tool: str, arguments: Arguments, schema: Schema) -> NotCovered:
    named = in_force.by_tool.get(tool, ())
    if not named:
        tools = sorted(in_force.by_tool)
        more = max(0, len(tools) - _MAX_TOOLS)
        return NotCovered(tool=bare(tool), grant=None, misses=(), more=more, tools=tuple(tools[:_MAX_TOOLS]))
    nearest = min(named, key=lambda grant: _distance(grant, arguments, schema))  # `min` keeps the first
    misses = [
        _word(nearest, judged, judged.verdict)
        for judged in judge(nearest, arguments, schema)
        if isinstance(judged.verdict, Mismatch)
    ]
    return NotCovered(
        tool=bare(tool),
        grant=nearest.id,
        misses=tuple(misses[:_MAX_MISSES]),
        more=max(0, len(misses) - _MAX_MISSES),
        tools=(),
    )


class Judged(NamedTuple):
    """The verdict on one place; a tuple for speed, since a refusal makes one for each argument and grant."""

    steps: tuple[str | int, ...]
    """Names, and the places of items, from the arguments inward."""
    verdict: Verdict
    value: JsonValue
    """What stands there; ``None`` too when nothing does."""
    node: Node | None
    """What the grant says there; ``None`` where it says nothing."""
    schema: Schema
    """What the pinned schema says there."""


def judge(grant: Grant, arguments: Arguments, schema: Schema) -> Iterator[Judged]:
    """Yields the verdict on each place of the grant or the call, in a fixed order; a list stops at a miss."""
    for judged in _judge_members(grant.tree, (), arguments, schema):
        if grant.totals and judged.node is not None and isinstance(judged.verdict, Match):
            verdict = judge_amount(grant.totals, judged.node.path, judged.value, arguments)
            yield judged._replace(verdict=verdict)
        else:
            yield judged


def _judge_members(
    node: Node, steps: tuple[str | int, ...], value: Arguments, schema: Schema
) -> Iterator[Judged]:
    for name, child in node.members.items():
        about = schema_of_member(schema, name)
        if name in value and child.is_leaf and child.rule is not None:  # the common case, without a generator
            yield Judged((*steps, name), child.rule.permits(value[name]), value[name], child, about)
        elif name in value:
            yield from _judge_value(child, (*steps, name), value[name], about)
        elif child.required:
            yield Judged((*steps, name), MISSING, None, child, about)
    for name in sorted(value.keys() - node.members.keys()):
        fits = not node.closed or is_default(schema, name, value[name])
        about = schema_of_member(schema, name)
        yield Judged((*steps, name), MET if fits else UNMENTIONED, value[name], None, about)


def _judge_value(
    node: Node, steps: tuple[str | int, ...], value: JsonValue, schema: Schema
) -> Iterator[Judged]:
    verdict = MET if node.rule is None else node.rule.permits(value)
    if isinstance(verdict, Match) and node.items is not None and not isinstance(value, list):
        verdict = NOT_A_LIST
    if isinstance(verdict, Match) and node.members and not isinstance(value, dict):
        verdict = NOT_AN_OBJECT
    if node.rule is not None or isinstance(verdict, Mismatch):
        yield Judged(steps, verdict, value, node, schema)
    if isinstance(verdict, Mismatch):
        return
    if node.members and isinstance(value, dict):
        yield from _judge_members(node, steps, value, schema)
    if node.items is not None and isinstance(value, list):
        about = schema_of_items(schema)
        for index, item in enumerate(value):
            found = tuple(_judge_value(node.items, (*steps, index), item, about))
            yield from found
            if any(isinstance(one.verdict, Mismatch) for one in found):
                return


def _distance(grant: Grant, arguments: Arguments, schema: Schema) -> tuple[int, int]:
    accepted = missed = 0
    for judged in judge(grant, arguments, schema):
        if isinstance(judged.verdict, Match):
            accepted += 1
        else:
            missed += 1
    return -accepted, missed


def _word(grant: Grant, judged: Judged, verdict: Mismatch) -> Miss:
    hint = hint_of(judged.steps)
    return Miss(
        argument=label(judged.steps),
        code=verdict.code,
        was="" if verdict is MISSING else show(judged.value, hint),
        reason=verdict.reason,
        needed=_needed(grant, judged, hint),
    )


def _needed(grant: Grant, judged: Judged, hint: str) -> str:
    node = judged.node
    if node is None:
        if judged.schema is not None and "default" in judged.schema:
            return f"left out, or its default `{show(judged.schema['default'], hint)}`"
        return "left out"
    if judged.verdict is NOT_A_LIST or (node.rule is None and node.items is not None):
        words = "a list"
    elif judged.verdict is NOT_AN_OBJECT or node.rule is None:
        words = "an object"
    else:
        words = node.rule.describe(hint)
    totals = [total for total in grant.totals if total.path == node.path]
    if any(total.selector is None for total in totals):
        words += f", as an amount with at most {totals[0].exponent} decimal places"
    elif totals:
        words += ", as an amount with at most the decimal places of its currency"
    codes = [total.currency for total in grant.totals if total.selector == node.path]
    if codes:
        words += f", one of the currencies {', '.join(codes)}"
    never = node.rule is not None and not node.rule.kinds
    return words if node.required or never else f"{words}, or left out"


def cover(
    scope: Scope,
    tool: str,
    arguments: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
    *,
    step: int = 0,
) -> Covered | NotCovered:
    """Returns the covering grants, whatever is left of their limits; `schema` is the pinned one."""
    in_force = scope.at(step)
    named = in_force.by_tool.get(tool, ())  # rule 3
    payers = [payer for grant in named if (payer := _payer(grant, arguments, schema)) is not None]
    if payers:
        return Covered(tool=tool, payers=tuple(payers))
    return explain(in_force, tool, arguments, schema)


def _payer(
    grant: Grant, arguments: Mapping[str, JsonValue], schema: Mapping[str, JsonValue] | None
) -> Payer | None:
    """Fast equivalent of `judge` for a covering grant; a test compares both."""
    if grant.deep:
        if not isinstance(meets_members(grant.tree, arguments, schema), Match):
            return None
        return _charged(grant, arguments) if grant.totals else grant.flat
    present = 0
    for name, constraint, required in grant.plan:
        if name in arguments:
            present += 1
            if not isinstance(constraint.permits(arguments[name]), Match):
                return None
        elif required:
            return None
    if present < len(arguments) and grant.others is Others.DEFAULT_ONLY:  # rule 2
        for name, value in arguments.items():
            if name not in grant.named and not is_default(schema, name, value):
                return None
    return _charged(grant, arguments) if grant.totals else grant.flat


def _charged(grant: Grant, arguments: Mapping[str, JsonValue]) -> Payer | None:
    amounts = amounts_of(grant.totals, arguments)
    if isinstance(amounts, Mismatch):
        return None
    totals = [Charge(limit=one.key, amount=units, exponent=one.exponent) for one, units in amounts]
    return Payer(grant=grant.id, charges=(*grant.flat.charges, *totals), rates=grant.rates)


_NOT_NAMED: Final = Mismatch(code="tool-not-granted", reason="is of a tool that no grant names")
_NO_EXPANSION: Final = Mismatch(code="no-expansion", reason="stands for no URI that is granted")
_AUTHORITY: Final = re.compile(r"[A-Za-z]{2,5}://[^/]+/")


def could_cover(
    scope: Scope,
    tool: str,
    known: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
    *,
    step: int = 0,
) -> Verdict:
    verdict: Verdict = _NOT_NAMED
    for grant in scope.at(step).by_tool.get(tool, ()):
        verdict = _begun(grant, known, schema)
        if isinstance(verdict, Match):
            return verdict
    return verdict


def could_cover_template(
    scope: Scope, tool: str, argument: str, template: UriTemplate, *, step: int = 0
) -> Verdict:
    verdict: Verdict = _NOT_NAMED
    for grant in scope.at(step).by_tool.get(tool, ()):
        node = grant.tree.members.get(argument)
        if node is None:
            verdict = UNMENTIONED if grant.tree.closed else MET
        elif node.rule is not None and _excluded(node.rule, template):
            verdict = _NO_EXPANSION
        else:
            verdict = MET
        if isinstance(verdict, Match):
            return verdict
    return verdict


def _begun(grant: Grant, known: Mapping[str, JsonValue], schema: Mapping[str, JsonValue] | None) -> Verdict:
    for name, value in known.items():
        node = grant.tree.members.get(name)
        if node is None:
            if grant.tree.closed and not is_default(schema, name, value):
                return UNMENTIONED
            continue
        verdict = meets(node, value, schema_of_member(schema, name))
        if not isinstance(verdict, Match):
            return verdict
    return MET


def _excluded(rule: Constraint, template: UriTemplate) -> bool:
    values = rule.choices()
    if values is not None:
        return not any(isinstance(one, str) and template.stands_for(one) for one in values)
    if rule.alternatives():
        return all(_excluded(one, template) for one in rule.alternatives())
    if any(_excluded(one, template) for one in rule.conjuncts()):
        return True
    authority = _AUTHORITY.match(template.prefix)
    if isinstance(rule, Url) and authority is not None:
        return isinstance(replace(rule, path="/").permits(authority[0]), Mismatch)
    return bool(template.prefix) and isinstance(Prefix(prefix=template.prefix).excludes(rule), Excluded)
