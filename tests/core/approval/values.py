from __future__ import annotations

from dataclasses import replace
from typing import Any

from taskbound.core.action import JsonValue, make_action
from taskbound.core.approval import Answer, AnswerKind, EligibleApprovers, Operand, ProbeKind, Question
from taskbound.core.clock import Instant
from taskbound.core.identity import Group, Person, PersonState

NOW = Instant(1_790_000_000_000_000)
HOUR = 3_600_000_000


def operand(**changes: str) -> Operand:
    found = {"path": "/srv/a", "device": "2049", "inode": "77", "size": "5", "sha256": "ab" * 32} | changes
    return Operand(place="/file", kind=ProbeKind.FILE, found=tuple(sorted(found.items())))


ACT: dict[str, Any] = {
    "namespace": "default",
    "task": "tsk_1",
    "agent": "bot",
    "tool": "bank__pay",
    "server": "5e" * 32,
    "definition": "de" * 32,
}
ARGUMENTS: dict[str, JsonValue] = {
    "amount": 10,
    "to": {"host": "db.example", "database": "books", "user": "app"},
    "files": ["a", "b"],
    "note": "rent",
}


def act(arguments: dict[str, JsonValue] | None = None, **changes: str) -> str:
    return make_action(**(ACT | changes), arguments=arguments or ARGUMENTS).digest


def question(**changes: Any) -> Question:
    whole: dict[str, Any] = {
        "namespace": "default",
        "id": "apr_1",
        "action": "act_1",
        "act": act(),
        "task": "tsk_1",
        "agent": "bot",
        "requester": "rita",
        "purpose": "pay the rent",
        "tool": "bank__pay",
        "bundle": "b1",
        "scope": "s1",
        "edition": 1,
        "lifters": ("approval:finance",),
        "nonce": "n1",
        "asked": NOW,
        "deadline": Instant(NOW + HOUR),
        "operands": (operand(),),
    }
    return Question(**(whole | changes))


def person(name: str, state: PersonState = PersonState.PRESENT) -> Person:
    return Person(namespace="default", name=name, uid=1000, state=state)


PEOPLE = ("rita", "ada", "ben", "cleo", "ada-again", "owen")
FINANCE = Group(namespace="default", name="finance", members=("ada", "ada-again", "ben", "cleo", "rita"))
LINKED = {"ada-again": "ada"}
CIRCLE = EligibleApprovers(
    persons={name: person(name) for name in PEOPLE},
    groups=(FINANCE,),
    approvers=("owen",),
    tool=None,
    requester="rita",
    kin=frozenset(),
    controllers=frozenset(),
    issuers=frozenset(),
    human=lambda name: LINKED.get(name, name),
)


def circle(**changes: Any) -> EligibleApprovers:
    return replace(CIRCLE, **changes)


def answer(who: str, kind: AnswerKind = AnswerKind.APPROVE, *, key: str = "") -> Answer:
    return Answer(
        kind=kind, person=who, key=key or f"key-{who}", at=NOW, received=NOW, statement=b"s", signature=b"g"
    )


KEYS = frozenset(f"key-{name}" for name in PEOPLE)
