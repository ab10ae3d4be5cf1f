"""Converts stored values to messages, and checks the filters of lists.

1. An empty word is no filter.
2. A state or a decision must be an existing one; the error names them.
3. A task, agent, server, target or action must be known to the namespace. A removed target is known by what
   was minted there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from taskbound.core.action import Action, Frame, canonical, parse_object
from taskbound.core.action.text import escape_text
from taskbound.core.approval import UnknownApprovalError, changes, require_showable
from taskbound.core.approval.amendment import AmendmentState
from taskbound.core.approval.probe import read_for
from taskbound.core.approval.sheet import Sheet, render_sheet, sheet_of
from taskbound.core.clock import seconds
from taskbound.core.credential import age_of, is_overdue, name_of
from taskbound.core.errors import MalformedError
from taskbound.core.identity import Breadth, UnknownIdentityError
from taskbound.core.identity.agent import reach_of
from taskbound.core.identity.person import human_of
from taskbound.core.scope import Scope, counted_limits, describe
from taskbound.core.task import NoTaskError, TaskState, step_name
from taskbound.core.tool import credential_kind, effect_of, parse_definition
from taskbound.core.tool.name import shown
from taskbound.flows.action.explain import UnknownActionError
from taskbound.flows.target import UnknownTargetError
from taskbound.flows.tool import UnknownServerError
from taskbound.wire.action import ActionDetail, ActionRow, Changed, Reason
from taskbound.wire.identity import AgentDetail, GroupDetail, PersonDetail, PersonRow
from taskbound.wire.target import CredentialRow
from taskbound.wire.task import EvidenceRow, TaskDetail, TaskRow, TemplateRow
from taskbound.wire.tool import SecretRow, ServerSpec, ToolRow, UpstreamRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskbound.core.approval.sheet import SheetOf
    from taskbound.core.clock import Instant
    from taskbound.core.credential import Credential
    from taskbound.core.identity import Agent, Grantable, Group, Person
    from taskbound.core.task import Task, Template
    from taskbound.ports.action import StoredAction
    from taskbound.ports.approval import StoredApproval
    from taskbound.ports.store import Snapshot
    from taskbound.ports.tool import PinnedServer, PinnedTool, StoredSecret


_CREDENTIALS: Final = 50
"""Credentials of a task that are shown with it."""
_COUNTED: Final = 1000
_SECOND: Final = seconds(1)
_spec_decoder = msgspec.json.Decoder(ServerSpec)


def scope_raw(scope: Scope) -> msgspec.Raw:
    """Returns the canonical form of a scope for a message."""
    return msgspec.Raw(scope.canonical)


def read_spec(server: PinnedServer) -> ServerSpec:
    """Returns how to start a pinned server."""
    return _spec_decoder.decode(server.spec)


def action_row(action: StoredAction, *, learning: bool) -> ActionRow:
    """Returns an action as a row."""
    return ActionRow(
        action=action.id,
        task=action.task,
        agent=action.agent,
        tool=action.tool,
        state=action.state.value,
        decision=action.decision,
        code=action.code,
        at=action.at,
        attempt=action.attempt,
        learning=learning,
    )


def action_detail(action: StoredAction, *, learning: bool) -> ActionDetail:
    """Returns an action in full."""
    history = [f"{action.at} decided: {action.decision}{f' ({action.code})' if action.code else ''}"]
    if read_for(action.request):
        whose = escape_text(read_for(action.request))
        history.append(f"{action.at} made to read what the call `{whose}` of its connection names")
    if action.finished is not None:
        note = f": {action.note}" if action.note else ""
        released = "released" if action.released else "withheld"
        history.append(f"{action.finished} {action.state.value}, {released}{note}")
    return ActionDetail(
        row=action_row(action, learning=learning),
        digest=action.digest,
        act_key=action.act_key,
        server=action.server,
        definition=action.definition,
        arguments=action.arguments.decode(),
        flags=action.flags,
        grant=action.grant,
        policies=action.policies,
        bundle=action.bundle,
        scope=action.scope,
        reasons=reasons(action),
        history=tuple(history),
        key=action.key,
    )


def reasons(action: StoredAction) -> tuple[Reason, ...]:
    """Returns the reasons of a stored decision."""
    return tuple(Reason(code=code, text=text, detail=detail) for code, text, detail in action.reasons)


def changed_values(before: bytes, after: bytes) -> tuple[Changed, ...]:
    """Returns the differences between a held action's arguments and the narrowed ones."""
    found = changes(parse_object(before), parse_object(after))
    return tuple(
        Changed(place=one.place, before=canonical(one.before).decode(), after=canonical(one.after).decode())
        for one in found
    )


def agent_detail(agent: Agent, lacks: tuple[str, ...], running: tuple[str, ...]) -> AgentDetail:
    """Returns an agent and what it lacks for activation."""
    return AgentDetail(
        name=agent.name,
        state=agent.state.value,
        owner=agent.owner,
        approvers=agent.approvers,
        monitor=agent.monitor,
        acknowledged=agent.acknowledged or 0,
        ceiling=scope_raw(agent.ceiling),
        ceiling_words=describe(agent.ceiling),
        lacks=lacks,
        running=running,
        risk=agent.risk.value,
        risk_by=agent.risk_by,
    )


def person_row(person: Person, persons: Mapping[str, Person], groups: Sequence[Group]) -> PersonRow:
    """Returns a person as a row."""
    human = human_of(person.name, persons)
    return PersonRow(
        name=person.name,
        uid=person.uid,
        state=person.state.value,
        grantable=_word(person.grantable),
        groups=tuple(one.name for one in groups if person.name in one.members),
        linked=tuple(one for one in persons if one != person.name and human_of(one, persons) == human),
    )


def person_detail(name: str, persons: Mapping[str, Person], groups: Sequence[Group]) -> PersonDetail:
    """Returns a person with their grantable scope."""
    person, may = persons[name], reach_of(name, persons, groups)
    words = _words(may.grantable)
    if may.sources:
        words = tuple(
            f"{may.sources[grant]}: {rest}" for grant, _, rest in (one.partition(": ") for one in words)
        )
    return PersonDetail(
        row=person_row(person, persons, groups),
        scope=_raw(person.grantable),
        may=_word(may.grantable),
        may_words=words,
    )


def group_detail(group: Group) -> GroupDetail:
    """Returns a group."""
    return GroupDetail(
        name=group.name,
        members=group.members,
        grantable=_word(group.grantable),
        scope=_raw(group.grantable),
        words=_words(group.grantable),
    )


def _word(grantable: Grantable) -> str:
    return "scope" if isinstance(grantable, Scope) else grantable.value


def _raw(grantable: Grantable) -> msgspec.Raw | msgspec.UnsetType:
    return scope_raw(grantable) if isinstance(grantable, Scope) else msgspec.UNSET


def _words(grantable: Grantable) -> tuple[str, ...]:
    match grantable:
        case Breadth.NOTHING:
            return ("nothing",)
        case Breadth.CEILING:
            return ("anything that the ceiling of the agent permits",)
        case Scope():
            return describe(grantable)


def task_row(task: Task, actions: int) -> TaskRow:
    """Returns a task as a row."""
    return TaskRow(
        task=task.id,
        agent=task.agent,
        requester=task.requester,
        purpose=task.purpose,
        state=task.state.value,
        started=task.started,
        deadline=task.deadline,
        actions=actions,
        learning=task.learning,
    )


def task_detail(
    snapshot: Snapshot, task: Task, connections: int, evidence: tuple[EvidenceRow, ...], now: Instant
) -> TaskDetail:
    """Returns a task in full."""
    left = snapshot.tasks.remainders(task.namespace, task.id)
    limits = counted_limits(task.scope)
    had = snapshot.credentials.credentials(task.namespace, task=task.id, limit=_COUNTED)
    mark = snapshot.targets.mark() if had else ""
    return TaskDetail(
        row=task_row(task, snapshot.actions.count(task.namespace, task.id)),
        scope=scope_raw(task.scope),
        scope_words=describe(task.scope),
        remainders=tuple((name, left.get(name, 0), of) for name, of in sorted(limits.items())),
        evidence=evidence,
        connections=connections,
        history=(),
        parent=task.parent,
        step=step_name(task),
        steps=tuple(one.name for one in task.scope.steps),
        digest=task.scope.digest,
        children=tuple(one.id for one in snapshot.tasks.children(task.namespace, task.id)),
        heartbeat=task.heartbeat,
        grace=task.grace,
        holds=task.holds.value,
        amendment=next(
            (
                one.question.id
                for one in snapshot.amendments.amendments(
                    task.namespace, states={AmendmentState.PENDING}, task=task.id, limit=1
                )
            ),
            "",
        ),
        credentials=tuple(credential_row(one, mark, now) for one in had[:_CREDENTIALS]),
        credential_count=len(had),
    )


def credential_row(row: Credential, mark: str, now: Instant) -> CredentialRow:
    """Returns a credential with its name in the target, made with this installation's mark."""
    return CredentialRow(
        id=row.id,
        name=name_of(mark, row.id) if mark else "",
        target=row.target,
        kind=row.kind,
        state=row.state.value,
        task=row.task,
        agent=row.agent,
        action=row.action,
        arguments=msgspec.Raw(row.arguments),
        made=row.made,
        ends=row.ends,
        acknowledged=row.acknowledged,
        ended=row.ended or None,
        why=row.why,
        attempts=row.attempts,
        trouble=row.trouble,
        age=age_of(row, now) // _SECOND,
        overdue=is_overdue(row, now),
        renewal=row.renewal.action if row.renewal is not None else "",
        renewal_state=row.renewal.state.value if row.renewal is not None else "",
        renewal_ends=row.renewal.ends if row.renewal is not None else None,
    )


def template_row(template: Template) -> TemplateRow:
    """Returns a template."""
    return TemplateRow(
        name=template.name,
        seconds=template.seconds,
        purpose=template.purpose,
        scope=scope_raw(template.scope),
        scope_words=describe(template.scope),
        heartbeat=template.heartbeat,
        grace=template.grace,
        holds=template.holds.value,
    )


def tool_row(tool: PinnedTool, approvers: tuple[str, ...] | None = None, owner: str = "") -> ToolRow:
    """Returns a pinned tool; approvers and owner only if given."""
    return ToolRow(
        name=tool.name,
        server=tool.identity,
        definition=tool.digest,
        state=tool.state,
        effect=effect_of(parse_definition(tool.definition), tool.effect).value,
        raw=msgspec.Raw(tool.definition),
        idempotent=tool.idempotent,
        unwatched=tool.unwatched,
        probes=tool.probes,
        checks=tool.checks,
        roles=tool.roles,
        approvers=approvers,
        owner=owner,
    )


def upstream_row(
    server: PinnedServer, tools: tuple[PinnedTool, ...], secrets: tuple[StoredSecret, ...] | None
) -> UpstreamRow:
    """Returns a pinned server, with what the caller may know of its secrets."""
    spec = read_spec(server)
    known = {one.slot: one for one in secrets or ()}
    return UpstreamRow(
        spec=spec,
        identity=server.identity,
        tools=len(tools),
        changed=sum(one.state != "pinned" for one in tools),
        agents=server.agents,
        secrets=() if secrets is None else tuple(_secret_row(slot, known.get(slot)) for slot in spec.slots),
        owners=() if secrets is None else tuple(sorted({one.owner for one in tools})),
    )


def _secret_row(slot: str, secret: StoredSecret | None) -> SecretRow:
    if secret is None:
        return SecretRow(slot=slot)
    return SecretRow(slot=slot, number=secret.number, filled=bool(secret.sealed), at=secret.at)


def sheet_for(snapshot: Snapshot, found: StoredApproval) -> SheetOf:
    """Returns the parts of this question's sheet; raises UnknownApprovalError without its action."""
    question = found.question
    kept = snapshot.actions.action(question.namespace, question.action)
    if kept is None:
        raise UnknownApprovalError(f"the action of approval `{question.id}` is not there")
    tool = snapshot.tools.tool(question.namespace, question.tool)
    server = snapshot.tools.server(question.namespace, tool.server) if tool is not None else None
    same = server is not None and server.identity == kept.server
    frame = Frame(
        namespace=question.namespace,
        task=question.task,
        agent=question.agent,
        tool=question.tool,
        server=kept.server,
        definition=kept.definition,
    )
    sheet = sheet_of(
        question,
        Action(frame=frame, arguments=kept.arguments),
        server_identity=server.spec.decode() if server is not None and same else "",
        attempt=kept.attempt,
        last_outcome=snapshot.actions.act(question.namespace, kept.root, kept.act_key).last_outcome,
        policies=kept.policies,
    )
    return replace(sheet, owner=tool.owner if tool is not None else "", gives=gives_of(tool, kept.definition))


def gives_of(tool: PinnedTool | None, definition: str) -> str:
    """Returns what a kind of credential is for, by the requested definition; empty for other tools."""
    if tool is None or tool.digest != definition or credential_kind(tool.name) is None:
        return ""
    said = parse_definition(tool.definition).value.get("description")
    return said if isinstance(said, str) else ""


def sheet_text(snapshot: Snapshot, found: StoredApproval) -> str:
    """Returns the sheet as `taskbound approval show` writes it; raises TooLongToShowError."""
    sheet = sheet_for(snapshot, found)
    match render_sheet(sheet):
        case Sheet(text=text):
            return text
        case _:
            require_showable(sheet)
            raise UnknownApprovalError("the question has no sheet")


_DECISIONS: Final = ("permit", "hold", "refuse")


class BadFilterError(MalformedError):
    """The list cannot be narrowed by this word."""

    code = "bad-filter"
    remedy = "use one of the words that there are, or none"


def task_states(word: str) -> frozenset[TaskState]:
    """Returns the states of a filter, empty for no filter (rules 1 and 2); raises BadFilterError."""
    _require_one_of(word, (one.value for one in TaskState), what="a task's state", where="state")
    return frozenset(state for state in TaskState if state.value == word)


def require_decision(word: str) -> None:
    """Raises BadFilterError unless such a decision exists (rule 2)."""
    _require_one_of(word, _DECISIONS, what="a decision", where="decision")


def require_task(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises NoTaskError unless the task exists (rule 3)."""
    if name and snapshot.tasks.task(namespace, name) is None:
        raise NoTaskError(f"no task is named `{name}`", remedy="list them with `taskbound task list`")


def require_target(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownTargetError unless the target exists or something was minted in it (rule 3)."""
    if (
        name
        and snapshot.targets.target(namespace, name) is None
        and not snapshot.credentials.credentials(namespace, target=name, limit=1)
    ):
        raise UnknownTargetError(f"no target is named `{shown(name)}`")


def require_action(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownActionError unless the action exists (rule 3)."""
    if name and snapshot.actions.action(namespace, name) is None:
        raise UnknownActionError(f"no action is named `{name}`")


def require_agent(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownIdentityError unless the agent exists (rule 3)."""
    if name and snapshot.identities.agent(namespace, name) is None:
        raise UnknownIdentityError(
            f"no agent is named `{name}`", remedy="list them with `taskbound agent list`"
        )


def require_server(snapshot: Snapshot, namespace: str, name: str) -> None:
    """Raises UnknownServerError unless the server or target is pinned (rule 3)."""
    if name and snapshot.tools.server(namespace, name) is None:
        raise UnknownServerError(f"no server is named `{name}`")


def _require_one_of(word: str, known: Iterable[str], *, what: str, where: str) -> None:
    words = tuple(known)
    if word and word not in words:
        raise BadFilterError(f"`{word}` is not {what}", where=where, remedy=f"use one of {', '.join(words)}")
