"""The table of operations for policies: each with its right, what it is about, and what its message tells.

1. It names every operation of the daemon's own table (`surfaces.api.operations`) and no other; a test holds
   both to each other, and what a row says of a message to that message.
2. What is secret in a message (a token, a signature, a sealed value) is told to no policy.
3. What a gateway, an egress or anybody asks each second is about the namespace and tells nothing, so that its
   answer depends on who asks and on what is in force alone (`Operation.is_standing`).
4. Whoever brings an answer need not be who gives it: policies are told who signed, and what they said.
5. What only reads, or what anybody may ask, changes nothing, unless its row says so.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from taskbound.core.policy.operation import Operation, Right
from taskbound.core.policy.operation_facts import About

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPERATIONS"]

_R, _P, _G, _W = Right.READ, Right.PERSON, Right.GIVER, Right.GATEWAY
_READING: Final = frozenset({Right.READ, Right.ANYONE})
_SIGNED: Final = "person=statement.person answer=statement.kind"
"""What is told of a signed answer (rule 4)."""


def _row(  # noqa: PLR0913 - the columns of the table
    name: str,
    right: Right,
    about: About,
    member: str = "",
    *,
    told: str = "",
    ends: bool = False,
    changes: bool | None = None,
) -> Operation:
    pairs = [one.partition("=") for one in told.split()]
    return Operation(
        name=name,
        right=right,
        about=about,
        member=member,
        told=MappingProxyType({fact: other or fact for fact, _, other in pairs}),
        changes=right not in _READING if changes is None else changes,  # 5
        ends=ends,
    )


_TABLE: Final = (
    _row("action:answer", Right.EGRESS, About.NAMESPACE, changes=False),
    _row("action:ask", _W, About.NAMESPACE),
    _row("action:decide", _W, About.NAMESPACE),
    _row("action:explain", _R, About.CALL, "action"),
    _row("action:follow", _W, About.NAMESPACE, changes=False),
    _row("action:list", _R, About.NAMESPACE, told="of_task=task decision limit"),
    _row("action:malformed", _W, About.NAMESPACE),
    _row("action:outcome", _W, About.NAMESPACE),
    _row("action:permit", Right.EGRESS, About.NAMESPACE, changes=False),
    _row("action:reconcile", _P, About.CALL, "action", told="outcome"),
    _row("action:report", _W, About.NAMESPACE),
    _row("action:show", _R, About.CALL, "action"),
    _row("agent:acknowledge", _P, About.AGENT, "name"),
    _row("agent:activate", _P, About.AGENT, "name"),
    _row("agent:assertion", Right.ANYONE, About.NAMESPACE),
    _row("agent:ceiling", _P, About.AGENT, "name"),
    _row("agent:issuer-add", _G, About.NAMESPACE, told="issuer"),
    _row("agent:issuer-groups", _G, About.NAMESPACE),
    _row("agent:issuer-list", _R, About.NAMESPACE),
    _row("agent:issuer-remove", _G, About.NAMESPACE),
    _row("agent:key-list", _R, About.NAMESPACE, told="agent"),
    _row("agent:key-renew", _G, About.AGENT, "agent"),
    _row("agent:list", _R, About.NAMESPACE),
    _row("agent:people", _G, About.AGENT, "name", told="new_owner=owner new_approvers=approvers"),
    _row("agent:register", _P, About.AGENT, "name", told="new_owner=owner new_approvers=approvers"),
    _row("agent:risk", _P, About.AGENT, "name", told="level"),
    _row("agent:selector-add", _G, About.AGENT, "agent", told="issuer"),
    _row("agent:selector-list", _R, About.NAMESPACE, told="agent"),
    _row("agent:selector-remove", _G, About.AGENT, "agent"),
    _row("agent:show", _R, About.AGENT, "name"),
    _row("agent:suspend", _P, About.AGENT, "name", ends=True),
    _row("agent:test-monitor", _P, About.AGENT, "name"),
    _row("amendment:show", _R, About.AMENDMENT, "amendment"),
    _row("approval:answer", _P, About.APPROVAL, "statement", told=_SIGNED),
    _row("approval:answer-plan", _P, About.PLAN, "statement", told=_SIGNED),
    _row("approval:leave", _W, About.NAMESPACE),
    _row("approval:limits", _G, About.NAMESPACE, told="open hourly speed"),
    _row("approval:list", _R, About.NAMESPACE, told="states of_task=task limit"),
    _row("approval:look", Right.ANYONE, About.NAMESPACE),
    _row("approval:narrow", _P, About.APPROVAL, "statement", told=_SIGNED),
    _row("approval:open", _P, About.APPROVAL, "approval", told="deny"),
    _row("approval:plan", Right.PERSON_OR_RUN, About.TASK, "task"),
    _row("approval:prove", _P, About.APPROVAL, "approval"),
    _row("approval:say", Right.ANYONE, About.NAMESPACE),
    _row("approval:show", _R, About.APPROVAL, "approval"),
    _row("approval:show-plan", _R, About.PLAN, "plan"),
    _row("approval:stats", _R, About.NAMESPACE, told="hours"),
    _row("approval:withdraw", _P, About.APPROVAL, "approval", ends=True),
    _row("audit:compare", _R, About.NAMESPACE, told="anew"),
    _row("audit:export", _R, About.NAMESPACE, told="start limit"),
    _row("audit:proof", _R, About.NAMESPACE, told="action index"),
    _row("audit:tail", _R, About.NAMESPACE, told="after limit"),
    _row("connection:bind", _W, About.NAMESPACE, changes=False),
    _row("connection:ping", Right.ANYONE, About.NAMESPACE),
    _row("connection:show", Right.ANYONE, About.NAMESPACE, changes=False),
    _row("connection:status", _R, About.NAMESPACE),
    _row("group:add", _G, About.GROUP, "name"),
    _row("group:grantable", _G, About.GROUP, "name", told="word"),
    _row("group:list", _R, About.NAMESPACE),
    _row("group:member", _G, About.GROUP, "group", told="person member"),
    _row("group:show", _R, About.GROUP, "name"),
    _row("issuer:add", _G, About.ISSUER, "name", told="issuer"),
    _row("issuer:list", _R, About.NAMESPACE),
    _row("issuer:remove", _G, About.ISSUER, "name"),
    _row("namespace:demo", _G, About.NAMESPACE, told="demo"),
    _row("person-key:confirm", _G, About.PERSON_KEY, "key"),
    _row("person-key:list", _R, About.NAMESPACE),
    _row("person-key:open", _G, About.PERSON, "person"),
    _row("person-key:open-vouching", _G, About.PERSON_KEY, "key"),
    _row("person-key:propose", _G, About.PERSON, "person"),
    _row("person-key:prove", _G, About.PERSON_KEY, "key"),
    _row("person-key:show", _R, About.PERSON_KEY, "key"),
    _row("person-key:vouch", _G, About.PERSON_KEY, "key"),
    _row("person-key:withdraw", _G, About.PERSON_KEY, "key", ends=True),
    _row("network:agree", Right.ANYONE, About.NAMESPACE, changes=False),
    _row("network:authorities", Right.ANYONE, About.NAMESPACE, changes=False),
    _row("network:refused", Right.ANYONE, About.NAMESPACE, changes=False),
    _row("person:account-link", _G, About.PERSON, "person", told="issuer"),
    _row("person:account-list", _R, About.NAMESPACE),
    _row("person:account-unlink", _G, About.PERSON, "person", told="issuer", ends=True),
    _row("person:grantable", _G, About.PERSON, "name", told="word"),
    _row("person:leave", _G, About.PERSON, "name"),
    _row("person:link", _G, About.PERSON, "one", told="other linked"),
    _row("person:list", _R, About.NAMESPACE),
    _row("person:register", _P, About.PERSON, "name", told="uid"),
    _row("person:return", _G, About.PERSON, "name"),
    _row("person:session-end", _G, About.NAMESPACE, ends=True),
    _row("person:session-list", _R, About.NAMESPACE),
    _row("person:show", _R, About.PERSON, "name"),
    _row("policy:activate", _P, About.BUNDLE, "digest"),
    _row("policy:list", _R, About.NAMESPACE),
    _row("policy:propose", _P, About.NAMESPACE),
    _row("policy:replay", _R, About.NAMESPACE, told="last digest"),
    _row("policy:roll-back", _P, About.NAMESPACE, told="digest", ends=True),
    _row("policy:show", _R, About.NAMESPACE, told="digest"),
    _row("revocation:stop", _P, About.NAMESPACE, told="stopped", ends=True),
    _row("scope:suggest", _R, About.NAMESPACE, told="agent tasks"),
    _row("sign-in:begin", Right.ANYONE, About.NAMESPACE),
    _row("sign-in:end", Right.ANYONE, About.NAMESPACE),
    _row("sign-in:show", Right.ANYONE, About.NAMESPACE),
    _row("sign-in:take", Right.ANYONE, About.NAMESPACE),
    _row("task:amend", _P, About.TASK, "task"),
    _row("task:delegate", _P, About.TASK, "parent", told="to_agent=agent template seconds evidence"),
    _row("task:end", Right.PERSON_OR_RUN, About.TASK, "task", told="how", ends=True),
    _row("task:list", _R, About.NAMESPACE, told="agent state limit"),
    _row("task:pause", _P, About.TASK, "task", ends=True),
    _row("task:resume", _P, About.TASK, "task"),
    _row("task:run", _P, About.TASK, "task"),
    _row("task:show", _R, About.TASK, "task"),
    _row("task:start", _P, About.AGENT, "agent", told="template seconds purpose learning evidence"),
    _row("task:step", _P, About.TASK, "task", told="step=name"),
    _row("task:widen", _P, About.TASK, "task", told="seconds"),
    _row("template:list", _R, About.NAMESPACE),
    _row("template:remove", _P, About.TEMPLATE, "name"),
    _row("template:save", _P, About.TEMPLATE, "name", told="seconds"),
    _row("token:admission-end", _G, About.NAMESPACE, ends=True),
    _row("token:admission-list", _R, About.NAMESPACE, told="of_task=task limit"),
    _row("token:answer", Right.ANYONE, About.NAMESPACE, changes=True),
    _row("token:ask", Right.ANYONE, About.NAMESPACE, changes=True),
    _row("token:await", Right.ANYONE, About.NAMESPACE),
    _row("token:choose", Right.ANYONE, About.NAMESPACE),
    _row("token:client-add", _G, About.CLIENT, "client"),
    _row("token:client-list", _R, About.NAMESPACE),
    _row("token:client-remove", _G, About.CLIENT, "client"),
    _row("token:client-show", _R, About.CLIENT, "client"),
    _row("token:consent", _P, About.AGENT, "agent", told="client of_task=task template seconds purpose"),
    _row("token:consent-person", _P, About.CLIENT, "client"),
    _row("token:deny", _P, About.NAMESPACE, ends=True),
    _row("token:exchange", Right.ANYONE, About.NAMESPACE, changes=True),
    _row("token:give-back", Right.ANYONE, About.NAMESPACE, changes=True),
    _row("token:introspect", Right.ANYONE, About.NAMESPACE),
    _row("token:jwks", Right.ANYONE, About.NAMESPACE),
    _row("token:key-list", _R, About.NAMESPACE),
    _row("token:key-revoke", _G, About.NAMESPACE, ends=True),
    _row("token:key-rotate", _G, About.NAMESPACE),
    _row("token:list", _R, About.NAMESPACE, told="of_task=task limit"),
    _row("token:look", _P, About.NAMESPACE, changes=False),
    _row("token:revoke", _G, About.NAMESPACE, ends=True),
    _row("token:show", _R, About.NAMESPACE),
    _row("token:status-list", Right.ANYONE, About.NAMESPACE),
    _row("tool:accept", _P, About.TOOL, "name"),
    _row("tool:answering", _G, About.TOOL, "name", told="new_approvers=approvers"),
    _row("tool:apply", _P, About.SERVER, "server", told="relax"),
    _row("tool:cover", _W, About.NAMESPACE, changes=False),
    _row("tool:declare", _P, About.TOOL, "name"),
    _row("tool:diff", _R, About.TOOL, "name"),
    _row("tool:list", _R, About.NAMESPACE, told="server"),
    _row("tool:owning", _G, About.TOOL, "name", told="new_owner=owner"),
    _row("tool:reach", _W, About.NAMESPACE, changes=False),
    _row("tool:see", Right.LOOKER, About.SERVER, "server"),
    _row("trust:add", _G, About.ISSUER, "domain"),
    _row("trust:list", _R, About.NAMESPACE),
    _row("trust:remove", _G, About.ISSUER, "domain", ends=True),
    _row("trust:show", _R, About.ISSUER, "domain"),
    _row("upstream:add", _P, About.SERVER, "spec.name", told="agents"),
    _row("upstream:list", Right.ANYONE, About.NAMESPACE),
    _row("upstream:remove", _P, About.SERVER, "name"),
    _row("upstream:sealed", Right.EGRESS, About.NAMESPACE, changes=False),
    _row("upstream:secret", _P, About.SERVER, "server", told="slot"),
    _row("upstream:token", Right.EGRESS, About.NAMESPACE),
)

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({one.name: one for one in _TABLE})
"""Every operation by name."""
