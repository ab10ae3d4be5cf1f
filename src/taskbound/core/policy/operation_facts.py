"""What operations can be about, what stands above that, and every fact that policies can read of one."""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.policy.answer import FactKind

if TYPE_CHECKING:
    from collections.abc import Mapping


class About(Enum):
    """What an operation is about; the values are entity types of policies."""

    NAMESPACE = "Namespace"
    AGENT = "Agent"
    AMENDMENT = "Amendment"
    APPROVAL = "Approval"
    BUNDLE = "Bundle"
    CALL = "Call"
    CLIENT = "Client"
    GROUP = "Group"
    ISSUER = "Issuer"
    PERSON = "Person"
    PERSON_KEY = "PersonKey"
    PLAN = "Plan"
    SERVER = "Server"
    SERVICE = "Service"
    TASK = "Task"
    TEMPLATE = "Template"
    TOOL = "Tool"


_OF_TASK: Final = ("agent", "approvers", "owner", "requester")

FOUND: Final[Mapping[About, tuple[str, ...]]] = MappingProxyType(
    {
        About.NAMESPACE: (),
        About.AGENT: ("agent", "approvers", "owner"),
        About.AMENDMENT: _OF_TASK,
        About.APPROVAL: (*_OF_TASK, "tool"),
        About.BUNDLE: ("author",),
        About.CALL: (*_OF_TASK, "tool"),
        About.CLIENT: (),
        About.GROUP: (),
        About.ISSUER: (),
        About.PERSON: (),
        About.PERSON_KEY: ("person",),
        About.PLAN: _OF_TASK,
        About.SERVER: (),
        About.SERVICE: ("owner",),
        About.TASK: (*_OF_TASK, "purpose"),
        About.TEMPLATE: (),
        About.TOOL: ("owner", "server", "tool"),
    }
)
"""The facts that are looked up for what an operation is about."""

ABOVE: Final[Mapping[About, tuple[About, ...]]] = MappingProxyType(
    dict.fromkeys(About, ())
    | {
        About.AMENDMENT: (About.AGENT, About.TASK),
        About.APPROVAL: (About.AGENT, About.SERVER, About.TASK, About.TOOL),
        About.CALL: (About.AGENT, About.SERVER, About.TASK, About.TOOL),
        About.PERSON: (About.GROUP,),
        About.PERSON_KEY: (About.GROUP, About.PERSON),
        About.PLAN: (About.AGENT, About.SERVER, About.TASK, About.TOOL),
        About.TASK: (About.AGENT,),
        About.TOOL: (About.SERVER,),
    }
)
"""What can stand above what an operation is about."""

OPERATION_FACTS: Final[Mapping[str, FactKind]] = MappingProxyType(
    {
        "action": FactKind.TEXT,
        "after": FactKind.NUMBER,
        "agent": FactKind.TEXT,
        "agents": FactKind.TEXTS,
        "anew": FactKind.TRUTH,
        "answer": FactKind.TEXT,
        "approvers": FactKind.PERSONS,
        "author": FactKind.PERSON,
        "client": FactKind.TEXT,
        "decision": FactKind.TEXT,
        "demo": FactKind.TRUTH,
        "deny": FactKind.TRUTH,
        "digest": FactKind.TEXT,
        "evidence": FactKind.TEXTS,
        "hourly": FactKind.NUMBER,
        "hours": FactKind.NUMBER,
        "how": FactKind.TEXT,
        "index": FactKind.NUMBER,
        "issuer": FactKind.TEXT,
        "last": FactKind.NUMBER,
        "learning": FactKind.TRUTH,
        "level": FactKind.TEXT,
        "limit": FactKind.NUMBER,
        "linked": FactKind.TRUTH,
        "member": FactKind.TRUTH,
        "new_approvers": FactKind.PERSONS,
        "new_owner": FactKind.PERSON,
        "of_task": FactKind.TEXT,
        "open": FactKind.NUMBER,
        "other": FactKind.PERSON,
        "outcome": FactKind.TEXT,
        "owner": FactKind.PERSON,
        "person": FactKind.PERSON,
        "proof_kind": FactKind.TEXT,
        "purpose": FactKind.TEXT,
        "relax": FactKind.TRUTH,
        "requester": FactKind.PERSON,
        "seconds": FactKind.NUMBER,
        "server": FactKind.TEXT,
        "slot": FactKind.TEXT,
        "speed": FactKind.NUMBER,
        "start": FactKind.NUMBER,
        "state": FactKind.TEXT,
        "states": FactKind.TEXTS,
        "step": FactKind.TEXT,
        "stopped": FactKind.TRUTH,
        "tasks": FactKind.TEXTS,
        "template": FactKind.TEXT,
        "to_agent": FactKind.TEXT,
        "tool": FactKind.TEXT,
        "uid": FactKind.NUMBER,
        "word": FactKind.TEXT,
    }
)
"""Every fact of an operation, by name. `proof_kind` is what kind of proof the principal was known by."""
