"""The official client behind the whole gateway, made to do what a client scenario of the suite wants done.

Run it: ``python -m tests.peers.through HOME URL``, as the suite does, which names scenario and revision in
the environment. HOME is a data directory with the person `ann` and a running daemon.

It does what a person does for a server behind a URL: looks at it and pins it, has an agent and a task that
may use all of it. Then the official client starts `taskbound gateway` and acts (`official.act`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from mcp import StdioServerParameters

from taskbound import __version__
from taskbound.adapters.upstream.mcp.http.probe import probe_url
from taskbound.core.scope import parse_scope
from taskbound.core.tool import QUESTION_NAMES
from taskbound.sdk.client import Client
from taskbound.wire.connection import Done, Open
from taskbound.wire.identity import AcknowledgeMonitor, ActivateAgent, RegisterAgent, TestMonitor
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream
from taskbound.wiring.start import ensure_daemon
from tests.peers.official import act

if TYPE_CHECKING:
    from collections.abc import Sequence


def settle(home: Path, name: str, url: str) -> None:
    """A pinned server, an agent and its task, all of this name."""
    client = Client(ensure_daemon(home), Open(role="cli", version=__version__), patience=15.0)
    try:
        spec, found = probe_url(name=name, url=url, headers={})
        raws = tuple(map(msgspec.Raw, found.definitions))
        methods = (*found.methods, *sorted(QUESTION_NAMES))  # it may ask, too
        client.ask(AddUpstream(spec=spec, definitions=raws, agents=(name,), methods=methods), Done)
        _let_in(client, name, [*(json.loads(raw)["name"] for raw in found.definitions), *methods], home)
    finally:
        client.close()


def _let_in(client: Client, name: str, tools: Sequence[str], home: Path) -> None:
    grants: list[Any] = [{"tool": f"{name}__{tool}", "others": "any"} for tool in tools]
    scope = msgspec.Raw(parse_scope({"grants": grants}).canonical)
    monitor = home.parent / f"{name}.jsonl"
    registered = RegisterAgent(
        name=name, owner="ann", approvers=("ann",), monitor=f"file:{monitor}", ceiling=scope
    )
    client.ask(registered, Done)
    client.ask(TestMonitor(name=name), Done)
    code = json.loads(monitor.read_text(encoding="utf-8").splitlines()[-1])["code"]
    client.ask(AcknowledgeMonitor(name=name, code=code), Done)
    client.ask(ActivateAgent(name=name), Done)
    client.ask(StartTask(agent=name, purpose="a scenario", seconds=600, scope=scope), TaskDetail)


def main() -> None:
    """Do what the environment names."""
    parser = argparse.ArgumentParser(description="the official client behind the gateway, in one scenario")
    parser.add_argument("home", type=Path)
    parser.add_argument("url")
    options = parser.parse_args()
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    revision = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    name = f"s{secrets.token_hex(4)}"
    settle(options.home, name, options.url)
    gateway = StdioServerParameters(
        command=sys.executable,
        args=["-m", "taskbound.wiring.gateway", "--agent", name, "--home", str(options.home)],
    )
    asyncio.run(act(gateway, scenario=scenario, revision=revision, context=context, prefix=f"{name}__"))


if __name__ == "__main__":
    main()
