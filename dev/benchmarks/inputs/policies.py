"""The policies that are measured, and what made them: the text of the two `policies-….cedar` beside this.

1. One of twenty is an unscoped forbid: it applies to every call and reads facts.
2. Of the others, those below twenty are for the tool that is measured or its server, and read its
   arguments; the rest are for other tools.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dev.benchmarks.ground import INPUTS, TOOL

if TYPE_CHECKING:
    from collections.abc import Iterator


_BASE = (
    '@id("base:covering-grant") permit (principal, action in Taskbound::Action::"call", resource) '
    "when { context.covered };"
)
_CONDITIONS = (
    'context.arguments.amount.greaterThan(decimal("5000.0"))',
    'context.arguments has note && context.arguments.note like "*secret-{0}*"',
    'context.arguments has order && context.arguments.order has "refund-{0}"',
    'context.arguments.to == "mallory-{0}" && context.attempt > 1',
)


def read_policies(count: int) -> str:
    """The bundle of so many policies, as it is committed."""
    return (INPUTS / f"policies-{count}.cedar").read_text(encoding="utf-8")


def every_policy(count: int) -> Iterator[str]:
    """So many policies, one a line."""
    yield _BASE
    for number in range(1, count):
        if number % 20 == 0 or number == 1:
            head, condition = (
                "principal, action, resource",
                'context.effect == "unheard-{0}" && context.attempt > 9',
            )
        else:
            head, condition = _head(number), _CONDITIONS[number % len(_CONDITIONS)]
        hold = '@hold("confirm") ' if number % 3 == 0 else ""
        yield f'@id("rule-{number}") {hold}forbid ({head}) when {{ {condition.format(number)} }};'


def _head(number: int) -> str:
    server, tool = ("bank", TOOL) if number < 20 else (f"s{number % 50}", f"s{number % 50}__t{number}")  # noqa: PLR2004 - the bound of rule 2 above
    if number % 5 == 0:
        return f'principal, action, resource in Taskbound::Server::"default/{server}"'
    return f'principal, action == Taskbound::Action::"{tool}", resource'
