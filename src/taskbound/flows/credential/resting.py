"""What a credential rests on, by the store and at this instant: the broker reads it before it calls a target.

1. The broker has it in hand, and for longer than it may begin anything (`core.credential.lease`).
2. It is the row that was journaled: the record of its beginning names all that it is. A row that was altered
   afterwards, or was written without a record, is believed in nothing.
3. The target is the one that the row was permitted for, by what its file says now, and so is the kind.
4. The action that asked is there, permitted, and of this row: its digest is that of this task, agent, target,
   kind and its own arguments. What people signed is that digest.
5. What doesn't hold at this instant is in the way: everything is stopped, the agent is suspended or nobody
   answers for it, the task or an ancestor doesn't run, or is another agent's.
6. It ends with its task, with what was asked for and with what its kind allows, each counted from now.
7. Where people or issuers lifted a hold, what they signed is verified again, and is enough still, by whoever
   may say so now. A question of this action that nobody has lifted lets nothing through. Whether it had to be
   held is the policy's to say, in the daemon: what writes permits there is believed in that alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.action import Action, ActionState, Frame, parse_object
from taskbound.core.approval import AnswerKind, ApprovalState
from taskbound.core.audit import TamperedError, parse_record
from taskbound.core.audit.events.credential import CredentialJournaled
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import MARGIN, LeaseLostError, require_lease
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.revocation import require_not_stopped
from taskbound.core.target import SECONDS, TargetState, kind_definition, parse_target_file
from taskbound.core.target.kind import MAX_PARAMETER
from taskbound.core.task import NoTaskError, require_live
from taskbound.core.tool import join_tool_name
from taskbound.core.tool.name import CREDENTIAL
from taskbound.flows.approval.circle import see_people

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.audit import Record
    from taskbound.core.credential import Credential
    from taskbound.core.target import CredentialKind, TargetFile
    from taskbound.flows.approval.circle import Proves
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget


class CredentialAlteredError(DeniedError):
    """A credential's row is not what was permitted and recorded."""

    code = "credential-altered"
    remedy = "look for who writes to the store beside the daemon: `taskbound audit verify`"


class NotMintableError(DeniedError):
    """What a credential rests on does not let it be minted, or renewed, now."""

    code = "not-mintable"
    remedy = "ask for it anew, once what is in the way is not so any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a credential is, and what it is there."""

    target: StoredTarget
    file: TargetFile
    kind: CredentialKind


def require_in_hand(row: Credential, fence: int, now: Instant) -> None:
    """Go on only for whoever has it in hand, and may begin something still (rule 1).

    Raises:
        LeaseLostError: That is another one, or nobody for long enough.
    """
    require_lease(row, fence, now)
    if row.lease.until - now <= MARGIN:
        raise LeaseLostError(f"`{row.id}` is in this worker's hand for too short a time")


def read_record(snapshot: Snapshot, row: Credential, number: int) -> Record | None:
    """The record of this number, where it is one of the row's namespace.

    Raises:
        CredentialAlteredError: It can't be read.
    """
    kept = snapshot.audit.numbered(number)
    try:
        record = parse_record(kept.body) if kept is not None else None
    except TamperedError as error:
        raise CredentialAlteredError("a record of the credential can't be read") from error
    return record if record is not None and record.namespace == row.namespace else None


def require_journaled(snapshot: Snapshot, row: Credential) -> Instant:
    """Go on only with the row that was journaled (rule 2); when it was to end by that.

    Raises:
        CredentialAlteredError: It is another, or there is no record of it.
    """
    record = read_record(snapshot, row, row.record)
    event = record.event if record is not None else None
    if not isinstance(event, CredentialJournaled) or event.credential != row.id:
        raise CredentialAlteredError("no record says that the credential was permitted")
    said = (event.target, event.of, event.identity, event.task, event.agent, event.action, event.recipient)
    is_so = (row.target, row.kind, row.identity, row.task, row.agent, row.action, row.recipient)
    if said != is_so:
        raise CredentialAlteredError("the credential is not what the record of its beginning says")
    return Instant(event.ends)


def require_place(snapshot: Snapshot, row: Credential) -> Place:
    """The target of the row, as its file declares it now, and the kind (rule 3).

    Raises:
        NotMintableError: It is another one now, or has no such kind.
        CredentialAlteredError: The target's row does not fit its file.
    """
    target = snapshot.targets.target(row.namespace, row.target)
    if target is None:
        raise NotMintableError(f"there is no target `{row.target}`")
    try:
        file = parse_target_file(target.file)
    except MalformedError as error:
        raise CredentialAlteredError("the target's file can't be read") from error
    identity = file.identity(row.namespace)
    if file.name != row.target or identity != target.identity:
        raise CredentialAlteredError("the target is not what its file says")
    if identity != row.identity:
        raise NotMintableError(f"the target `{row.target}` is another one now")
    kind = next((one for one in file.credentials if one.name == row.kind), None)
    if kind is None:
        raise NotMintableError(f"the target `{row.target}` has no such kind of credential")
    return Place(target=target, file=file, kind=kind)


def read_arguments(text: bytes, kind: CredentialKind, *more: str) -> Mapping[str, JsonValue]:
    """What was asked for: exactly the kind's parameters and these texts, and for how long.

    Raises:
        CredentialAlteredError: It is something else.
    """
    try:
        arguments = parse_object(text)
    except MalformedError as error:
        raise CredentialAlteredError("what was asked for can't be read") from error
    names = {*kind.parameters, *more}
    values = [arguments.get(name) for name in sorted(names)]
    if arguments.keys() - {SECONDS} != names or not all(
        isinstance(one, str) and 1 <= len(one) <= MAX_PARAMETER for one in values
    ):
        raise CredentialAlteredError("what was asked for is nothing that the kind has")
    return arguments


def require_action(snapshot: Snapshot, row: Credential, kind: CredentialKind, name: str) -> StoredAction:
    """The action of this name, which asks for something of the row (rule 4).

    Raises:
        CredentialAlteredError: It is another one's, or there is none.
        NotMintableError: It is not permitted any more.
    """
    action = snapshot.actions.action(row.namespace, name)
    if action is None:
        raise CredentialAlteredError("the credential's action is not there")
    if action.state is not ActionState.PERMITTED or action.decision != "permit":
        raise NotMintableError(f"the action `{action.id}` is {action.state.value}")
    frame = Frame(
        namespace=row.namespace,
        task=row.task,
        agent=row.agent,
        tool=join_tool_name(row.target, CREDENTIAL + row.kind),
        server=row.identity,
        definition=kind_definition(kind).digest,
    )
    if Action(frame=frame, arguments=action.arguments).digest != action.digest:
        raise CredentialAlteredError("the credential is not what its action asked for")
    said = (action.task, action.agent, action.tool, action.server, action.definition)
    if said != (frame.task, frame.agent, frame.tool, frame.server, frame.definition):
        raise CredentialAlteredError("the action is not what its digest says")
    return action


def require_standing(
    snapshot: Snapshot,
    row: Credential,
    kind: CredentialKind,
    *,
    asked: JsonValue,
    ends: Instant,
    now: Instant,
) -> None:
    """Go on only while all that it rests on holds until it ends (rules 5 and 6).

    Args:
        snapshot: One state of the store.
        row: The credential.
        kind: Its kind.
        asked: For how many seconds it is wanted.
        ends: When it is to end.
        now: When.

    Raises:
        DeniedError: Something doesn't.
    """
    require_not_stopped(snapshot.revocation.kill_switch(row.namespace))
    target = snapshot.targets.target(row.namespace, row.target)
    if target is None or target.state is not TargetState.READY:
        raise NotMintableError(f"the target `{row.target}` is not ready")
    agent = snapshot.identities.agent(row.namespace, row.agent)
    if agent is None:
        raise UnknownIdentityError(f"no agent is named `{row.agent}`")
    require_active(agent, snapshot.identities.persons(row.namespace))
    heads = snapshot.tasks.heads(row.namespace, {row.task})
    require_live(row.task, heads, now)
    if heads[row.task].agent != row.agent:
        raise NoTaskError(f"the task `{row.task}` is none of agent `{row.agent}`")
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= kind.seconds:
        raise CredentialAlteredError("it was asked for longer than the kind allows")
    if ends > min(now + seconds(asked), *(one.deadline for one in heads.values())):  # 6
        raise CredentialAlteredError("the credential would outlive what it was asked for, or its task")
    if ends <= now:
        raise NotMintableError("the credential is over")


def require_lifted(snapshot: Snapshot, proves: Proves, action: StoredAction, now: Instant) -> None:
    """Go on only where no hold was on it, or those lift it whose word counts (rule 7).

    Raises:
        CredentialAlteredError: The question is about something else.
        NotMintableError: It is not lifted, or not any more.
    """
    asked = snapshot.approvals.approval_of(action.namespace, action.id)
    if asked is None:
        return
    question = asked.question
    about = (question.namespace, question.action, question.act, question.task, question.agent, question.tool)
    if about != (action.namespace, action.id, action.digest, action.task, action.agent, action.tool):
        raise CredentialAlteredError("what people were asked is not what was permitted")
    if asked.state is not ApprovalState.CONSUMED or any(one.kind is AnswerKind.DENY for one in asked.answers):
        raise NotMintableError(f"the action `{action.id}` is held, and nobody has lifted that")
    task = snapshot.tasks.task(action.namespace, action.task)
    if task is None:
        raise NoTaskError(f"task `{action.task}` is not known")
    people = see_people(snapshot, action.namespace, now)
    circle = people.circle(snapshot, task, action.tool)
    lacking = people.lacking(question, asked.answers, circle, proves, now, plan=asked.plan)
    if lacking:
        raise NotMintableError(f"what people signed is not enough: {lacking}")
