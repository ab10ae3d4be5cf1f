"""Compares tokens, credentials, pinned tools and policies with the log.

- A token row that ends later than its record, or is no longer revoked, would admit its holder. A token past
  its end at the newest record is followed only while its action is open.
- An inserted signing key could sign tokens that were never issued; a revoked key stays revoked. Other claims
  are not compared, because the signer computes their digest again before signing.
- The broker does not revoke a credential row that says revoked or never due, so the credential would live on
  in its target.
- Not compared, as no record holds them: the lease, revocation attempts, the text of a failure, and what a
  gateway last saw of a tool.
"""

from __future__ import annotations

import json
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from taskbound.core.audit import (
    ActionOutcome,
    PolicyActivated,
    PolicyProposed,
    PolicyRebased,
    PolicyRolledBack,
    parse_record,
)
from taskbound.core.audit.events.people import ToolApproversChanged, ToolOwnerChanged
from taskbound.core.audit.events.standing import (
    TargetRemoved,
    ToolAccepted,
    ToolDeclared,
    ToolPinned,
    UpstreamRemoved,
)
from taskbound.core.audit.events.token import TokenIssued, TokenKeyRevoked, TokenKeyRotated, TokenRevoked
from taskbound.core.audit.events.work import CredentialJournaled, CredentialMoved, CredentialProlonged
from taskbound.core.credential import NEVER as NEVER_ENDS
from taskbound.core.credential import CredentialEvent, CredentialState, RenewalState
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.policy import ActiveBundle, DamagedBundleError
from taskbound.core.token import DEFAULT_NAMESPACE, NEVER, TokenKeyState
from taskbound.core.tool import parse_definition
from taskbound.core.tool.file import UNWATCHED
from taskbound.flows.audit.compared import RecordedRows
from taskbound.flows.policy.engines import recorded, require_bundle
from taskbound.wire.jose import parse_jwk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskbound.core.audit import Event, Record
    from taskbound.core.credential import Credential
    from taskbound.core.token import Token
    from taskbound.flows.audit.compared import Fields
    from taskbound.ports.store import Snapshot
    from taskbound.ports.tool import PinnedTool


_PAGE: Final = 500


class TokenLedger:
    """Tokens and their signing keys as the log leaves them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._newest = _newest(snapshot)
        self._tokens = RecordedRows("token", "issued")
        self._keys = RecordedRows("key of tokens", "made")
        self._of_actions: dict[tuple[str, str], list[str]] = {}
        self._spaces: set[str] = set()

    def take(self, record: Record) -> None:
        space = record.namespace
        self._spaces.add(space)
        match record.event:
            case TokenIssued() as event if event.action or event.expires > self._newest:
                self._tokens.put(space, event.token, **_issued(event))
                if event.action:
                    self._of_actions.setdefault((space, event.action), []).append(event.token)
            case TokenRevoked() as event:
                revocation = (record.at, event.why, event.unsigned)
                self._tokens.change(space, event.token, revocation=revocation)
            case ActionOutcome() as event:
                for token in self._of_actions.pop((space, event.action), ()):
                    self._forget(space, token)
            case TokenKeyRotated() as event:
                self._rotate(event)
            case TokenKeyRevoked() as event:
                self._keys.change(DEFAULT_NAMESPACE, event.key, state=TokenKeyState.REVOKED)
            case _:
                pass

    def _forget(self, space: str, token: str) -> None:
        expires = self._tokens.rows[space, token]["end"]
        if isinstance(expires, int) and expires <= self._newest:
            self._tokens.drop(space, token)

    def _rotate(self, event: TokenKeyRotated) -> None:
        for kid, state in (
            (event.retired, TokenKeyState.RETIRED),
            (event.current, TokenKeyState.CURRENT),
            (event.following, TokenKeyState.NEXT),
        ):
            if kid:
                self._keys.put(DEFAULT_NAMESPACE, kid, state=state, **{"public half": kid})

    def differences(self) -> Iterator[str]:
        for space in sorted(self._spaces | set(self._snapshot.identities.namespaces())):
            yield from self._tokens.against(space, dict(self._rows(space)))
        keys = {
            one.kid: {"state": one.state, "public half": _thumbprint(one.public)}
            for one in self._snapshot.tokens.all_keys()
        }
        yield from self._keys.against(DEFAULT_NAMESPACE, keys)

    def _rows(self, space: str) -> Iterator[tuple[str, Fields]]:
        before = ""
        while page := self._snapshot.tokens.tokens(space, limit=_PAGE, before=before):
            for one in page:
                if one.expires > self._newest or (space, one.id) in self._tokens.rows:
                    yield one.id, _fields(one)
            before = page[-1].id


def _newest(snapshot: Snapshot) -> int:
    pending = snapshot.audit.pending(snapshot.audit.count())
    bodies = [one.body for one in pending] or snapshot.audit.records(max(0, snapshot.audit.size() - 1), 1)
    return max((parse_record(one).at for one in bodies), default=0)


def _issued(event: TokenIssued) -> Fields:
    return {
        "form": event.form,
        "task": event.task,
        "agent": event.agent,
        "subject": event.subject,
        "audience": event.audience,
        "binding": event.binding,
        "end": event.expires,
        "key": event.key,
        "digest": event.digest,
        "parent": event.parent,
        "action": event.action,
        "hand-over": event.may_act,
        "proof": event.proven_by,
        "place in the status list": event.listed,
        "revocation": None,
    }


def _fields(row: Token) -> Fields:
    binding = row.binding
    return {
        "form": row.form.value,
        "task": row.task,
        "agent": row.agent,
        "subject": row.subject,
        "audience": row.audience,
        "binding": f"{binding.kind.value}:{binding.thumbprint}" if binding is not None else "",
        "end": row.expires,
        "key": row.key,
        "digest": row.digest,
        "parent": row.parent,
        "action": row.action,
        "hand-over": row.may_act,
        "proof": row.proven_by,
        "revocation": None if row.revoked == NEVER else (row.revoked, row.why, row.unsigned),
        "place in the status list": f"{row.list}/{row.index}",
    }


def _thumbprint(public: bytes) -> str:
    try:
        return parse_jwk(json.loads(public)).thumbprint
    except (MalformedError, ValueError):
        return ""


_OVER: Final = frozenset({CredentialState.REVOKED.value, CredentialState.UNSUPPORTED.value})
_RENEWED: Final = {
    CredentialEvent.RENEW.value: RenewalState.DONE,
    CredentialEvent.KEEP.value: RenewalState.FAILED,
    CredentialEvent.END.value: RenewalState.FAILED,
}


@dataclass(slots=True)
class CredentialLedger:
    """Credentials as the log leaves them."""

    snapshot: Snapshot
    told: RecordedRows = field(default_factory=lambda: RecordedRows("credential", "written down"))
    spaces: set[str] = field(default_factory=set)
    words: list[str] = field(default_factory=list)

    def take(self, record: Record) -> None:
        space = record.namespace
        match record.event:
            case CredentialJournaled() as event:
                self.spaces.add(space)
                self.told.put(space, event.credential, **_journaled(event))
            case CredentialProlonged() as event:
                renewal = (event.action, event.ends, RenewalState.WANTED)
                self.told.change(space, event.credential, renewal=renewal)
            case CredentialMoved() as event:
                self.spaces.add(space)
                self._move(space, event)
            case _:
                pass

    def _move(self, space: str, event: CredentialMoved) -> None:
        name = event.credential
        if (space, name) not in self.told.rows:
            if event.before and event.before not in _OVER:  # neither found by a sweep nor forgotten
                self.words.append(f"credential {name} was moved, and no record says that it was written down")
            self.told.put(space, name, target=event.target, task=event.task)
        known = self.told.rows[space, name]
        known |= {"state": event.after, "reason to end": event.why}
        if event.until:
            known["end"] = event.until
        if event.event == CredentialEvent.ACKNOWLEDGE.value:
            known["acknowledgement"] = True
        renewal = known.get("renewal")
        if isinstance(renewal, tuple) and renewal[2] is RenewalState.WANTED and event.event in _RENEWED:
            known["renewal"] = (*renewal[:2], _RENEWED[event.event])
        if event.after in _OVER:
            row = self.snapshot.credentials.credential(space, name)
            known.pop("turn", None)  # whether it is looked at once more, no record says
            if row is not None and self.told.agrees(space, name, _credential_rows_fields(row)):
                self.told.drop(space, name)
        else:
            known["turn"] = True

    def differences(self) -> Iterator[str]:
        yield from self.words
        for space in sorted(self.spaces | {one.namespace for one in self.snapshot.targets.all_targets()}):
            yield from self.told.against(space, dict(self._rows(space)))

    def _rows(self, space: str) -> Iterator[tuple[str, Fields]]:
        before = ""
        while page := self.snapshot.credentials.credentials(space, limit=_PAGE, before=before):
            for one in page:
                if one.state.value not in _OVER or (space, one.id) in self.told.rows:
                    yield one.id, _credential_rows_fields(one)
            before = page[-1].id


def _journaled(event: CredentialJournaled) -> Fields:
    return {
        "target": event.target,
        "kind": event.of,
        "identity of its target": event.identity,
        "task": event.task,
        "agent": event.agent,
        "action": event.action,
        "recipient": event.recipient,
        "state": CredentialState.JOURNALED.value,
        "end": event.ends,
        "acknowledgement": False,
        "renewal": None,
        "reason to end": "",
        "turn": True,
    }


def _credential_rows_fields(row: Credential) -> Fields:
    renewal = row.renewal
    ends_before = row.due > row.ends and row.state in {CredentialState.JOURNALED, CredentialState.ACTIVE}
    return {
        "target": row.target,
        "kind": row.kind,
        "identity of its target": row.identity,
        "task": row.task,
        "agent": row.agent,
        "action": row.action,
        "recipient": row.recipient,
        "state": row.state.value,
        "end": row.ends,
        "acknowledgement": row.acknowledged,
        "renewal": None if renewal is None else (renewal.action, renewal.ends, renewal.state),
        "reason to end": row.why,
        "turn": row.due != NEVER_ENDS and not ends_before,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    server: str
    definition: str
    owner: str
    declared: tuple[object, ...] = (False, (), (), "", (), False)
    """Idempotent, probes, checks, effect, roles, unwatched."""


@dataclass(slots=True)
class ToolLedger:
    """Pinned tools as the log leaves them."""

    snapshot: Snapshot
    told: dict[tuple[str, str], _Recorded] = field(default_factory=dict)
    approvers: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        space = record.namespace
        match record.event:
            case ToolPinned() as event:
                self.told[space, event.tool] = _Recorded(
                    server=event.server, definition=event.definition, owner=event.owner
                )
            case ToolApproversChanged() as event:
                self.approvers.pop((space, event.tool), None)
                if event.own:
                    self.approvers[space, event.tool] = event.approvers
            case UpstreamRemoved(upstream=name) | TargetRemoved(target=name):
                for place in [one for one in self.told if one[0] == space and _server_of(one[1]) == name]:
                    del self.told[place]
            case (ToolAccepted() | ToolDeclared() | ToolOwnerChanged()) as event if (
                space,
                event.tool,
            ) in self.told:
                self.told[space, event.tool] = _follow(self.told[space, event.tool], event)
            case _:
                pass

    def differences(self) -> Iterator[str]:
        spaces = {space for space, _ in self.told} | set(self.snapshot.identities.namespaces())
        for space in sorted(spaces):
            rows = {one.name: one for one in self.snapshot.tools.tools(space)}
            approvers = self.snapshot.tools.approvers(space)
            told = {name: one for (where, name), one in self.told.items() if where == space}
            for name in sorted(rows.keys() | told.keys()):
                if name not in rows:
                    yield f"tool {name} was pinned, and is not there"
                elif name not in told:
                    yield f"tool {name} is there, and no record pinned it"
                else:
                    yield from _compare(rows[name], told[name])
                    if approvers.get(name) != self.approvers.get((space, name)):
                        yield f"tool {name} has other approvers than its records leave it with"


def _server_of(tool: str) -> str:
    return tool.partition("__")[0]


def _follow(told: _Recorded, event: ToolAccepted | ToolDeclared | ToolOwnerChanged) -> _Recorded:
    match event:
        case ToolAccepted():
            return _Recorded(server=told.server, definition=event.after, owner=told.owner)
        case ToolDeclared():
            unwatched = event.outcome == UNWATCHED
            declared = (event.idempotent, event.probes, event.checks, event.effect, event.roles, unwatched)
            return replace(told, declared=declared)
        case ToolOwnerChanged():
            return replace(told, owner=event.owner)


def _compare(row: PinnedTool, told: _Recorded) -> Iterator[str]:
    declared = (row.idempotent, row.probes, row.checks, row.effect, row.roles, row.unwatched)
    for what, here, there in (
        ("server", row.identity, told.server),
        ("definition", row.digest, told.definition),
        ("owner", row.owner, told.owner),
        ("declaration", declared, told.declared),
    ):
        if here != there:
            yield f"tool {row.name} has another {what} than its records leave it with"
    if _digest(row.definition) != row.digest:
        yield f"the pinned definition of tool {row.name} is not the one that its digest names"


def _digest(definition: bytes) -> str:
    try:
        found = parse_definition(definition)
    except MalformedError:
        return ""
    return found.digest if found.canonical == definition else ""


_RecordedActivation: TypeAlias = "tuple[ActiveBundle, str, str]"
"""What was put in force, how, and by whom."""


@dataclass(slots=True)
class PolicyLedger:
    """Policy bundles as the log leaves them."""

    snapshot: Snapshot
    bundles: dict[str, dict[str, None]] = field(default_factory=dict)
    activations: dict[str, dict[int, _RecordedActivation]] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        space, event = record.namespace, record.event
        known = self.bundles.setdefault(space, {})
        if isinstance(event, PolicyProposed | PolicyRebased | PolicyRolledBack) and event.bundle:
            known[event.bundle] = None
        told = _told(event)
        if told is not None:
            self.activations.setdefault(space, {})[told[0].epoch] = told

    def differences(self) -> Iterator[str]:
        for space in sorted({*self.bundles, *self.snapshot.policy.governed()}):
            yield from self._bundles(space)
            yield from self._activations(space)

    def _bundles(self, space: str) -> Iterator[str]:
        rows = {one.digest: one for one in self.snapshot.policy.bundles(space)}
        for digest in self.bundles.get(space, {}):
            if digest not in rows:
                yield f"policy bundle {digest} was recorded, and is not there"
        for digest, row in rows.items():
            try:
                require_bundle(self.snapshot, space, digest)
            except DamagedBundleError as error:
                yield error.message
                continue
            event = recorded(self.snapshot, space, row.record)
            if isinstance(event, PolicyProposed) and event.note != row.note:
                yield f"policy bundle {digest} has another note than its record"

    def _activations(self, space: str) -> Iterator[str]:
        rows = {one.force.epoch: one for one in self.snapshot.policy.activations(space)}
        for epoch in self.activations.get(space, {}):
            if epoch not in rows:
                yield f"activation {epoch} in {space} was recorded, and is not there"
        for epoch, row in rows.items():
            event = recorded(self.snapshot, space, row.record)
            if event is None or _told(event) != (row.force, row.how, row.by):
                yield f"activation {epoch} in {space} is not as its record says"
        now = self.snapshot.policy.in_force(space)
        if now != (rows[max(rows)].force if rows else ActiveBundle()):
            yield f"the policy bundle in force in {space} is not what was put in force last"


def _told(event: Event) -> _RecordedActivation | None:
    match event:
        case PolicyActivated(bundle=digest, epoch=epoch, by=by):
            return ActiveBundle(epoch=epoch, digest=digest), "activated", by
        case PolicyRolledBack(bundle=digest, epoch=epoch, by=by):
            return ActiveBundle(epoch=epoch, digest=digest), "rolled-back", by
        case PolicyRebased(bundle=digest, epoch=epoch):
            return ActiveBundle(epoch=epoch, digest=digest), "rebased", "daemon"
        case _:
            return None
