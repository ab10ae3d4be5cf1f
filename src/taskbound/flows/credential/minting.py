"""Checks what the broker may mint or renew, by the store at that instant.

- The row must match the record of its beginning, and the permitted action must belong to this row: its digest
  covers task, agent, target, kind and arguments, and is what people signed.
- Signed lifts of a hold are verified again and must still suffice; an unlifted question blocks. The daemon is
  trusted only for whether policy needed a hold.
- A canary exists only during its target's test, lives at most a minute, and has no recipient. The lease lasts
  longer than the broker may begin anything (`core.credential.lease`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.action import Action, ActionState, Frame, parse_object
from taskbound.core.approval import AnswerKind, ApprovalState
from taskbound.core.audit import TamperedError, parse_record
from taskbound.core.audit.events.work import CredentialJournaled, CredentialProlonged
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import (
    MARGIN,
    CredentialState,
    LeaseLostError,
    credential_of,
    end_in_target,
    is_canary,
    is_renewing,
    name_of,
    require_lease,
)
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError, MalformedError
from taskbound.core.identity import UnknownIdentityError, require_active
from taskbound.core.revocation import require_not_stopped
from taskbound.core.target import (
    RENEWS,
    SECONDS,
    TargetState,
    kind_definition,
    parameters_of,
    parse_target_file,
)
from taskbound.core.target.kind import MAX_PARAMETER
from taskbound.core.task import NoTaskError, require_live
from taskbound.core.token import agent_name
from taskbound.core.token import name_of as name_of_whom
from taskbound.core.tool import join_tool_name
from taskbound.core.tool.name import CREDENTIAL
from taskbound.core.tool.oauth.token import AssertionParties
from taskbound.flows.approval.circle import see_people
from taskbound.ports.target import MintOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.audit import Record
    from taskbound.core.credential import Credential, Renewal
    from taskbound.core.target import CredentialKind, TargetFile
    from taskbound.flows.approval.circle import AnswerVerifiers
    from taskbound.ports.action import StoredAction
    from taskbound.ports.store import Snapshot
    from taskbound.ports.target import StoredTarget


class CredentialAlteredError(DeniedError):
    """The credential's row differs from what was permitted and recorded."""

    code = "credential-altered"
    remedy = "look for who writes to the store beside the daemon: `taskbound audit verify`"


class NotMintableError(DeniedError):
    """The credential may not be minted or renewed now."""

    code = "not-mintable"
    remedy = "ask for it anew, once what is in the way is not so any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class MintPlace:
    """A credential's target and kind."""

    target: StoredTarget
    file: TargetFile
    kind: CredentialKind


def require_in_hand(row: Credential, fence: int, now: Instant) -> None:
    """Raises LeaseLostError unless the fence holds the lease and may still begin a step."""
    require_lease(row, fence, now)
    if row.lease.until - now <= MARGIN:
        raise LeaseLostError(f"`{row.id}` is in this worker's hand for too short a time")


def read_record(snapshot: Snapshot, row: Credential, number: int) -> Record | None:
    """Returns the record with this number if it is of the row's namespace."""
    kept = snapshot.audit.numbered(number)
    try:
        record = parse_record(kept.body) if kept is not None else None
    except TamperedError as error:
        raise CredentialAlteredError("a record of the credential can't be read") from error
    return record if record is not None and record.namespace == row.namespace else None


def require_journaled(snapshot: Snapshot, row: Credential) -> Instant:
    """Returns the recorded end; raises CredentialAlteredError if the row is not as journaled."""
    record = read_record(snapshot, row, row.record)
    event = record.event if record is not None else None
    if not isinstance(event, CredentialJournaled) or event.credential != row.id:
        raise CredentialAlteredError("no record says that the credential was permitted")
    said = (event.target, event.of, event.identity, event.task, event.agent, event.action, event.recipient)
    is_so = (row.target, row.kind, row.identity, row.task, row.agent, row.action, row.recipient)
    if said != is_so:
        raise CredentialAlteredError("the credential is not what the record of its beginning says")
    return Instant(event.ends)


def require_place(snapshot: Snapshot, row: Credential) -> MintPlace:
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
    return MintPlace(target=target, file=file, kind=kind)


def read_arguments(text: bytes, kind: CredentialKind, *more: str) -> Mapping[str, JsonValue]:
    """Returns exactly the kind's parameters, these texts and the requested seconds."""
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
    """Raises DeniedError unless its basis holds until it ends; `asked` is the lifetime in seconds."""
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
        raise NoTaskError(f"the task `{row.task}` does not belong to agent `{row.agent}`")
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= kind.seconds:
        raise CredentialAlteredError("it was asked for longer than the kind allows")
    if ends > min(now + seconds(asked), *(one.deadline for one in heads.values())):
        raise CredentialAlteredError("the credential would outlive what it was asked for, or its task")
    if ends <= now:
        raise NotMintableError("the credential is over")


def require_lifted(snapshot: Snapshot, proves: AnswerVerifiers, action: StoredAction, now: Instant) -> None:
    """Returns if no hold was on the action or valid answers lift it."""
    asked = snapshot.approvals.approval_of(action.namespace, action.id)
    if asked is None:
        return
    question = asked.question
    about = (question.namespace, question.action, question.act, question.task, question.agent, question.tool)
    if about != (action.namespace, action.id, action.digest, action.task, action.agent, action.tool):
        raise CredentialAlteredError("what people were asked is not what was permitted")
    if asked.state is not ApprovalState.CONSUMED or any(one.kind is AnswerKind.DENY for one in asked.answers):
        raise NotMintableError(f"the action `{action.id}` is held, and its hold is not lifted")
    task = snapshot.tasks.task(action.namespace, action.task)
    if task is None:
        raise NoTaskError(f"task `{action.task}` is not known")
    people = see_people(snapshot, action.namespace, now)
    circle = people.circle(snapshot, task, action.tool)
    lacking = people.lacking(question, asked.answers, circle, proves, now, plan=asked.plan)
    if lacking:
        raise NotMintableError(f"what people signed is not enough: {lacking}")


CANARY_LIVES: Final = 60
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mintable:
    """What to mint, in which target, and for whom."""

    row: Credential
    target: StoredTarget
    file: TargetFile
    kind: CredentialKind
    order: MintOrder


def require_mintable(
    snapshot: Snapshot, proves: AnswerVerifiers, namespace: str, credential: str, *, fence: int, now: Instant
) -> Mintable:
    """Returns what to mint now; `snapshot` is read by the broker itself, `now` is the broker's clock."""
    row = snapshot.credentials.credential(namespace, credential)
    if row is None or row.state is not CredentialState.MINTING:
        raise NotMintableError(f"`{credential}` is not being minted")
    now = max(now, row.made)  # a late clock makes nothing younger
    require_in_hand(row, fence, now)
    if row.ends > require_journaled(snapshot, row):
        raise CredentialAlteredError("the credential is not what the record of its beginning says")
    place = require_place(snapshot, row)
    arguments = read_arguments(row.arguments, place.kind)
    if is_canary(row):
        require_not_stopped(snapshot.revocation.kill_switch(namespace))
        _require_canary(row, place.target, now)
    else:
        action = require_action(snapshot, row, place.kind, row.action)
        if credential_of(action.id) != row.id or action.arguments != row.arguments:
            raise CredentialAlteredError("the credential is not what its action asked for")
        asked = arguments.get(SECONDS, place.kind.seconds)
        require_standing(snapshot, row, place.kind, asked=asked, ends=row.ends, now=now)
        require_lifted(snapshot, proves, action, now)
    order = MintOrder(
        name=name_of(snapshot.targets.mark(), row.id),
        ends=end_in_target(row.ends),
        context={name: str(arguments[name]) for name in place.kind.parameters},
        whom=None if is_canary(row) else _whom(snapshot, row),
    )
    return Mintable(row=row, target=place.target, file=place.file, kind=place.kind, order=order)


def _whom(snapshot: Snapshot, row: Credential) -> AssertionParties:
    task = snapshot.tasks.task(row.namespace, row.task)
    if task is None:
        raise NotMintableError(f"there is no task `{row.task}`")
    subject = name_of_whom("person", row.namespace, task.requester)
    return AssertionParties(subject=subject, actor=agent_name(row.namespace, row.agent), task=row.task)


def _require_canary(row: Credential, target: StoredTarget, now: Instant) -> None:
    begun = target.begun
    under_test = begun is not None and (target.tested is None or target.tested < begun)
    if row.task or row.agent or row.recipient or not under_test or row.made != begun:
        raise CredentialAlteredError("the credential is neither a task's nor a canary of a test in progress")
    if row.ends > now + seconds(CANARY_LIVES):
        raise CredentialAlteredError("the canary would live for longer than any does")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRenew:
    """What to renew, and in which target."""

    row: Credential
    target: StoredTarget
    name: str
    """What the target calls it."""
    ends: Instant
    """When it is to end there, in whole seconds (`core.credential.end_in_target`)."""
    record: int
    """The number of the record of its permit."""


def require_renewable(
    snapshot: Snapshot, proves: AnswerVerifiers, namespace: str, credential: str, *, fence: int, now: Instant
) -> ToRenew:
    """Returns what to renew now; `snapshot` is read by the broker itself, `now` is the broker's clock."""
    row = snapshot.credentials.credential(namespace, credential)
    renewal = row.renewal if row is not None else None
    if (
        row is None
        or renewal is None
        or row.state is not CredentialState.ACTIVE
        or not is_renewing(row)
        or is_canary(row)
    ):
        raise NotMintableError(f"`{credential}` is not being renewed")
    require_journaled(snapshot, row)
    permitted = _require_recorded(snapshot, row, renewal)
    now = max(now, permitted)  # a late clock makes nothing younger
    require_in_hand(row, fence, now)
    if now >= row.ends or not row.acknowledged:
        raise NotMintableError(f"the time of `{credential}` is over, or its secret was not handed out")
    place = require_place(snapshot, row)
    if not place.kind.renewable:
        raise NotMintableError(f"credentials of the kind `{row.kind}` are not renewed")
    action = require_action(snapshot, row, place.kind, renewal.action)
    arguments = read_arguments(action.arguments, place.kind, RENEWS)
    if arguments[RENEWS] != row.id or parameters_of(action.arguments) != parameters_of(row.arguments):
        raise CredentialAlteredError("the renewal is not what its action asked for")
    asked = arguments.get(SECONDS, place.kind.seconds)
    require_standing(snapshot, row, place.kind, asked=asked, ends=renewal.ends, now=now)
    require_lifted(snapshot, proves, action, now)
    return ToRenew(
        row=row,
        target=place.target,
        name=name_of(snapshot.targets.mark(), row.id),
        ends=end_in_target(renewal.ends),
        record=renewal.record,
    )


def _require_recorded(snapshot: Snapshot, row: Credential, renewal: Renewal) -> Instant:
    record = read_record(snapshot, row, renewal.record)
    event = record.event if record is not None else None
    if record is None or not isinstance(event, CredentialProlonged) or event.credential != row.id:
        raise CredentialAlteredError("no record says that the renewal was permitted")
    said = (event.target, event.of, event.identity, event.task, event.agent, event.action, event.ends)
    is_so = (row.target, row.kind, row.identity, row.task, row.agent, renewal.action, renewal.ends)
    if said != is_so:
        raise CredentialAlteredError("the renewal is not what the record of its permit says")
    return Instant(record.at)
