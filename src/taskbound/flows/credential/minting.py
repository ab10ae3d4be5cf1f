"""What the broker mints: it believes the store, and not all of that. It is sent names of rows, and no more.

1. The row is being minted, under the fence that the broker was given, and its lease lasts for longer than
   whoever holds it may begin anything (`core.credential.lease`).
2. It is the row that was journaled: the record of its beginning names all that it is. A row that was altered
   afterwards, or was written without a record, is not minted.
3. The target is the one that the row was permitted for, by what its file says now, and so is the kind.
4. The action is there, permitted, and is this row's: its digest is that of this task, agent, target, kind and
   these arguments. What people signed is that digest.
5. What doesn't hold at this instant is not minted: everything is stopped, the agent is suspended or nobody
   answers for it, the task or an ancestor doesn't run, or is another agent's.
6. It ends with its task, with what was asked for and with what its kind allows, each counted from now.
7. Where people or issuers lifted a hold, what they signed is verified again, and is enough still, by whoever
   may say so now. A question of this action that nobody has lifted lets nothing through. Whether it had to be
   held is the policy's to say, in the daemon: what writes permits there is believed in that alone.
8. A canary is asked for by nobody, and is one only while its target's test is under way. It lives for a
   minute at most, has no recipient, and has no more than its kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from taskbound.core.action import Action, ActionState, Frame, parse_object
from taskbound.core.approval import AnswerKind, ApprovalState
from taskbound.core.audit import TamperedError, parse_record
from taskbound.core.audit.events.credential import CredentialJournaled
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    MARGIN,
    CredentialState,
    LeaseLostError,
    credential_of,
    end_in_target,
    is_canary,
    name_of,
    require_lease,
)
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.revocation import require_not_stopped
from taskbound.core.target import SECONDS, TargetState, kind_definition, parse_target_file
from taskbound.core.target.kind import MAX_PARAMETER
from taskbound.core.task import NoTaskError, require_live
from taskbound.core.tool import join_tool_name
from taskbound.core.tool.name import CREDENTIAL
from taskbound.flows.approval.circle import see_people
from taskbound.ports.target import MintOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.credential import Credential
    from taskbound.core.target import CredentialKind, TargetFile
    from taskbound.flows.approval.circle import Proves
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget

__all__ = ["CANARY_LIVES", "CredentialAlteredError", "Mintable", "NotMintableError", "require_mintable"]

CANARY_LIVES: Final = 60
"""Seconds (rule 8)."""


class CredentialAlteredError(DeniedError):
    """A credential's row is not what was permitted and recorded."""

    code = "credential-altered"
    remedy = "look for who writes to the store beside the daemon: `taskbound audit verify`"


class NotMintableError(DeniedError):
    """What a credential rests on does not let it be minted now."""

    code = "not-mintable"
    remedy = "ask for it anew, once what is in the way is not so any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mintable:
    """What is to be minted, where, and for whom."""

    row: Credential
    target: StoredTarget
    file: TargetFile
    kind: CredentialKind
    order: MintOrder


def require_mintable(
    snapshot: Snapshot, proves: Proves, namespace: str, credential: str, *, fence: int, now: Instant
) -> Mintable:
    """Go on only with a credential that is to be minted now (rules 1 to 8).

    Args:
        snapshot: One state of the store, read by the broker itself.
        proves: Tells what answers are worth (rule 7).
        namespace: Whose.
        credential: The row's id.
        fence: Of the lease that the broker was given.
        now: When, by the broker's clock.

    Raises:
        DeniedError: It is not, and why.
    """
    row = snapshot.credentials.credential(namespace, credential)
    if row is None or row.state is not CredentialState.MINTING:
        raise NotMintableError(f"`{credential}` is not being minted")
    now = max(now, row.made)  # a late clock makes nothing younger
    require_lease(row, fence, now)  # 1
    if row.lease.until - now <= MARGIN:
        raise LeaseLostError(f"`{credential}` is in this worker's hand for too short a time")
    _require_journaled(snapshot, row)  # 2
    target, file, kind = _require_target(snapshot, row)  # 3
    arguments = _require_arguments(row, kind)
    require_not_stopped(snapshot.revocation.kill_switch(namespace))  # 5
    if is_canary(row):
        _require_canary(row, target, now)
    else:
        action = _require_action(snapshot, row, kind)
        _require_standing(snapshot, row, arguments, kind, now)
        _require_lifted(snapshot, proves, action, now)
    order = MintOrder(
        name=name_of(snapshot.targets.mark(), row.id),
        ends=end_in_target(row.ends),
        context={name: str(arguments[name]) for name in kind.parameters},
    )
    return Mintable(row=row, target=target, file=file, kind=kind, order=order)


def _require_journaled(snapshot: Snapshot, row: Credential) -> None:
    """Go on only with the row that was journaled (rule 2).

    Raises:
        CredentialAlteredError: It is another, or there is no record of it.
    """
    kept = snapshot.audit.numbered(row.record)
    try:
        record = parse_record(kept.body) if kept is not None else None
    except TamperedError as error:
        raise CredentialAlteredError("the record of the credential's beginning can't be read") from error
    event = record.event if record is not None and record.namespace == row.namespace else None
    if not isinstance(event, CredentialJournaled) or event.credential != row.id:
        raise CredentialAlteredError("no record says that the credential was permitted")
    said = (event.target, event.of, event.identity, event.task, event.agent, event.action, event.recipient)
    is_so = (row.target, row.kind, row.identity, row.task, row.agent, row.action, row.recipient)
    if said != is_so or row.ends > event.ends:
        raise CredentialAlteredError("the credential is not what the record of its beginning says")


def _require_target(snapshot: Snapshot, row: Credential) -> tuple[StoredTarget, TargetFile, CredentialKind]:
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
    return target, file, kind


def _require_arguments(row: Credential, kind: CredentialKind) -> Mapping[str, JsonValue]:
    """What was asked for: exactly the kind's parameters, and for how long.

    Raises:
        CredentialAlteredError: It is something else.
    """
    try:
        arguments = parse_object(row.arguments)
    except MalformedError as error:
        raise CredentialAlteredError("what was asked for can't be read") from error
    values = [arguments.get(name) for name in kind.parameters]
    if arguments.keys() - {SECONDS} != set(kind.parameters) or not all(
        isinstance(one, str) and 1 <= len(one) <= MAX_PARAMETER for one in values
    ):
        raise CredentialAlteredError("what was asked for is nothing that the kind has")
    return arguments


def _require_canary(row: Credential, target: StoredTarget, now: Instant) -> None:
    """Go on only with a canary of a test that is under way (rule 8).

    Raises:
        CredentialAlteredError: It is none.
    """
    begun = target.begun
    under_test = begun is not None and (target.tested is None or target.tested < begun)
    if row.task or row.agent or row.recipient or not under_test or row.made != begun:
        raise CredentialAlteredError("the credential is nobody's, and no canary of a test that is under way")
    if row.ends > now + seconds(CANARY_LIVES):
        raise CredentialAlteredError("the canary would live for longer than any does")


def _require_action(snapshot: Snapshot, row: Credential, kind: CredentialKind) -> StoredAction:
    """The action that the row is of (rule 4).

    Raises:
        CredentialAlteredError: It is another one's, or there is none.
        NotMintableError: It is not permitted any more.
    """
    action = snapshot.actions.action(row.namespace, row.action)
    if action is None or credential_of(action.id) != row.id:
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
    if Action(frame=frame, arguments=row.arguments).digest != action.digest:
        raise CredentialAlteredError("the credential is not what its action asked for")
    said = (action.task, action.agent, action.tool, action.server, action.definition, action.arguments)
    if said != (frame.task, frame.agent, frame.tool, frame.server, frame.definition, row.arguments):
        raise CredentialAlteredError("the action is not what its digest says")
    return action


def _require_standing(
    snapshot: Snapshot,
    row: Credential,
    arguments: Mapping[str, JsonValue],
    kind: CredentialKind,
    now: Instant,
) -> None:
    """Go on only while all that it rests on holds (rules 5 and 6).

    Raises:
        DeniedError: Something doesn't.
    """
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
    asked = arguments.get(SECONDS, kind.seconds)
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= kind.seconds:
        raise CredentialAlteredError("it was asked for longer than the kind allows")
    if row.ends > min(now + seconds(asked), *(one.deadline for one in heads.values())):  # 6
        raise CredentialAlteredError("the credential would outlive what it was asked for, or its task")
    if row.ends <= now:
        raise NotMintableError("the credential is over")


def _require_lifted(snapshot: Snapshot, proves: Proves, action: StoredAction, now: Instant) -> None:
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
