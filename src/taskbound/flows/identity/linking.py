"""Persons who are one human, and count once.

1. Linking joins all who were linked with either.
2. Only the account that owns the data directory says that two persons are one human, or that they are not:
   who is two counts twice, and whoever joined the others to themselves would be alone, with nobody to ask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskbound.core.audit import PersonsLinked
from taskbound.core.identity import UnknownIdentityError
from taskbound.core.identity.person import human_of
from taskbound.flows.identity.leaving import require_self

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


def link_persons(  # noqa: PLR0913 - who, with whom, and by whose word
    means: Means, namespace: str, one: str, other: str, *, linked: bool, actor: Actor, owns: bool
) -> tuple[str, ...]:
    """Two persons are one human from now on, or the first is one of their own; who changed (rule 2).

    Raises:
        NotSelfError: Somebody says it who may not.
        UnknownIdentityError: There is no such person.
    """
    require_self(actor, (), owns=owns)  # 2
    fresh = means.chance.name("hum")

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
        tx.audit.append(namespace, means.writer, [event], means.clock.now())
        return tuple(who)

    return means.store.write(work)
