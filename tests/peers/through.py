"""The official client behind the whole gateway, made to do what a client scenario of the suite wants done.

Run it: ``python -m tests.peers.through HOME URL``, as the suite does, which names scenario and revision in
the environment. HOME is a data directory with the person `ann` and a running daemon.

It does what a person does for a server behind a URL: looks at it and pins it, has an agent and a task that
may use all of it. Then the official client starts `taskbound gateway` and acts (`official.act`).

In a scenario of OAuth the person has the client that the suite registered, and names the issuer that the
server says is its own; without one from the suite, a client that nobody knows.
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
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
from joserfc.jwk import import_key
from mcp import StdioServerParameters

from taskbound import __version__
from taskbound.adapters.keys.assertion import assertion
from taskbound.adapters.keys.sealing import seal
from taskbound.adapters.upstream.egress import ask_key
from taskbound.adapters.upstream.mcp.http.issuer import authorize
from taskbound.adapters.upstream.mcp.http.probe import probe_url
from taskbound.core.scope import parse_scope
from taskbound.core.tool import QUESTION_NAMES, Binding
from taskbound.core.tool.slot import KEY_SLOT, SECRET_SLOT
from taskbound.sdk.client import Client
from taskbound.wire.connection import Done, Open
from taskbound.wire.identity import AcknowledgeMonitor, ActivateAgent, RegisterAgent, TestMonitor
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream, ListUpstreams, OAuthSpec, SetSecret, UpstreamRows
from taskbound.wiring.home import find_socket
from taskbound.wiring.start import ensure_daemon
from tests.peers.official import act

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.core.tool import Slot


def settle(home: Path, name: str, url: str, registered: tuple[OAuthSpec, str] | None) -> None:
    """A pinned server, an agent and its task, all of this name."""
    client = Client(ensure_daemon(home), Open(role="cli", version=__version__), patience=15.0)
    try:
        oauth, secret = registered or (None, "")
        slots: dict[Slot, str | None] = {}
        if oauth is not None:
            oauth, _ = authorize(url, oauth)
            slots[KEY_SLOT if oauth.method == "private_key_jwt" else SECRET_SLOT] = secret
        spec, found = probe_url(name=name, url=url, headers={}, secrets=slots, oauth=oauth, sign=_sign)
        raws = tuple(map(msgspec.Raw, found.definitions))
        methods = (*found.methods, *sorted(QUESTION_NAMES))  # it may ask, too
        client.ask(AddUpstream(spec=spec, definitions=raws, agents=(name,), methods=methods), Done)
        for slot in slots:
            _seal(client, home, name, slot.text, secret)
        _let_in(client, name, [*(json.loads(raw)["name"] for raw in found.definitions), *methods], home)
    finally:
        client.close()


def registered_at(url: str, context: Any) -> tuple[OAuthSpec, str]:
    """The client that the suite registered, at the issuer that the server names, and its secret."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"
    with urlopen(place, timeout=10) as answer:  # noqa: S310 -- the suite's own server, on this machine
        issuer = json.load(answer)["authorization_servers"][0]
    key = context.get("private_key_pem")
    spec = OAuthSpec(
        client=context.get("client_id", "nobody-knows-us"),
        token="",
        method="private_key_jwt" if key else "client_secret_basic",
        resource="",
        issuer=issuer,
    )
    if key:
        return spec, json.dumps(import_key(key, "EC").as_dict(private=True))
    return spec, context.get("client_secret", "nobody-knows-this")


def _sign(key: str, client: str, audience: str) -> str:
    return assertion(key, client=client, audience=audience)


def _seal(client: Client, home: Path, name: str, slot: str, value: str) -> None:
    """Fill a slot, as the command line does."""
    rows = client.ask(ListUpstreams(), UpstreamRows).rows
    identity = next(row.identity for row in rows if row.spec.name == name)
    public = ask_key(find_socket(home).with_name("egress.sock"))
    binding = Binding(namespace="default", server=name, identity=identity, slot=slot, number=1)
    sealed = seal(value, binding, public=public)
    client.ask(SetSecret(server=name, slot=slot, number=1, sealed=sealed), Done)


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
    registered = registered_at(options.url, context) if scenario.startswith("auth/") else None
    settle(options.home, name, options.url, registered)
    gateway = StdioServerParameters(
        command=sys.executable,
        args=["-m", "taskbound.wiring.gateway", "--agent", name, "--home", str(options.home)],
    )
    asyncio.run(act(gateway, scenario=scenario, revision=revision, context=context, prefix=f"{name}__"))


if __name__ == "__main__":
    main()
