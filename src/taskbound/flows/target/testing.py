"""Tests a target with one canary of each kind, and finds its owners and approvers.

A canary is a credential row without action or task, made at the instant its test began. A test succeeds when
every canary was used and is gone, or, if the target cannot revoke, was used and expires. The first successful
test pins one tool per kind, with the file's owner and approvers as far as they are present. A later test
removes no tool.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from taskbound.core.action import canonical
from taskbound.core.audit.events import ToolApproversChanged, ToolPinned
from taskbound.core.audit.events.standing import TargetTestBegun, TargetTested
from taskbound.core.audit.events.work import CredentialJournaled
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import ID_PREFIX, NEVER, Credential, CredentialState, due_of, is_canary
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity import OF_GROUP, PersonState, UnknownIdentityError, group_named
from taskbound.core.target import SECONDS, TargetState, kind_definition, parse_target_file
from taskbound.core.tool import join_tool_name
from taskbound.flows.identity.leaving import require_present
from taskbound.flows.means import Actor
from taskbound.ports.tool import PinnedTool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.audit import Event
    from taskbound.core.identity import Group, Person
    from taskbound.core.target import CredentialKind, TargetFile
    from taskbound.flows.means import Adapters
    from taskbound.ports.store import Snapshot, Transaction
    from taskbound.ports.target import StoredTarget


def require_people(
    file: TargetFile, persons: Mapping[str, Person], groups: Collection[Group]
) -> tuple[str, ...]:
    """Returns the file's approvers, typed and sorted; raises UnknownIdentityError."""
    require_present(persons.get(file.owner), file.owner)
    known = {one.name for one in groups}
    return tuple(sorted({_approver(name, persons, known) for name in file.approvers}))


def _approver(name: str, persons: Mapping[str, Person], groups: Collection[str]) -> str:
    group = group_named(name)
    if group or (not _is_present(name, persons) and name in groups):
        if (group or name) not in groups:
            raise UnknownIdentityError(f"no group is named `{group}`")
        return f"{OF_GROUP}{group or name}"
    if not _is_present(name, persons):
        raise UnknownIdentityError(f"no person or group is named `{name}`")
    return name


def present_people(file: TargetFile, persons: Mapping[str, Person]) -> tuple[str, tuple[str, ...]]:
    """Returns the file's owner, '' if departed, and its present approvers."""
    owner = file.owner if _is_present(file.owner, persons) else ""
    approvers = tuple(one for one in file.approvers if group_named(one) or _is_present(one, persons))
    return owner, approvers


def owners_of(snapshot: Snapshot, target: StoredTarget) -> tuple[str, ...]:
    """Returns the owners of the target's tools, or of its file before it has tools."""
    return answering(snapshot, target)[0]


def answering(snapshot: Snapshot, target: StoredTarget) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tools = snapshot.tools.tools(target.namespace, server=target.name)
    if not tools:
        owner, approvers = present_people(
            parse_target_file(target.file), snapshot.identities.persons(target.namespace)
        )
        return ((owner,) if owner else ()), approvers
    named = snapshot.tools.approvers(target.namespace)
    owners = {one.owner for one in tools} - {""}
    return tuple(sorted(owners)), tuple(sorted({one for tool in tools for one in named.get(tool.name, ())}))


def _is_present(name: str, persons: Mapping[str, Person]) -> bool:
    found = persons.get(name)
    return found is not None and found.state is PersonState.PRESENT


CANARY: Final = "taskbound-canary"
"""What each parameter of a canary is."""
CANARY_LIVES: Final = 60
"""Seconds. It asks for its kind's maximum and lives this long at most, since it belongs to no task."""
_PAGE: Final = 500
_TROUBLE: Final = 400
"""Characters of what is kept of a test that failed."""
_ENDED: Final = frozenset({CredentialState.REVOKING, CredentialState.REVOKED, CredentialState.UNSUPPORTED})
_DAEMON: Final = Actor(name="daemon", proof="own process")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderTest:
    """A test in progress."""

    name: str
    identity: str
    credentials: tuple[str, ...]
    """Ids of its canaries, by kind."""


def begin_test(
    tx: Transaction, adapters: Adapters, target: StoredTarget, actor: Actor, now: Instant, *, expect: int
) -> UnderTest:
    """Writes target and canaries; an existing target is locked, `expect` is its version, 0 if new."""
    begun = _new_instant(target, now)
    tx.targets.put_target(replace(target, begun=begun, version=expect + 1), expect=expect)
    kinds = parse_target_file(target.file).credentials
    rows = [_journaled(adapters, target, kind, begun) for kind in kinds]
    for number, row in enumerate(rows):
        tx.audit.append(target.namespace, adapters.writer, [_journaling(row)], now)
        rows[number] = replace(row, record=tx.audit.last_number())
    tx.credentials.insert_credentials(rows)
    event = TargetTestBegun(
        target=target.name,
        identity=target.identity,
        canaries=tuple(one.id for one in rows),
        by=actor.name,
        proof=actor.proof,
    )
    tx.audit.append(target.namespace, adapters.writer, [event], now)
    return UnderTest(name=target.name, identity=target.identity, credentials=event.canaries)


def _new_instant(target: StoredTarget, now: Instant) -> Instant:
    before = [one + 1 for one in (target.begun, target.tested) if one is not None]
    return Instant(max([now, *before]))


def _journaled(adapters: Adapters, target: StoredTarget, kind: CredentialKind, begun: Instant) -> Credential:
    arguments: dict[str, JsonValue] = dict.fromkeys(kind.parameters, CANARY)
    row = Credential(
        namespace=target.namespace,
        id=adapters.chance.name(ID_PREFIX),
        target=target.name,
        kind=kind.name,
        identity=target.identity,
        task="",
        agent="",
        action="",
        arguments=canonical({**arguments, SECONDS: min(CANARY_LIVES, kind.seconds)}),
        recipient="",
        state=CredentialState.JOURNALED,
        made=begun,
        ends=Instant(begun + seconds(CANARY_LIVES)),
        due=begun,
    )
    return replace(row, due=due_of(row, begun))


def _journaling(row: Credential) -> CredentialJournaled:
    return CredentialJournaled(
        credential=row.id,
        target=row.target,
        of=row.kind,
        identity=row.identity,
        task=row.task,
        agent=row.agent,
        action=row.action,
        ends=row.ends,
        recipient=row.recipient,
    )


def is_under_test(target: StoredTarget) -> bool:
    return target.begun is not None and (target.tested is None or target.tested < target.begun)


def note_canary(
    tx: Transaction,
    adapters: Adapters,  # noqa: ARG001 - every flow has it; the caller writes the events
    canary: Credential,
    now: Instant,
) -> list[Event]:
    """Ends the test if this canary decides it; the caller has locked it and writes the events."""
    if not is_canary(canary) or canary.state not in _ENDED:
        return []
    target = tx.targets.lock_target(canary.namespace, canary.target)
    if target is None or not is_under_test(target) or not _is_of(canary, target):
        return []
    file = parse_target_file(target.file)
    trouble = _trouble_of(canary, file)
    if trouble:
        return _conclude(tx, target, trouble, now)
    if canary.state is not CredentialState.REVOKING and _all_worked(tx, target, file):
        return _conclude(tx, target, "", now)
    return []


def _is_of(canary: Credential, target: StoredTarget) -> bool:
    return canary.made == target.begun and canary.identity == target.identity


def _trouble_of(canary: Credential, file: TargetFile) -> str:
    if canary.shown == NEVER:
        met = canary.trouble or canary.why
        if canary.lease.fence == 0:
            met = f"no broker took it in hand ({met})" if met else "no broker took it in hand"
    elif canary.state is CredentialState.UNSUPPORTED and file.place.revocable:
        met = "what was open with it can't be ended in the target"
    else:
        return ""
    return f"the kind `{canary.kind}`: {met or 'it was not minted'}"[:_TROUBLE]


def _all_worked(tx: Transaction, target: StoredTarget, file: TargetFile) -> bool:
    wanted = {one.name for one in file.credentials}
    before = ""
    gone = {CredentialState.REVOKED} if file.place.revocable else _ENDED - {CredentialState.REVOKING}
    while wanted and (
        page := tx.credentials.credentials(
            target.namespace, target=target.name, states=gone, limit=_PAGE, before=before
        )
    ):
        wanted -= {one.kind for one in page if is_canary(one) and _is_of(one, target) and one.shown != NEVER}
        before = page[-1].id
    return not wanted


def _conclude(tx: Transaction, target: StoredTarget, trouble: str, now: Instant) -> list[Event]:
    ready = target.state is TargetState.READY
    after = replace(
        target,
        state=TargetState.READY if ready or not trouble else TargetState.REFUSED,
        trouble=trouble,
        tested=max(now, target.begun or now),
        version=target.version + 1,
    )
    tx.targets.put_target(after, expect=target.version)
    tested = TargetTested(
        target=target.name,
        identity=target.identity,
        before=target.state.value,
        after=after.state.value,
        trouble=trouble,
    )
    pins = not ready and after.state is TargetState.READY
    return [*(_pin(tx, after, now) if pins else ()), tested]


def _pin(tx: Transaction, target: StoredTarget, now: Instant) -> list[Event]:
    file = parse_target_file(target.file)
    owner, approvers = present_people(file, tx.identities.persons(target.namespace))
    events: list[Event] = []
    for kind in file.credentials:
        pinned, recorded = _tool(target, file, kind, owner, now)
        tx.tools.put_tool(pinned, expect=0)
        tx.tools.put_approvers(target.namespace, pinned.name, approvers)
        events += [
            recorded,
            ToolApproversChanged(
                tool=pinned.name, approvers=approvers, by=_DAEMON.name, proof=_DAEMON.proof, own=True
            ),
        ]
    return events


def _tool(
    target: StoredTarget, file: TargetFile, kind: CredentialKind, owner: str, now: Instant
) -> tuple[PinnedTool, ToolPinned]:
    definition = kind_definition(kind)
    pinned = PinnedTool(
        namespace=target.namespace,
        name=join_tool_name(file.name, definition.name),
        server=file.name,
        identity=target.identity,
        definition=definition.canonical,
        digest=definition.digest,
        state="pinned",
        version=now,
        owner=owner,
    )
    event = ToolPinned(
        tool=pinned.name,
        server=pinned.identity,
        definition=pinned.digest,
        effect=definition.effect.value,
        by=_DAEMON.name,
        proof=_DAEMON.proof,
        owner=owner,
    )
    return pinned, event


class UnknownTargetError(DeniedError):
    """There is no target of this name."""

    code = "target-unknown"
    remedy = "list them with `taskbound target list`"


class TargetExistsError(DeniedError):
    """A target or a server has the name already."""

    code = "target-exists"
    remedy = (
        "give it another name, or take away what has this one; a target gets another admin access with"
        " `taskbound target admin FILE`"
    )


class TargetInUseError(DeniedError):
    """The target has credentials that live or are being ended."""

    code = "target-in-use"
    remedy = "revoke what is left with `taskbound credential revoke --target`, and wait until it is gone"
