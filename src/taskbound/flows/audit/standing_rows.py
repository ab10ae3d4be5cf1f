"""Compares declared state with the log: stops, groups, targets, issuers, accounts.

Not compared, as no record holds them: when a trust domain's bundle was confirmed, how a server is started,
and which agents it is offered.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.approval.fatigue import ApprovalLimits
from taskbound.core.audit import (
    GrantableChanged,
    GroupChanged,
    IdentityChanged,
    IssuerAdded,
    IssuerRemoved,
    KillSwitchChanged,
    UpstreamAdded,
    UpstreamRemoved,
)
from taskbound.core.audit.events.approval import ApprovalLimitsChanged
from taskbound.core.audit.events.people import (
    AccountLinked,
    AccountUnlinked,
    AgentKeyChanged,
    GroupClaimed,
    IdentityIssuerAdded,
    IdentityIssuerRemoved,
    IssuerGroupsSet,
    PersonSignedIn,
    SelectorAdded,
    SelectorRemoved,
    TrustAdded,
    TrustBundleTaken,
    TrustRemoved,
)
from taskbound.core.audit.events.standing import (
    TargetAdded,
    TargetAdminSet,
    TargetRemoved,
    TargetTested,
    UpstreamSecretSet,
)
from taskbound.core.audit.events.token import ClientAdded, ClientRemoved
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity import PersonState
from taskbound.core.identity.person import Breadth
from taskbound.core.identity.selector import selector_id
from taskbound.core.revocation import KillSwitch
from taskbound.core.target import TargetState, parse_target_file
from taskbound.flows.audit.compared import RecordedRows
from taskbound.flows.identity.person import grantable_word
from taskbound.wire.jose import parse_jwks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskbound.core.audit import Event, Record
    from taskbound.flows.audit.compared import Fields
    from taskbound.ports.store import Snapshot


_ONE: Final = ""
"""The name of what a namespace has one of."""


@dataclass(slots=True)
class StandingLedger:
    """Declared state as the log leaves it."""

    snapshot: Snapshot
    told: dict[str, RecordedRows] = field(
        default_factory=lambda: {what: RecordedRows(what, begun) for what, begun, _ in _ROWS}
    )
    spaces: set[str] = field(default_factory=set)

    def take(self, record: Record) -> None:
        self.spaces.add(record.namespace)
        _follow(record.namespace, record.event, self.told)

    def differences(self) -> Iterator[str]:
        found = {*self.snapshot.identities.namespaces(), *self.snapshot.accounts.spaces()}
        found |= {one.namespace for one in self.snapshot.targets.all_targets()}
        found |= {one.namespace for one in self.snapshot.trusts.all_trusts()}
        for space in sorted(self.spaces | found):
            for what, _, read in _ROWS:
                yield from self.told[what].against(space, dict(read(self.snapshot, space)))


def _follow(space: str, event: Event, told: Mapping[str, RecordedRows]) -> None:
    match event:
        case KillSwitchChanged(stopped=stopped, epoch=epoch, reason=reason):
            told["stop"].put(space, _ONE, state=stopped, epoch=epoch, reason=reason)
        case ApprovalLimitsChanged(open=most, hourly=hourly, speed=speed):
            told["limit of questions"].put(space, _ONE, amount=(most, hourly, speed))
        case GroupChanged() | GroupClaimed() | GrantableChanged() | IdentityChanged() | PersonSignedIn():
            _follow_group(space, event, told["group"])
        case TargetAdded() | TargetAdminSet() | TargetTested() | TargetRemoved():
            _follow_target(space, event, told)
        case UpstreamAdded() | UpstreamRemoved() | UpstreamSecretSet():
            _follow_server(space, event, told)
        case TrustAdded() | TrustBundleTaken() | TrustRemoved():
            _follow_trust(space, event, told["trust domain"])
        case _:
            _follow_word(space, event, told)
            _follow_workload(space, event, told)


def _follow_server(
    space: str, event: UpstreamAdded | UpstreamRemoved | UpstreamSecretSet, told: Mapping[str, RecordedRows]
) -> None:
    servers, secrets = told["server"], told["secret"]
    match event:
        case UpstreamAdded(upstream=name, server=identity):
            servers.put(space, name, identity=identity, form="server")
        case UpstreamRemoved(upstream=name):
            servers.drop(space, name)
            for where, slot in [*secrets.rows]:
                if where == space and slot.partition(" ")[0] == name:
                    secrets.drop(space, slot)
        case UpstreamSecretSet(upstream=name, slot=slot, number=number, sealed=sealed):
            secrets.put(space, f"{name} {slot}", number=number, value=sealed)


def _follow_word(space: str, event: Event, told: Mapping[str, RecordedRows]) -> None:
    evidence, accounts, clients = told["issuer of evidence"], told["account"], told["client"]
    match event:
        case IssuerAdded(name=name):
            keys = set(event.thumbprints)
            evidence.put(space, name, issuer=event.issuer, audience=event.audience, keys=keys)
        case IssuerRemoved(name=name):
            evidence.drop(space, name)
        case AccountLinked(issuer=issuer, subject=subject, person=person):
            accounts.put(space, f"{issuer} {subject}", person=person)
        case AccountUnlinked(issuer=issuer, subject=subject):
            accounts.drop(space, f"{issuer} {subject}")
        case ClientAdded(client=name):
            clients.put(space, name, title=event.shown, redirects=event.redirects)
        case ClientRemoved(client=name):
            clients.drop(space, name)
        case _:
            pass


def _follow_group(
    space: str,
    event: GroupChanged | GroupClaimed | GrantableChanged | IdentityChanged | PersonSignedIn,
    groups: RecordedRows,
) -> None:
    match event:
        case GroupChanged(group=name, members=members):
            if (space, name) not in groups.rows:
                groups.put(space, name, claims={}, **{"right to grant": Breadth.NOTHING.value})
            groups.change(space, name, members=members)
        case GrantableChanged(form="group", identity=name, after=after):
            groups.change(space, name, **{"right to grant": after})
        case GroupClaimed(group=name, person=person, issuer=issuer, until=until):
            claims = {**_claims(groups.rows.get((space, name)))}
            claims.pop((person, issuer), None)
            groups.change(space, name, claims={**claims, (person, issuer): until} if event.member else claims)
        case PersonSignedIn(person=person, issuer=issuer, until=until):
            for (where, name), group in groups.rows.items():
                if where == space and (person, issuer) in _claims(group):
                    groups.change(space, name, claims={**_claims(group), (person, issuer): until})
        case IdentityChanged(identity=person, after=PersonState.GONE.value):
            for (where, name), group in groups.rows.items():
                if where == space:
                    left = {key: until for key, until in _claims(group).items() if key[0] != person}
                    groups.change(space, name, claims=left)
        case _:
            pass


def _claims(group: Fields | None) -> dict[tuple[str, str], int]:
    found = group["claims"] if group is not None else {}
    return found if isinstance(found, dict) else {}


def _follow_target(
    space: str,
    event: TargetAdded | TargetAdminSet | TargetTested | TargetRemoved,
    told: Mapping[str, RecordedRows],
) -> None:
    targets, servers = told["target"], told["server"]
    match event:
        case TargetAdded(target=name, identity=identity):
            targets.put(
                space,
                name,
                identity=identity,
                file=identity,
                owner=event.owner,
                approvers=event.approvers,
                state=TargetState.UNTESTED.value,
                trouble="",
                **{"admin access": (1, event.sealed)},
            )
            servers.put(space, name, identity=identity, form="target", start=identity)
        case TargetAdminSet(target=name):
            targets.change(space, name, **{"admin access": (event.number, event.sealed)})
        case TargetTested(target=name):
            targets.change(space, name, state=event.after, trouble=event.trouble)
        case TargetRemoved(target=name):
            targets.drop(space, name)
            servers.drop(space, name)


def _follow_trust(
    space: str, event: TrustAdded | TrustBundleTaken | TrustRemoved, trusts: RecordedRows
) -> None:
    match event:
        case TrustAdded():
            source = (event.source, event.place, event.endpoint, event.private, event.bound)
            trusts.put(space, event.domain, source=source, bundle=event.bundle)
        case TrustBundleTaken():
            trusts.change(space, event.domain, bundle=event.bundle)
        case TrustRemoved():
            trusts.drop(space, event.domain)


def _follow_workload(space: str, event: Event, told: Mapping[str, RecordedRows]) -> None:
    issuers, selectors, keys = told["issuer of identities"], told["selector"], told["key of agents"]
    match event:
        case IdentityIssuerAdded(name=name):
            means = (event.issuer, event.audience, event.use)
            places = (event.keys_at, event.private, event.token_at, event.secret_file)
            issuers.put(space, name, issuer=means, keys=set(event.keys), address=places, groups=("", ()))
        case IssuerGroupsSet(issuer=name):
            issuers.change(space, name, groups=(event.claim, event.groups))
        case IdentityIssuerRemoved(name=name):
            issuers.drop(space, name)
        case SelectorAdded(selector=name):
            selectors.put(space, name, agent=event.agent)
        case SelectorRemoved(selector=name):
            selectors.drop(space, name)
        case AgentKeyChanged():
            for kid in event.ended:
                keys.change(space, kid, state="ended")
            keys.put(space, event.key, agent=event.agent, state="counts", **{"public half": {event.key}})
        case _:
            pass


def _stops(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    row = snapshot.revocation.kill_switch(space)
    if row != KillSwitch():
        yield _ONE, {"state": row.stopped, "epoch": row.epoch, "reason": row.reason}


def _limits(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    row = snapshot.approvals.limits(space)
    if row != ApprovalLimits(namespace=space):
        yield _ONE, {"amount": (row.open, row.hourly, row.speed)}


def _groups(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.identities.groups(space):
        claims = {(each.person, each.issuer): each.until for each in one.claimed}
        yield (
            one.name,
            {"members": one.members, "right to grant": grantable_word(one.grantable), "claims": claims},
        )


def _targets(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.targets.targets(space):
        fields: Fields = {"file": "", "owner": "", "approvers": ()}
        try:
            file = parse_target_file(one.file)
            if file.name == one.name:
                fields = {"file": file.identity(space), "owner": file.owner, "approvers": file.approvers}
        except MalformedError:
            pass  # no identity is an empty one
        yield (
            one.name,
            fields
            | {
                "identity": one.identity,
                "state": one.state.value,
                "trouble": one.trouble,
                "admin access": (one.number, _digest(one.sealed)),
            },
        )


def _servers(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.tools.servers(space):
        yield one.name, {"identity": one.identity, "form": "server"}
    for target in snapshot.targets.targets(space):
        row = snapshot.tools.server(space, target.name)
        if row is not None:
            form = "target" if row.is_target else "server"
            start = target.identity if row.spec == _spec(target.file) else ""
            yield row.name, {"identity": row.identity, "form": form, "start": start}


def _spec(file: bytes) -> bytes:
    try:
        return parse_target_file(file).spec
    except MalformedError:
        return b""


def _secrets(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for server in snapshot.tools.servers(space):
        for one in snapshot.tools.secrets(space, server.name):
            value = _digest(one.sealed) if one.sealed else ""
            yield f"{one.server} {one.slot}", {"number": one.number, "value": value}


def _evidence(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.identities.issuers(space):
        yield one.name, {"issuer": one.issuer, "audience": one.audience, "keys": _thumbprints(one.keys)}


def _accounts(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.accounts.accounts(space):
        yield f"{one.issuer} {one.subject}", {"person": one.person}


def _clients(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.authorizations.clients(space):
        redirects = tuple(each.text for each in one.client.redirects)
        yield one.client.id, {"title": one.client.name, "redirects": redirects}


def _trusts(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.trusts.trusts(space):
        source = (one.source.value, one.place, one.endpoint, one.private, one.bound)
        try:
            bundle = one.known.digest if one.bundle else ""
        except MalformedError:
            bundle = "unreadable"
        yield one.domain, {"source": source, "bundle": bundle}


def _issuers(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.workloads.identity_issuers(space):
        yield (
            one.name,
            {
                "issuer": (one.issuer, one.audience, one.use.value),
                "keys": _thumbprints(one.keys),
                "address": (one.keys_at, one.private, one.token_at, one.secret_file),
                "groups": (one.groups_at, tuple(f"{value}={group}" for value, group in one.groups)),
            },
        )


def _selectors(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.workloads.selectors(space):
        yield selector_id(one), {"agent": one.agent}  # named after all else that it says


def _agent_keys(snapshot: Snapshot, space: str) -> Iterator[tuple[str, Fields]]:
    for one in snapshot.workloads.agent_keys(space):
        state = "counts" if one.ended is None else "ended"
        yield one.kid, {"agent": one.agent, "state": state, "public half": _thumbprints(one.public)}


def _thumbprints(keys: bytes) -> set[str]:
    try:
        return {one.thumbprint for one in parse_jwks(keys)} if keys else set()
    except MalformedError:
        return set()


def _digest(sealed: str) -> str:
    return sha256(sealed.encode()).hexdigest()


_ROWS: Final[tuple[tuple[str, str, Callable[[Snapshot, str], Iterator[tuple[str, Fields]]]], ...]] = (
    ("stop", "said", _stops),
    ("limit of questions", "said", _limits),
    ("group", "made", _groups),
    ("target", "added", _targets),
    ("server", "added", _servers),
    ("secret", "set", _secrets),
    ("issuer of evidence", "added", _evidence),
    ("issuer of identities", "added", _issuers),
    ("selector", "added", _selectors),
    ("key of agents", "made", _agent_keys),
    ("account", "linked", _accounts),
    ("client", "added", _clients),
    ("trust domain", "added", _trusts),
)
"""By kind: what its first record says, and its rows in a namespace."""
