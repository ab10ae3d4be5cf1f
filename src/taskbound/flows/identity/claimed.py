"""Groups by an issuer's word: what a sign-in says, what ends, and the tasks that rested on it.

1. A sign-in says anew which groups its issuer puts the person in: what it names is so until `LASTS` after
   it, what it does not name any more ends at once. Where another account of theirs at that issuer said
   something else, the later word counts.
2. What nobody says anew ends by itself. It is looked for every second, and ends with a record.
3. What a person said of a group stays as it was, whatever an issuer says of it.
4. Whoever is a member no more keeps what they may grant otherwise; running tasks that they asked for and
   might not ask for now are paused in the same transaction.
5. An issuer puts nobody in a group that is not there, nor in more groups than one may be in.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from taskbound.core.audit.events.account import GroupClaimed, IssuerGroupsSet
from taskbound.core.identity.account import claimed_groups, parse_groups
from taskbound.core.identity.grantable import reach_of
from taskbound.core.identity.oidc import IssuerUse, UnknownIdentityIssuerError
from taskbound.core.identity.person import Claimed
from taskbound.flows.identity.group import OF_ONE, unfounded
from taskbound.flows.identity.issuers import require_directory_owner
from taskbound.flows.identity.leaving import pause_tasks
from taskbound.flows.means import Actor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.audit import Event
    from taskbound.core.clock import Instant
    from taskbound.core.identity import Group
    from taskbound.core.identity.oidc import IdentityIssuer
    from taskbound.flows.means import Means, Moved
    from taskbound.ports.store import Transaction


def claim_groups(  # noqa: PLR0913, PLR0917 - who says what of whom, until when, and where it is recorded
    tx: Transaction,
    issuer: IdentityIssuer,
    person: str,
    claims: Mapping[str, JsonValue],
    until: Instant,
    actor: Actor,
    events: list[Event],
) -> list[Moved]:
    """Have a person be in the groups that a sign-in says (rules 1, 4 and 5); what was paused."""
    wanted, namespace = claimed_groups(issuer, claims), issuer.namespace
    _, groups = tx.identities.lock_grantors(namespace)
    free = OF_ONE - sum(person in one.everyone for one in groups)
    for group in groups:
        mine = [one for one in group.claimed if (one.person, one.issuer) == (person, issuer.name)]
        new = not mine and person not in group.everyone
        if group.name not in wanted or (new and free <= 0):  # 5
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
) -> list[Moved]:
    """End the memberships that this is said of (rule 4); what was paused."""
    persons, groups = tx.identities.lock_grantors(namespace)
    lost: set[str] = set()
    now: list[Group] = []
    for group in groups:
        over = [one for one in group.claimed if which(group, one)]
        after = group
        if over:
            kept = tuple(one for one in group.claimed if one not in over)
            after = replace(group, claimed=kept, version=group.version + 1)  # 3
            tx.identities.put_group(after, expect=group.version)
            events += [_event(group, one, actor, member=False, reason=reason) for one in over]
            lost.update(one.person for one in over)
        now.append(after)
    moved: list[Moved] = []
    for person in sorted(lost):
        which_tasks = unfounded(person, reach_of(person, persons, now))
        moved += pause_tasks(tx, namespace, which_tasks, f"{person}: {reason}", actor, events)
    return moved


def end_claims(means: Means) -> tuple[int, list[Moved]]:
    """End what nobody said anew (rule 2): in how many namespaces, and what was paused."""
    now = means.clock.now()
    with means.store.read() as snapshot:
        spaces = [
            space
            for space in snapshot.accounts.spaces()
            if any(one.until <= now for group in snapshot.identities.groups(space) for one in group.claimed)
        ]
    moved: list[Moved] = []
    for space in spaces:
        moved += means.store.write(partial(_end, means, space))
    return len(spaces), moved


def set_issuer_groups(  # noqa: PLR0913 - what is said of whom, and by whom
    means: Means,
    namespace: str,
    name: str,
    *,
    claim: str,
    groups: Iterable[tuple[str, str]],
    actor: Actor,
    owns: bool,
) -> list[Moved]:
    """Say which values of an issuer's claim are which groups; what was paused.

    Memberships by its word end, as they rest on what was said before: they are back with the next sign-in.

    Raises:
        NotOwnerError: Somebody else than who owns the data directory says so.
        UnknownIdentityIssuerError: There is no such issuer of people.
        BadIssuerError: It can't be said so.
    """
    require_directory_owner(owns=owns)
    pairs = parse_groups(claim, groups) if claim else ()

    def work(tx: Transaction) -> list[Moved]:
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
        tx.audit.append(namespace, means.writer, events, means.clock.now())
        return moved

    return means.store.write(work)


def _end(means: Means, namespace: str, tx: Transaction) -> list[Moved]:
    now = means.clock.now()
    events: list[Event] = []
    actor = Actor(name="daemon", proof="")
    reason = "nobody said it anew"
    moved = drop_claims(tx, namespace, lambda _, one: one.until <= now, reason, actor, events)
    if events:
        tx.audit.append(namespace, means.writer, events, now)
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
