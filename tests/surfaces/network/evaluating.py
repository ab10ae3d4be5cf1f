"""A service that asks by AuthZEN, with a token of a task, before a real API and a daemon within the test."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskbound.core.tool import ServerIdentity
from taskbound.flows.tool import Declaration
from tests.surfaces.network.agents import Acting
from tests.surfaces.network.holding import Holding, held
from tests.world import ANN, CEILING, World, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.surfaces.network.serving import Answer

ONE, MANY = "/access/v1/evaluation", "/access/v1/evaluations"
ALICE: dict[str, Any] = {"type": "user", "id": "alice"}
_TEXT = {"type": "string"}
_NAMED: dict[str, Any] = {"type": _TEXT, "id": _TEXT}


def entity(**properties: str) -> dict[str, Any]:
    """The schema of a subject or resource with these properties."""
    kinds = {name: {"type": kind} for name, kind in properties.items()}
    told = {"properties": {"type": "object", "properties": kinds}} if kinds else {}
    return {"type": "object", "properties": {**_NAMED, **told}, "required": ["type", "id"]}


def asking_tool(
    name: str, *, resource: dict[str, Any], action: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The definition of a tool that a service asks about: it has no effect of its own."""
    return {
        "name": name,
        "inputSchema": {
            "type": "object",
            "properties": {
                "subject": entity(role="string"),
                "resource": resource,
                "action": {
                    "type": "object",
                    "properties": {"properties": {"type": "object", **(action or {})}},
                },
                "context": {"type": "object"},
            },
            "required": ["subject", "resource"],
        },
        "annotations": {"readOnlyHint": True},
    }


def declare(world: World, tool: str, *, unwatched: bool = True) -> None:
    """Have nobody tell what comes of it."""
    with world.store.read() as snapshot:
        pin = snapshot.tools.tool("default", tool)
    assert pin is not None
    world.sights.declare("default", tool, pin.digest, ANN, Declaration(unwatched=unwatched))


def add_tools(world: World, **servers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pin tools of servers of these names, whose outcome nobody tells; the grants of all."""
    more: list[dict[str, Any]] = []
    for server, listed in servers.items():
        identity = ServerIdentity(
            namespace="default", command=f"/bin/{server}", resolved=f"/bin/{server}", sha256="0" * 64
        )
        raws = [json.dumps(one).encode() for one in listed]
        world.pins.add(server, identity, b"{}", raws, agents=(), actor=ANN)
        for one in listed:
            declare(world, f"{server}__{one['name']}")
            more.append({"tool": f"{server}__{one['name']}", "others": "any"})
    ceiling = {"grants": [*CEILING["grants"], *more]}
    world.agents.set_ceiling("default", "coder", scope_of(ceiling), ANN)
    return more


class Evaluating(Acting):
    """A service with a token of a task that it asks for."""

    def __init__(self, one: Holding, grants: list[dict[str, Any]], task: Any = None) -> None:
        world = one.world
        super().__init__(one, task or world.start(scope={"grants": grants}))

    def evaluate(self, said: Any, path: str = ONE, **headers: str) -> Answer:
        """The answer to this body."""
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return self.one.ask("POST", path, self.token, body, **headers)

    def decision(self, said: Any, path: str = ONE, **headers: str) -> Any:
        """What was decided: one truth, or the list of them."""
        answer = self.evaluate(said, path, **headers)
        assert answer.status == 200, (answer.status, answer.body)
        told = answer.json
        if "evaluations" in told:
            assert "decision" not in told
            return [one["decision"] for one in told["evaluations"]]
        assert type(told["decision"]) is bool
        return told["decision"]


@contextmanager
def evaluated(
    folder: Path,
    *,
    grants: list[dict[str, Any]] | None = None,
    settle: Callable[[World], object] = lambda world: declare(world, "bank__pay"),
    policy: str = "",
) -> Iterator[Evaluating]:
    """A service that asks AuthZEN; `settle` runs before its task is started."""
    with held(folder, policy=policy) as one:
        settle(one.world)
        one.world.views.forget()
        yield Evaluating(one, grants or CEILING["grants"])


def pay(**changes: Any) -> dict[str, Any]:
    """Whether bob may be paid, asked about the tool itself."""
    properties = {"to": "bob", "amount": 10} | changes
    return {
        "subject": ALICE,
        "action": {"name": "tools/call"},
        "resource": {"type": "tool", "id": "bank__pay", "properties": properties},
    }
