"""The cases of AuthZEN's certification scenario (Basic, Batch, Discovery), and decisions of its interop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskbound.adapters.policy.cedar import base_bundle
from taskbound.surfaces.network.authzen.response import metadata
from tests.house.tree import ROOT
from tests.surfaces.network.evaluating import (
    MANY,
    ONE,
    Evaluating,
    add_tools,
    asking_tool,
    entity,
    evaluated,
)
from tests.surfaces.network.holding import HOST
from tests.surfaces.network.serving import both
from tests.token_world import ISSUER

if TYPE_CHECKING:
    from tests.world import World

SHARED = Path(os.environ.get("TASKBOUND_SHARED", ROOT.parent / "shared"))
DECISIONS = SHARED / "data" / "authzen" / "todo-decisions.json"
METADATA = "/.well-known/authzen-configuration"

# --- the certification scenario ---

RECORD = entity(status="string")
RULES = """
@id("record:writers") forbid (principal, action == Taskbound::Action::"record__write", resource) unless {
  context.arguments.subject.id == "alice"
  || (context.arguments.subject has properties && context.arguments.subject.properties has role
      && context.arguments.subject.properties.role == "admin") };
@id("record:archived") forbid (principal, action == Taskbound::Action::"record__write", resource) when {
  context.arguments.resource has properties && context.arguments.resource.properties has status
  && context.arguments.resource.properties.status == "archived" } unless {
  context.arguments.subject has properties && context.arguments.subject.properties has role
  && context.arguments.subject.properties.role == "admin" };
@id("record:soft") forbid (principal, action == Taskbound::Action::"record__delete", resource) unless {
  context.arguments has action && context.arguments.action has properties
  && context.arguments.action.properties has soft && context.arguments.action.properties.soft };
"""


def scenario(world: World) -> None:
    soft: dict[str, Any] = {"properties": {"soft": {"type": "boolean"}}}
    names = ("read", "write", "delete")
    add_tools(world, record=[asking_tool(one, resource=RECORD, action=soft) for one in names])


GRANTS: list[dict[str, Any]] = [
    {
        "tool": f"record__{name}",
        "arguments": {"subject.type": {"equals": "user"}, "subject.id": {"one_of": ["alice", "bob"]}},
        "others": "any",
    }
    for name in ("read", "write", "delete")
]


def asked(who: str, name: str, what: str = "record-1", /, **more: Any) -> dict[str, Any]:
    """A request; `role`, `status` and `soft` are properties of subject, resource and action."""
    said: dict[str, Any] = {
        "subject": {"type": "user", "id": who},
        "action": {"name": name},
        "resource": {"type": "record", "id": what},
    }
    for key, of in (("role", "subject"), ("status", "resource"), ("soft", "action")):
        if key in more:
            said[of]["properties"] = {key: more.pop(key)}
    return said | more


BASIC: list[tuple[dict[str, Any], bool]] = [
    (asked("alice", "read"), True),
    (asked("alice", "write"), True),
    (asked("bob", "read"), True),
    (asked("bob", "write"), False),
    (asked("alice", "write", "record-2", status="archived"), False),
    (asked("alice", "write", "record-2", status="archived", role="admin"), True),
    (asked("bob", "write", "record-2", status="archived", role="admin"), True),
    (asked("bob", "write", role="viewer"), False),
    (asked("alice", "delete", soft=True), True),
    (asked("alice", "delete", soft=False), False),
    (asked("alice", "delete"), False),
    (asked("alice", "read", context={"time": "2026-11-29T00:00:00Z", "nested": {"a": [1]}}), True),
    (asked("alice", "read", odd={"x": 1}), True),
    (asked("carol", "read"), False),
    (asked("alice", "publish"), False),
    (asked("alice", "read") | {"resource": {"type": "folder", "id": "record-1"}}, False),
]


def test_basic_each_case_is_decided_so_and_the_same_when_it_is_asked_again(tmp_path: Path) -> None:
    with evaluated(tmp_path, settle=scenario, grants=GRANTS, policy=base_bundle() + RULES) as service:
        for _ in range(2):
            wrong = [said for said, expected in BASIC if service.decision(said) is not expected]
            assert wrong == []


def test_batch_each_case_is_decided_so(tmp_path: Path) -> None:
    with evaluated(tmp_path, settle=scenario, grants=GRANTS, policy=base_bundle() + RULES) as service:
        bodies: list[tuple[dict[str, Any], list[bool]]] = [
            ({"evaluations": [said for said, _ in BASIC]}, [expected for _, expected in BASIC]),
            (
                {"subject": {"type": "user", "id": "bob"}, "resource": {"type": "record", "id": "record-1"}}
                | {"evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}]},
                [True, False],
            ),
            (
                asked("alice", "write", status="archived")
                | {"evaluations": [{}, {"resource": {"type": "record", "id": "record-1"}}]},
                [False, True],
            ),
            (
                {"evaluations": [asked("alice", "read"), {"subject": {"type": "user", "id": "alice"}}]},
                [True, False],
            ),
            (
                {"evaluations": [asked("bob", "read"), asked("bob", "write"), asked("bob", "read")]}
                | {"options": {"evaluations_semantic": "deny_on_first_deny"}},
                [True, False],
            ),
            (
                {"evaluations": [asked("bob", "write"), asked("bob", "read"), asked("bob", "read")]}
                | {"options": {"evaluations_semantic": "permit_on_first_permit"}},
                [False, True],
            ),
        ]
        for body, expected in bodies:
            assert service.decision(body, MANY) == expected, body
        assert service.decision(asked("bob", "write"), MANY) is False


def test_discovery_the_endpoints_are_told_by_https_and_no_others_than_are_served(service: Evaluating) -> None:
    answer = service.one.there.ask("GET", METADATA, Host=HOST)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {
        "policy_decision_point": ISSUER,
        "access_evaluation_endpoint": ISSUER + ONE,
        "access_evaluations_endpoint": ISSUER + MANY,
        "supported_obligations": ["step-up"],
    }
    kept = service.one.there.ask("GET", METADATA, Host=HOST, If_None_Match=answer.headers["etag"])
    assert kept.status == 304
    assert service.one.there.ask("POST", METADATA, b"{}", Host=HOST).status == 405
    assert service.one.there.ask("GET", f"{METADATA}/tenant1", Host=HOST).status == 404


def test_discovery_what_is_not_known_by_https_is_no_decision_point(tmp_path: Path) -> None:
    assert metadata("http://localhost:8700") is None
    with both(tmp_path) as (there, _):
        answer = there.ask("GET", METADATA, Host="localhost:8700")
        assert (answer.status, answer.code) == (404, "unknown-path")


# --- the interop event's todo application ---

PEOPLE = {
    "rick@the-citadel.com": "CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs",
    "morty@the-citadel.com": "CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs",
    "summer@the-smiths.com": "CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs",
    "beth@the-smiths.com": "CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs",
    "jerry@the-smiths.com": "CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs",
}
ADMINS = ("rick@the-citadel.com",)
EDITORS = ("morty@the-citadel.com", "summer@the-smiths.com")
_TODOS = ("can_read_todos", "can_create_todo", "can_update_todo", "can_delete_todo")


def _is(*mails: str) -> str:
    return " || ".join(f'context.arguments.subject.id == "{PEOPLE[one]}"' for one in mails)


def _owns() -> str:
    """The subject is an editor, and the owner that the resource names is who the subject is."""
    mine = " || ".join(
        f'(context.arguments.subject.id == "{PEOPLE[one]}"'
        f' && context.arguments.resource.properties.ownerID == "{one}")'
        for one in EDITORS
    )
    known = "context.arguments.resource has properties && context.arguments.resource.properties has ownerID"
    return f"{known} && ({mine})"


TODO_RULES = "".join(
    f'@id("todo:{name}") forbid (principal, action == Taskbound::Action::"todo__{name}", resource)'
    f" unless {{ {unless} }};\n"
    for name, unless in (
        ("can_create_todo", _is(*ADMINS, *EDITORS)),
        ("can_update_todo", f"{_is(*ADMINS)} || ({_owns()})"),
        ("can_delete_todo", f"{_is(*ADMINS)} || ({_owns()})"),
    )
)
TODO_GRANTS: list[dict[str, Any]] = [
    {
        "tool": tool,
        "arguments": {
            "subject.type": {"equals": "user"},
            "subject.id": {"one_of": sorted(PEOPLE.values())},
            "resource.type": {"equals": tool.partition("__")[0]},
            "resource.id": {"any": True},
            "resource.properties.ownerID": {"any": True},
        },
        "optional": ["resource.properties.ownerID"],
    }
    for tool in ("user__can_read_user", *(f"todo__{name}" for name in _TODOS))
]


def todo_application(world: World) -> None:
    owned = entity(ownerID="string")
    add_tools(
        world,
        user=[asking_tool("can_read_user", resource=owned)],
        todo=[asking_tool(name, resource=owned) for name in _TODOS],
    )


@pytest.mark.skipif(not DECISIONS.exists(), reason="the interop decisions are not beside this repository")
def test_interop_every_decision_of_the_todo_application_is_the_expected_one(tmp_path: Path) -> None:
    told = json.loads(DECISIONS.read_text(encoding="utf-8"))
    assert (len(told["evaluation"]), len(told["evaluations"])) == (40, 3)

    with evaluated(
        tmp_path, settle=todo_application, grants=TODO_GRANTS, policy=base_bundle() + TODO_RULES
    ) as service:
        wrong = [
            case["request"]
            for case in told["evaluation"]
            if service.decision(case["request"]) is not case["expected"]
        ]
        assert wrong == []
        for case in told["evaluations"]:
            expected = [one["decision"] for one in case["expected"]]
            assert service.decision(case["request"], MANY) == expected, case["request"]
        rows = service.records("action-decided")
        assert len(rows) == 40 + 6
        assert {one["decision"] for one in rows} == {"permit", "refuse"}


def test_the_todo_application_s_people_are_told_apart_by_rules_and_its_owners_by_properties(
    tmp_path: Path,
) -> None:
    def update(mail: str, owner: str | None, **more: Any) -> dict[str, Any]:
        properties = {} if owner is None else {"properties": {"ownerID": owner}}
        return {
            "subject": {"type": "user", "id": PEOPLE[mail]},
            "action": {"name": "can_update_todo"},
            "resource": {"type": "todo", "id": "1", **properties},
            **more,
        }

    with evaluated(
        tmp_path, settle=todo_application, grants=TODO_GRANTS, policy=base_bundle() + TODO_RULES
    ) as service:
        rick, morty, beth = "rick@the-citadel.com", "morty@the-citadel.com", "beth@the-smiths.com"
        cases = [
            (update(rick, morty), True),
            (update(morty, morty), True),
            (update(morty, rick), False),
            (update(morty, None), False),
            (update(beth, beth), False),
            (update(morty, morty, context={"ip": "10.0.0.1"}), False),  # no grant speaks of a context
            (update(morty, morty) | {"subject": {"type": "service", "id": PEOPLE[morty]}}, False),
            (update(morty, morty) | {"subject": {"type": "user", "id": PEOPLE[morty].lower()}}, False),
        ]
        assert [said for said, expected in cases if service.decision(said) is not expected] == []
