"""Findings about slots that credentials fill: what keeps such a credential from being minted.

1. Target, kind and parameters that a slot names are compared with the existing targets.
2. Each agent that may use such a server, and whose ceiling lacks the grant, is named with that grant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.errors import TaskboundError
from taskbound.core.scope import parse_scope, tools_of
from taskbound.core.tool import parse_slot
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.target import ListTargets, TargetRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import Source
    from taskbound.sdk.client import Client
    from taskbound.wire.target import TargetRow
    from taskbound.wire.tool import UpstreamRow


_NAME = "minted-slot"


def look_at_minted(
    client: Client, servers: Iterable[UpstreamRow], ceilings: Mapping[str, JsonValue]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield findings about slots that credentials fill; `ceilings` are by agent."""
    rows = [row for row in servers if _sources(row)]
    if rows:
        targets = client.ask(ListTargets(), TargetRows).rows
        yield from tell_minted(rows, targets, ceilings)


def tell_minted(
    servers: Iterable[UpstreamRow], targets: Iterable[TargetRow], ceilings: Mapping[str, JsonValue]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield these findings from known rows; each credential of each server once."""
    known = {one.name: one for one in targets}
    for row in servers:
        name = shown(row.spec.name)
        for source in _sources(row):
            trouble = _trouble(source, known.get(source.target))
            if trouble:
                text = f"server `{name}` is not started: {trouble[0]}"
                yield ("warn", _NAME, text, trouble[1])
            for agent in sorted(ceilings):
                if row.agents and agent not in row.agents:
                    continue
                if source.tool not in _granted(ceilings[agent]):
                    who = f"server `{name}` is not started for agent `{shown(agent)}`"
                    why = f"its ceiling has no grant for `{source.tool}`, which fills slots of it"
                    advice = (
                        f"grant `{source.tool}` in its ceiling and its tasks' scopes, where that is meant"
                    )
                    yield ("warn", _NAME, f"{who}: {why}", advice)


def _sources(row: UpstreamRow) -> list[Source]:
    slots = (parse_slot(one) for one in row.spec.slots)
    return list({one.source.credential: one.source for one in slots if one.source is not None}.values())


def _trouble(source: Source, target: TargetRow | None) -> tuple[str, str] | None:
    if target is None:
        return f"no target is named `{source.target}`", "add it with `taskbound target add`"
    if target.state != "ready":
        return (
            f"the target `{source.target}` is not ready ({target.state})",
            f"test it with `taskbound target test {source.target}`",
        )
    kind = next((one for one in target.kinds if one.name == source.kind), None)
    if kind is None:
        return (
            f"the target `{source.target}` has no kind `{source.kind}`",
            "see its kinds with `taskbound target list`, and pin the server with one of them",
        )
    if set(kind.parameters) != source.given.keys():
        wanted = ", ".join(kind.parameters) or "no parameters"
        return (
            f"`{source.tool}` wants {wanted}, and its slots say something else",
            "pin the server anew, with `?name=value` behind the kind for each of them",
        )
    return None


def _granted(ceiling: JsonValue) -> frozenset[str]:
    try:
        return frozenset(tools_of(parse_scope(ceiling)))
    except TaskboundError:
        return frozenset()
