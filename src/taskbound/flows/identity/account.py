"""Accounts of people at issuers, claimed groups, and the issuers.

- Only the account that owns the data directory links accounts and links or
  unlinks persons, because separate humans count twice as approvers.
- Each sign-in sets the groups its issuer claims: named ones last `LASTS`, others end at once. An issuer does
  not change memberships set by a person.
- An issuer vouches for every agent with a selector of it, or every person with an account there. Removing an
  issuer of people ends its pending sign-ins.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.audit import PersonsLinked
from taskbound.core.audit.events.people import (
    AccountLinked,
    GroupClaimed,
    IdentityIssuerAdded,
    IdentityIssuerRemoved,
    IssuerGroupsSet,
)
from taskbound.core.identity import NotOwnerError, UnknownIdentityError
from taskbound.core.identity.agent import reach_of
from taskbound.core.identity.issuer import (
    Account,
    AccountTakenError,
    IssuerInUseError,
    IssuerUse,
    UnknownAccountError,
    UnknownIdentityIssuerError,
    claimed_groups,
    parse_groups,
    parse_subject,
    require_alone,
)
from taskbound.core.identity.person import Claimed, human_of
from taskbound.core.identity.proof import WorkloadKind
from taskbound.core.identity.sign_in import NotSignedInError
from taskbound.flows.identity.group import OF_ONE, unfounded
from taskbound.flows.identity.leaving import (
    drop_accounts,
    end_sessions,
    pause_tasks,
    require_present,
    require_self,
)
from taskbound.flows.means import Actor
from taskbound.wire.jose import parse_foreign_jwks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Group
    from taskbound.core.identity.issuer import IdentityIssuer
    from taskbound.flows.means import Adapters, TaskChange
    from taskbound.ports.store import Transaction


def add_identity_issuer(adapters: Adapters, issuer: IdentityIssuer, *, actor: Actor, owns: bool) -> None:
    """Adds a trusted issuer."""
    require_directory_owner(owns=owns)
    keys = parse_foreign_jwks(issuer.keys) if issuer.keys else ()

    def work(tx: Transaction) -> None:
        require_alone(issuer, tx.workloads.identity_issuers(issuer.namespace))
        tx.workloads.put_identity_issuer(issuer)
        event = IdentityIssuerAdded(
            name=issuer.name,
            issuer=issuer.issuer,
            audience=issuer.audience,
            use=issuer.use.value,
            keys=tuple(sorted({one.thumbprint for one in keys})),
            keys_at=issuer.keys_at,
            private=issuer.private,
            token_at=issuer.token_at,
            secret_file=issuer.secret_file,
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(issuer.namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


def drop_identity_issuer(adapters: Adapters, namespace: str, name: str, *, actor: Actor, owns: bool) -> None:
    require_directory_owner(owns=owns)

    def work(tx: Transaction) -> None:
        found = next((one for one in tx.workloads.identity_issuers(namespace) if one.name == name), None)
        if found is None:
            raise UnknownIdentityIssuerError(f"no issuer of identities is named `{name}`")
        named = tx.workloads.selectors_of(namespace, WorkloadKind.OIDC, name)
        if found.use is IssuerUse.WORKLOADS and named:
            raise IssuerInUseError(f"{len(named)} selectors name the issuer `{name}`")
        linked = [one for one in tx.accounts.accounts(namespace) if one.issuer == name]
        if linked:
            raise IssuerInUseError(f"{len(linked)} accounts of people are of the issuer `{name}`")
        tx.accounts.drop_sign_ins(namespace, name)
        tx.workloads.drop_identity_issuer(namespace, name)
        event = IdentityIssuerRemoved(name=name, issuer=found.issuer, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())

    adapters.store.write(work)


def require_directory_owner(*, owns: bool) -> None:
    """Raises NotOwnerError unless the caller's account owns the data directory."""
    if not owns:
        raise NotOwnerError(
            "only the account that owns the data directory says whose word proves identities",
            remedy="ask the operator of the daemon",
        )


def claim_groups(  # noqa: PLR0913, PLR0917 - who says what of whom, until when, and where it is recorded
    tx: Transaction,
    issuer: IdentityIssuer,
    person: str,
    claims: Mapping[str, JsonValue],
    until: Instant,
    actor: Actor,
    events: list[Event],
) -> list[TaskChange]:
    wanted, namespace = claimed_groups(issuer, claims), issuer.namespace
    _, groups = tx.identities.lock_grantors(namespace)
    free = OF_ONE - sum(person in one.everyone for one in groups)
    for group in groups:
        mine = [one for one in group.claimed if (one.person, one.issuer) == (person, issuer.name)]
        new = not mine and person not in group.everyone
        if group.name not in wanted or (new and free <= 0):
            continue
        free -= new
        others = [one for one in group.claimed if one not in mine]
        claimed = Claimed(person=person, issuer=issuer.name, until=until)
        after = replace(group, claimed=tuple(sorted([*others, claimed])), version=group.version + 1)
        tx.identities.put_group(after, expect=group.version)
        if not mine:
            events.append(_event(group, claimed, actor, member=True))
    return drop_claims(
        tx,
        namespace,
        lambda group, one: (one.person, one.issuer) == (person, issuer.name) and group.name not in wanted,
        "the issuer does not say so any more",
        actor,
        events,
    )


def drop_claims(
    tx: Transaction,
    namespace: str,
    which: Callable[[Group, Claimed], bool],
    reason: str,
    actor: Actor,
    events: list[Event],
) -> list[TaskChange]:
    persons, groups = tx.identities.lock_grantors(namespace)
    lost: set[str] = set()
    now: list[Group] = []
    for group in groups:
        over = [one for one in group.claimed if which(group, one)]
        after = group
        if over:
            kept = tuple(one for one in group.claimed if one not in over)
            after = replace(group, claimed=kept, version=group.version + 1)
            tx.identities.put_group(after, expect=group.version)
            events += [_event(group, one, actor, member=False, reason=reason) for one in over]
            lost.update(one.person for one in over)
        now.append(after)
    moved: list[TaskChange] = []
    for person in sorted(lost):
        which_tasks = unfounded(person, reach_of(person, persons, now))
        moved += pause_tasks(tx, namespace, which_tasks, f"{person}: {reason}", actor, events)
    return moved


def end_claims(adapters: Adapters) -> tuple[int, list[TaskChange]]:
    now = adapters.clock.now()
    with adapters.store.read() as snapshot:
        spaces = [
            space
            for space in snapshot.accounts.spaces()
            if any(one.until <= now for group in snapshot.identities.groups(space) for one in group.claimed)
        ]
    moved: list[TaskChange] = []
    for space in spaces:
        moved += adapters.store.write(partial(_end, adapters, space))
    return len(spaces), moved


def set_issuer_groups(  # noqa: PLR0913 - what is said of whom, and by whom
    adapters: Adapters,
    namespace: str,
    name: str,
    *,
    claim: str,
    groups: Iterable[tuple[str, str]],
    actor: Actor,
    owns: bool,
) -> list[TaskChange]:
    """Maps claim values to groups; claimed memberships end and return with the next sign-in."""
    require_directory_owner(owns=owns)
    pairs = parse_groups(claim, groups) if claim else ()

    def work(tx: Transaction) -> list[TaskChange]:
        found = next((one for one in tx.workloads.identity_issuers(namespace) if one.name == name), None)
        if found is None or found.use is not IssuerUse.PEOPLE:
            raise UnknownIdentityIssuerError(f"no issuer of people is named `{name}`")
        tx.workloads.drop_identity_issuer(namespace, name)
        tx.workloads.put_identity_issuer(replace(found, groups_at=claim, groups=pairs))
        events: list[Event] = [
            IssuerGroupsSet(
                issuer=name,
                claim=claim,
                groups=tuple(f"{value}={group}" for value, group in pairs),
                by=actor.name,
                proof=actor.proof,
            )
        ]
        reason = f"what groups {name} says was changed"
        moved = drop_claims(tx, namespace, lambda _, one: one.issuer == name, reason, actor, events)
        tx.audit.append(namespace, adapters.writer, events, adapters.clock.now())
        return moved

    return adapters.store.write(work)


def _end(adapters: Adapters, namespace: str, tx: Transaction) -> list[TaskChange]:
    now = adapters.clock.now()
    events: list[Event] = []
    actor = Actor(name="daemon", proof="")
    reason = "it was not renewed"
    moved = drop_claims(tx, namespace, lambda _, one: one.until <= now, reason, actor, events)
    if events:
        tx.audit.append(namespace, adapters.writer, events, now)
    return moved


def _event(group: Group, one: Claimed, actor: Actor, *, member: bool, reason: str = "") -> GroupClaimed:
    return GroupClaimed(
        group=group.name,
        person=one.person,
        issuer=one.issuer,
        member=member,
        until=one.until if member else 0,
        reason=reason,
        by=actor.name,
        proof=actor.proof,
    )


def link_account(  # noqa: PLR0913 - whose, which, and by whose word
    adapters: Adapters, namespace: str, person: str, *, issuer: str, subject: str, actor: Actor, owns: bool
) -> Account:
    require_self(actor, (), owns=owns)
    parse_subject(subject)

    def work(tx: Transaction) -> Account:
        known = tx.accounts.account(namespace, issuer, subject)
        issuers = {one.name: one.use for one in tx.workloads.identity_issuers(namespace)}
        if issuers.get(issuer) is not IssuerUse.PEOPLE:
            raise UnknownIdentityIssuerError(f"no issuer of people is named `{issuer}`")
        persons, _ = tx.identities.lock_grantors(namespace)
        require_present(persons.get(person), person)
        if known is not None:
            raise AccountTakenError(f"the account is `{known.person}`'s already")
        now = adapters.clock.now()
        account = Account(
            namespace=namespace,
            issuer=issuer,
            subject=subject,
            person=person,
            linked=now,
            by=actor.name,
        )
        tx.accounts.put_account(account)
        event = AccountLinked(person=person, issuer=issuer, subject=subject, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], now)
        return account

    return adapters.store.write(work)


def unlink_account(  # noqa: PLR0913 - whose, which, and by whose word
    adapters: Adapters, namespace: str, person: str, *, issuer: str, subject: str, actor: Actor, owns: bool
) -> list[TaskChange]:
    require_self(actor, (person,), owns=owns)

    def work(tx: Transaction) -> list[TaskChange]:
        events: list[Event] = []
        gone = drop_accounts(
            tx,
            namespace,
            lambda one: (one.person, one.issuer, one.subject) == (person, issuer, subject),
            f"unlinked by {actor.name}",
            actor,
            events,
        )
        if not gone:
            raise UnknownAccountError(
                f"`{person}` has no such account at `{issuer}`",
                remedy="see theirs with `taskbound person account list`",
            )
        moved = drop_claims(
            tx,
            namespace,
            lambda _, one: (one.person, one.issuer) == (person, issuer),
            f"an account at {issuer} was unlinked",
            actor,
            events,
        )
        tx.audit.append(namespace, adapters.writer, events, adapters.clock.now())
        return moved

    return adapters.store.write(work)


def end_session(adapters: Adapters, namespace: str, session: str, *, actor: Actor, owns: bool) -> None:
    def work(tx: Transaction) -> None:
        found = next((one for one in tx.accounts.sessions(namespace) if one.id == session), None)
        if found is None:
            require_self(actor, (), owns=owns)
            raise NotSignedInError(
                "there is no such session", remedy="see them with `taskbound person session list`"
            )
        require_self(actor, (found.person,), owns=owns)
        events: list[Event] = []
        end_sessions(tx, namespace, lambda one: one.id == session, f"ended by {actor.name}", actor, events)
        tx.audit.append(namespace, adapters.writer, events, adapters.clock.now())

    adapters.store.write(work)


def link_persons(  # noqa: PLR0913 - who, with whom, and by whose word
    adapters: Adapters, namespace: str, one: str, other: str, *, linked: bool, actor: Actor, owns: bool
) -> tuple[str, ...]:
    """Links two persons as one human, or unlinks the first; returns the changed persons."""
    require_self(actor, (), owns=owns)
    fresh = adapters.chance.name("hum")

    def work(tx: Transaction) -> tuple[str, ...]:
        persons, _ = tx.identities.lock_grantors(namespace)
        for name in (one, other):
            if name not in persons:
                raise UnknownIdentityError(f"no person is named `{name}`")
        same = human_of(one, persons) == human_of(other, persons)
        if same is linked:
            return ()
        human = (persons[other].human or fresh) if linked else ""
        both = {human_of(one, persons), human_of(other, persons)}
        who = [name for name in persons if human_of(name, persons) in both] if linked else [one]
        for name in who:
            before = persons[name]
            after = replace(before, human=human, version=before.version + 1)
            tx.identities.put_person(after, expect=before.version)
        event = PersonsLinked(persons=tuple(who), linked=linked, by=actor.name, proof=actor.proof)
        tx.audit.append(namespace, adapters.writer, [event], adapters.clock.now())
        return tuple(who)

    return adapters.store.write(work)
