"""What a client's configuration gets in place of the chosen servers: one entry that starts the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.surfaces.cli.clients.edit import Change
from taskbound.surfaces.cli.clients.entries import Client, told_option
from taskbound.surfaces.cli.clients.undo import Planned, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from taskbound.core.action.canonical import JsonValue
    from taskbound.surfaces.cli.clients.entries import Config, Server


def plan_gates(
    servers: Iterable[Server], found: Sequence[Server], *, agent: str, command: Sequence[str]
) -> tuple[Planned, ...]:
    """The rewritten files; nothing is written yet.

    Args:
        servers: Those that go.
        found: Every server that was found, whose names are taken.
        agent: The agent that the gateway is for.
        command: The absolute command that starts the gateway.

    Raises:
        BadConfigError: A file can't be rewritten.
        ConfigCommentError: A comment would be lost.
    """
    files: dict[Path, dict[tuple[str, ...], list[Server]]] = {}
    for server in servers:
        files.setdefault(server.config.path, {}).setdefault(server.config.keys, []).append(server)
    return tuple(
        plan(path, [_change(some, found, agent, command) for some in objects.values()])
        for path, objects in files.items()
    )


def _change(some: Sequence[Server], found: Sequence[Server], agent: str, command: Sequence[str]) -> Change:
    config = some[0].config
    entry: dict[str, JsonValue] = {"command": command[0], "args": [*command[1:]]}
    if config.client in {Client.VS_CODE, Client.CLAUDE_CODE}:
        entry = {"type": "stdio", **entry}
    return Change(
        keys=config.keys,
        remove=tuple(one.name for one in some),
        name=_entry_name(config, found, agent),
        entry=entry,
    )


def _entry_name(config: Config, found: Sequence[Server], agent: str) -> str:
    """The name of the gateway's entry: its own if it is there already, one that is free otherwise."""
    here = {one.name: one for one in found if one.config == config}
    for name, one in here.items():
        if one.gateway and told_option(one.command, "--agent") == agent:
            return name
    names = ["taskbound", f"taskbound-{agent}", *(f"taskbound-{number}" for number in range(2, 100))]
    return next(name for name in names if name not in here)
