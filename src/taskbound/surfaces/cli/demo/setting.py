"""Sets up the demo with the same operations that the long commands use."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.scope import parse_scope
from taskbound.surfaces.cli.demo.keys import enroll
from taskbound.surfaces.cli.demo.parts import INVOICES, PAYROLL, make_repository
from taskbound.surfaces.cli.demo.world import AGENT, APPROVER, HELPER, PERSON
from taskbound.wire import identity as wire
from taskbound.wire.connection import Done
from taskbound.wire.policy import ActivateBundle, BundleAnswer, ProposeBundle
from taskbound.wire.task import StartTask, TaskDetail
from taskbound.wire.tool import AddUpstream

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.core.action import JsonValue
    from taskbound.surfaces.cli.demo.scene import Scene
    from taskbound.surfaces.cli.demo.world import World
    from taskbound.surfaces.cli.plugs import ServerProbe


LARGE: Final = "demo:large-payment"
"""The policy that holds what is more than 250."""
_GROUP: Final = "finance"
_SECONDS: Final = 600
_PURPOSE: Final = "pay the invoices that are in the repository"
_SECOND: Final = "pay invoices 2043 and 2044"
_RULES: Final = f"""
@id("{LARGE}")
@hold("approval:{_GROUP}")
@reason("More than 250 is paid only when somebody else has looked at it.")
forbid (principal, action == Taskbound::Action::"payments__pay", resource)
when {{ context.arguments.amount.greaterThan(decimal("250.0")) }};
"""


async def set_up(world: World, scene: Scene) -> None:
    world.plugs.make_home(world.home)
    world.variant.write_text("", encoding="utf-8")
    world.late.write_text("0", encoding="utf-8")
    world.commits = make_repository(world.parts.git, world.repository, INVOICES)
    world.payroll = make_repository(world.parts.git, world.private, PAYROLL)
    scene.says("place", f"{world.place}: a git repository with {len(world.commits)} commits, a ledger, keys")
    client = world.client
    client.ask(wire.RegisterPerson(name=PERSON, uid=os.getuid()), Done)
    scene.says("person", f"{PERSON}, the account with uid {os.getuid()}: owner and approver")
    await _pin_servers(world, scene)
    _put_in_force(world, scene)
    _enroll_people(world, scene)
    for name in (AGENT, HELPER):
        _set_up_agent(world, scene, name)
    started = client.ask(
        StartTask(
            agent=AGENT,
            purpose=_PURPOSE,
            seconds=_SECONDS,
            scope=_raw({"grants": _grants(world.place / "work")}),
        ),
        TaskDetail,
    )
    world.task = started.row.task
    scene.says("task", f"{world.task}: {_PURPOSE}; ends in {_SECONDS // 60} minutes")
    for words in started.scope_words:
        grant, _, what = words.partition(": ")
        scene.says(grant, what)


def second_task(world: World, scene: Scene) -> None:
    """Start another task after the first one ended."""
    grants: list[JsonValue] = [
        freight(500, 100_000),
        {**freight(250, 50_000), "arguments": _paying("acme-supplies", 250)},
    ]
    scope = _raw({"grants": grants})
    ask = StartTask(agent=AGENT, purpose=_SECOND, seconds=_SECONDS, scope=scope)
    started = world.client.ask(ask, TaskDetail)
    world.task = started.row.task
    scene.says("task", f"{world.task}: {_SECOND}")
    for words in started.scope_words:
        grant, _, what = words.partition(": ")
        scene.says(grant, what)


def freight(most: int, total: int) -> dict[str, JsonValue]:
    """Return a grant of payments to `blue-freight`; amounts are in cents."""
    return {
        "tool": "payments__pay",
        "arguments": _paying("blue-freight", most),
        "total": {"amount": {"limit": total, "exponent": 2}},
    }


def _paying(account: str, most: int) -> dict[str, JsonValue]:
    return {
        "from_account": {"equals": "operating"},
        "to_account": {"equals": account},
        "amount": {"range": {"min": 0.01, "max": most}},
        "currency": {"equals": "EUR"},
        "reference": {"any": True},
    }


def _put_in_force(world: World, scene: Scene) -> None:
    world.client.ask(wire.AddGroup(name=_GROUP), Done)
    kept = world.client.ask(ProposeBundle(files={"demo.cedar": _RULES}), BundleAnswer, patience=60.0)
    done = world.client.ask(ActivateBundle(digest=kept.digest), BundleAnswer, patience=60.0)
    scene.require("the policy is in force", holds=not kept.problems and not done.problems)
    scene.says("policy", f"`{LARGE}` is in force: payments above 250 wait for a member of `{_GROUP}`")


def _enroll_people(world: World, scene: Scene) -> None:
    client = world.client
    client.ask(wire.RegisterPerson(name=APPROVER, uid=os.getuid() + 1), Done)
    client.ask(wire.SetMember(group=_GROUP, person=APPROVER, member=True), Done)
    client.ask(wire.SetDemo(demo=True), Done)
    first = enroll(world, PERSON)
    second = enroll(world, APPROVER, voucher=first)
    scene.require("both keys count", holds=first.counts and second.counts)
    scene.says("person", f"{APPROVER}, in `{_GROUP}`: played by your account, with another key")
    scene.says("keys", f"{PERSON} {first.fingerprint}, {APPROVER} {second.fingerprint}")


def _set_up_agent(world: World, scene: Scene, name: str) -> None:
    client = world.client
    ceiling = _raw({"grants": _ceiling(world.place)})
    ask = wire.RegisterAgent(
        name=name, owner=PERSON, approvers=(PERSON,), monitor=f"file:{world.monitor}", ceiling=ceiling
    )
    client.ask(ask, Done)
    client.ask(wire.TestMonitor(name=name), Done, patience=15.0)
    code = _code_in(world.monitor)
    client.ask(wire.AcknowledgeMonitor(name=name, code=code), Done)
    client.ask(wire.ActivateAgent(name=name), Done)
    scene.says("agent", f"{name}; its monitor was brought a code, and the code {code} came back")


async def _pin_servers(world: World, scene: Scene) -> None:
    parts = world.parts
    payments = parts.payments_server(world.ledger, variant=world.variant, late=world.late)
    git, paying = await asyncio.gather(
        asyncio.to_thread(_probe, world, "git", parts.git_server),
        asyncio.to_thread(_probe, world, "payments", payments),
    )
    about = (
        (git, f"PyPI mcp-server-git {parts.git_server_version}"),
        (paying, "docs/examples/payments, a server over a real ledger"),
    )
    for probed, words in about:
        raws = tuple(msgspec.Raw(one) for one in probed.definitions)
        world.client.ask(AddUpstream(spec=probed.spec, definitions=raws, agents=(AGENT, HELPER)), Done)
        digest = probed.spec.sha256[:12]
        scene.says(
            probed.spec.name, f"{words}: {len(raws)} tools pinned, binary {digest}…, MCP {probed.spec.era}"
        )


def _probe(world: World, name: str, command: tuple[str, ...]) -> ServerProbe:
    return world.plugs.probe(name=name, command=command, environment={}, directory=str(world.place))


def _raw(value: JsonValue) -> msgspec.Raw:
    return msgspec.Raw(parse_scope(value).canonical)


def _grants(work: Path) -> list[JsonValue]:
    below: JsonValue = {"below": str(work)}
    pay: dict[str, JsonValue] = {
        "from_account": {"equals": "operating"},
        "amount": {"range": {"min": 0.01, "max": 250}},
        "currency": {"equals": "EUR"},
        "reference": {"any": True},
    }
    return [
        {"tool": "git__git_status", "arguments": {"repo_path": below}},
        {
            "tool": "git__git_log",
            "arguments": {"repo_path": below, "max_count": {"range": {"min": 1, "max": 10}}},
            "optional": ["max_count"],
        },
        {"tool": "payments__balance", "arguments": {"account": {"equals": "operating"}}},
        {
            "tool": "payments__pay",
            "arguments": {**pay, "to_account": {"equals": "acme-supplies"}},
            "total": {"amount": {"limit": 100_000, "exponent": 2}},
        },
        {
            "tool": "payments__pay",
            "arguments": {**pay, "to_account": {"equals": "blue-freight"}},
            "uses": 3,
            "total": {"amount": {"limit": 50_000, "exponent": 2}},
        },
    ]


def _ceiling(place: Path) -> list[JsonValue]:
    return [
        {"tool": "git__git_status", "arguments": {"repo_path": {"below": str(place)}}},
        {"tool": "git__git_log", "arguments": {"repo_path": {"below": str(place)}}, "others": "any"},
        {"tool": "payments__balance", "others": "any"},
        {
            "tool": "payments__pay",
            "arguments": {"amount": {"range": {"max": 1_000}}, "currency": {"equals": "EUR"}},
            "others": "any",
        },
    ]


def _code_in(monitor: Path) -> str:
    for line in reversed(monitor.read_text(encoding="utf-8").splitlines()):
        value = json.loads(line)
        if isinstance(value, dict) and isinstance(value.get("code"), str):
            return str(value["code"])
    raise LookupError("the monitor's file holds no code")
