"""Why no grant covers a call, and what would have: for the agent, the person and the record.

The words name the argument, what it was (short, escaped, secrets hidden) and what
the nearest grant asks for. The same call under the same scope gets the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.scope.grant import Others
from taskbound.core.scope.number import read_amount
from taskbound.core.scope.same import same
from taskbound.core.scope.show import bare, show
from taskbound.core.scope.verdict import MET, Met, Unmet, Verdict
from taskbound.core.truth import NoTruth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.scope.constraints.constraint import Constraint
    from taskbound.core.scope.grant import Grant, Scope, Total

    Arguments = Mapping[str, JsonValue]
    Schema = Mapping[str, JsonValue] | None

__all__ = ["Miss", "Missed", "explain", "is_default", "judge"]

_MAX_MISSES: Final = 8
_MAX_TOLD: Final = 3
_MAX_TOOLS: Final = 5
_NO_TOOL: Final = "tool-not-granted"

_MISSING = Unmet(code="argument-missing", reason="is missing")
_UNMENTIONED = Unmet(code="argument-unmentioned", reason="is not mentioned by the grant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One argument that the nearest grant doesn't accept."""

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
        """The miss in a person's words."""
        name = f"argument `{self.argument}`"
        if not self.was:
            return f"{name} must be given: {self.needed}"
        return f"{name} was `{self.was}`, which {self.reason}: it must be {self.needed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed(NoTruth):
    """No grant covers the call."""

    tool: str
    """Its name, escaped and shortened if the agent wrote something odd."""
    grant: str | None
    """The id of the grant that came nearest; ``None`` when no grant names the tool."""
    misses: tuple[Miss, ...]
    """What kept the nearest grant from covering, at most eight."""
    more: int
    """How many misses there are beyond those."""
    tools: tuple[str, ...]
    """A few tools that the scope does name, when it doesn't name this one."""

    @property
    def code(self) -> str:
        """The stable word of the first reason."""
        return self.misses[0].code if self.misses else _NO_TOOL

    @property
    def sentences(self) -> tuple[str, ...]:
        """One sentence for each miss: what missed, and what may be done instead; at least one."""
        if not self.misses:
            known = ", ".join(f"`{tool}`" for tool in self.tools)
            return (f"no grant names the tool `{self.tool}`; it may be {known}",)
        first, *others = (miss.sentence for miss in self.misses)
        tail = (f"and {self.more} more arguments",) if self.more else ()
        return (f"grant {self.grant} came nearest: {first}", *others, *tail)

    @property
    def sentence(self) -> str:
        """The misses in one sentence for the agent, the first three told in full."""
        told = self.sentences
        rest = len(told[_MAX_TOLD:]) - (1 if self.more else 0) + self.more
        return "; ".join(told[:_MAX_TOLD]) + (f"; and {rest} more" if rest else "")


def explain(scope: Scope, tool: str, arguments: Arguments, schema: Schema) -> Missed:
    """What came nearest to covering a call that no grant covers."""
    named = scope.by_tool.get(tool, ())
    if not named:
        tools = tuple(sorted(scope.by_tool)[:_MAX_TOOLS])
        return Missed(tool=bare(tool), grant=None, misses=(), more=0, tools=tools)
    nearest = min(named, key=lambda grant: _distance(grant, arguments, schema))  # `min` keeps the first
    misses = [
        _word(nearest, name, verdict, arguments, schema)
        for name, verdict in judge(nearest, arguments, schema)
        if isinstance(verdict, Unmet)
    ]
    return Missed(
        tool=bare(tool),
        grant=nearest.id,
        misses=tuple(misses[:_MAX_MISSES]),
        more=max(0, len(misses) - _MAX_MISSES),
        tools=(),
    )


def judge(grant: Grant, arguments: Arguments, schema: Schema) -> Iterator[tuple[str, Verdict]]:
    """The verdict on each argument that the grant asks for or the call brings, in a fixed order."""
    totals = {total.path.argument: total for total in grant.totals}
    for name, constraint, required in grant.plan:
        if name in arguments:
            yield name, _judge_value(constraint, totals.get(name), arguments[name])
        elif required:
            yield name, _MISSING
    for name in sorted(arguments.keys() - grant.named):
        fits = grant.others is Others.ANY or is_default(schema, name, arguments[name])
        yield name, MET if fits else _UNMENTIONED


def is_default(schema: Schema, name: str, value: JsonValue) -> bool:
    """Whether the schema gives the argument a default at its top level, and the value is it."""
    properties = None if schema is None else schema.get("properties")
    if not isinstance(properties, dict):
        return False
    about = properties.get(name)
    return isinstance(about, dict) and "default" in about and same(about["default"], value)


def _judge_value(constraint: Constraint, total: Total | None, value: JsonValue) -> Verdict:
    verdict = constraint.permits(value)
    if total is None or isinstance(verdict, Unmet):
        return verdict
    amount = read_amount(value, total.exponent)
    return amount if isinstance(amount, Unmet) else MET


def _distance(grant: Grant, arguments: Arguments, schema: Schema) -> tuple[int, int]:
    """Smaller is nearer: most arguments accepted, then fewest misses."""
    verdicts = [verdict for _, verdict in judge(grant, arguments, schema)]
    accepted = sum(isinstance(verdict, Met) for verdict in verdicts)
    return -accepted, len(verdicts) - accepted


def _word(grant: Grant, name: str, verdict: Unmet, arguments: Arguments, schema: Schema) -> Miss:
    return Miss(
        argument=bare(name),
        code=verdict.code,
        was=show(arguments[name], name) if name in arguments else "",
        reason=verdict.reason,
        needed=_needed(grant, name, schema),
    )


def _needed(grant: Grant, name: str, schema: Schema) -> str:
    for path, constraint in grant.arguments:
        if path.argument == name:
            words = constraint.describe(name)
            for total in grant.totals:
                if total.path == path:
                    words += f", as an amount with at most {total.exponent} decimal places"
            return words + (", or left out" if path in grant.optional else "")
    properties = (schema or {}).get("properties")
    about = properties.get(name) if isinstance(properties, dict) else None
    if isinstance(about, dict) and "default" in about:
        return f"left out, or its default `{show(about['default'], name)}`"
    return "left out"
