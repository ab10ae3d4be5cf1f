"""Declares, changes and removes targets.

- The target's file names owner and approvers, so only the account that owns the data directory declares it.
  That account or an owner changes the admin access or removes the target.
- The admin access is sealed to the broker for this target, identity and number (`wire.secret`); the daemon
  cannot open it, and the record has its digest. The broker then uses a new one for everything, so it is
  tested at once; a failed test removes no tool.
- A target stays while credentials live or are being revoked, and a minute longer for mints that may still
  arrive, because without it nothing can be revoked; a new target of its name would show nothing and
  credentials would be taken for gone (I-07). Credentials that it cannot revoke do not count.
- A removal removes tools first and then looks for credentials; if there are some, it is rolled back. It waits
  for a concurrent decision, which holds its tool's lock.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events.standing import TargetAdded, TargetAdminSet, TargetRemoved
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import CredentialState
from taskbound.core.target import (
    OpenbaoPlace,
    TargetState,
    kind_definition,
    parse_target_file,
    require_declarable,
)
from taskbound.core.tool import ADMIN_SLOT, BadSecretError, Binding, join_tool_name, require_distinct
from taskbound.core.tool.name import shown
from taskbound.flows.identity.leaving import require_self
from taskbound.flows.target.testing import (
    TargetExistsError,
    TargetInUseError,
    UnknownTargetError,
    begin_test,
    owners_of,
    require_people,
)
from taskbound.ports.target import StoredTarget
from taskbound.ports.tool import PinnedServer
from taskbound.wire.tool import require_for

if TYPE_CHECKING:
    from taskbound.core.target import TargetFile
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Adapters
    from taskbound.flows.target.testing import UnderTest
    from taskbound.ports.store import Transaction


def lock_known(tx: Transaction, namespace: str, name: str) -> StoredTarget:
    found = tx.targets.lock_target(namespace, name)
    if found is None:
        raise UnknownTargetError(f"no target is named `{shown(name)}`")
    return found


def set_admin(  # noqa: PLR0913 - access, target and actor
    tx: Transaction,
    adapters: Adapters,
    namespace: str,
    name: str,
    *,
    number: int,
    sealed: str,
    actor: Actor,
    owns: bool,
) -> UnderTest:
    target = lock_known(tx, namespace, name)
    require_self(actor, owners_of(tx, target), owns=owns)
    due = target.number + 1
    if number != due:
        raise BadSecretError(
            f"the next admin access of `{name}` has the number {due}, and this one {number}",
            remedy="it was set meanwhile: look, and set it again",
        )
    binding = Binding(
        namespace=namespace, server=name, identity=target.identity, slot=ADMIN_SLOT.text, number=number
    )
    require_for(sealed, binding)
    now = adapters.clock.now()
    event = TargetAdminSet(
        target=name,
        identity=target.identity,
        number=number,
        sealed=sha256(sealed.encode()).hexdigest(),
        by=actor.name,
        proof=actor.proof,
    )
    tx.audit.append(namespace, adapters.writer, [event], now)
    after = replace(target, sealed=sealed, number=number)
    return begin_test(tx, adapters, after, actor, now, expect=target.version)


def require_seen(tx: Transaction, namespace: str, declared: TargetFile) -> None:
    """Raises UnknownTargetError unless the target that observes this one exists."""
    name = _seen_in(declared)
    if not name:
        return
    stored = tx.targets.lock_target(namespace, name)
    if stored is None:
        raise UnknownTargetError(
            f"`{declared.name}` is to be seen in `{name}`, and there is no such target",
            remedy=f"declare `{name}` first, or leave out `seen_in`",
        )
    place = parse_target_file(stored.file).place
    if isinstance(place, OpenbaoPlace) or not place.revocable:
        raise UnknownTargetError(
            f"`{declared.name}` is to be seen in `{name}`, which sees nothing by itself",
            remedy="name the target of the database as `seen_in`",
        )


def require_nothing_seen(tx: Transaction, namespace: str, name: str) -> None:
    """Raises TargetInUseError if another target is observed through this locked one."""
    for stored in tx.targets.targets(namespace):
        if _seen_in(parse_target_file(stored.file)) == name:
            raise TargetInUseError(
                f"what is minted in target `{stored.name}` is seen in target `{name}`",
                remedy=f"take `{stored.name}` away first",
            )


def _seen_in(file: TargetFile) -> str:
    return file.place.seen_in if isinstance(file.place, OpenbaoPlace) else ""


_EVER: Final = seconds(100 * 365 * 86_400)
"""Longer than anything lives."""
_COUNTED: Final = 1_000
_NAMED: Final = 3
_LATER: Final = (
    "nothing is to be done: try again in a minute or two; what is gone is looked for once more, as a mint"
    " that was begun may arrive until then"
)


def remove_target(
    tx: Transaction, adapters: Adapters, namespace: str, name: str, *, actor: Actor, owns: bool
) -> None:
    seen = tx.targets.target(namespace, name)
    owners = () if seen is None else owners_of(tx, seen)
    if seen is not None:
        tx.tools.drop_server(namespace, name)
    target = lock_known(tx, namespace, name)
    require_self(actor, owners, owns=owns)
    now = adapters.clock.now()
    require_nothing_seen(tx, namespace, name)
    _require_nothing_left(tx, namespace, name, now)
    tx.targets.drop_target(namespace, name)
    event = TargetRemoved(target=name, identity=target.identity, by=actor.name, proof=actor.proof)
    tx.audit.append(namespace, adapters.writer, [event], now)


def _require_nothing_left(tx: Transaction, namespace: str, name: str, now: Instant) -> None:
    left = tx.credentials.due(namespace, name, Instant(now + _EVER), limit=_COUNTED)
    if not left:
        return
    living = sum(one.state not in {CredentialState.REVOKING, CredentialState.REVOKED} for one in left)
    ending = sum(one.state is CredentialState.REVOKING for one in left)
    looked = len(left) - living - ending
    parts = [
        f"{many} {what}"
        for many, what in (
            (living, "live"),
            (ending, "are being revoked"),
            (looked, "are looked at once more"),
        )
        if many
    ]
    named = ", ".join(f"`{one.id}`" for one in left[:_NAMED])
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    raise TargetInUseError(
        f"of the credentials of target `{name}` {', '.join(parts)}: {named}{more}",
        remedy="" if living or ending else _LATER,
    )


class Targets:
    """Works on targets; must be used from one thread at a time."""

    def __init__(self, adapters: Adapters, views: Views) -> None:
        self._adapters = adapters
        self._views = views

    def add(self, namespace: str, file: bytes, sealed: str, actor: Actor, *, owns: bool) -> UnderTest:
        """Begins the first test; `sealed` is the admin access sealed to the broker with number 1."""
        require_self(actor, (), owns=owns)
        declared = parse_target_file(file)
        require_declarable(declared)
        require_distinct(
            join_tool_name(declared.name, kind_definition(one).name) for one in declared.credentials
        )
        identity = declared.identity(namespace)
        require_for(
            sealed,
            Binding(
                namespace=namespace,
                server=declared.name,
                identity=identity,
                slot=ADMIN_SLOT.text,
                number=1,
            ),
        )

        def work(tx: Transaction) -> UnderTest:
            return self._add(tx, namespace, declared, sealed, actor)

        return self._adapters.store.write(work)

    def _add(
        self, tx: Transaction, namespace: str, declared: TargetFile, sealed: str, actor: Actor
    ) -> UnderTest:
        persons, groups = tx.identities.lock_grantors(namespace)
        approvers = require_people(declared, persons, groups)
        there = tx.tools.server(namespace, declared.name)
        if there is not None:
            what = "target" if there.is_target else "server"
            raise TargetExistsError(f"a {what} named `{declared.name}` is pinned already")
        require_seen(tx, namespace, declared)
        identity = declared.identity(namespace)
        tx.tools.put_server(
            PinnedServer(
                namespace=namespace,
                name=declared.name,
                spec=declared.spec,
                identity=identity,
                agents=(),
                is_target=True,
            ),
            expect=0,
        )
        now = self._adapters.clock.now()
        event = TargetAdded(
            target=declared.name,
            identity=identity,
            of=declared.kind,
            owner=declared.owner,
            approvers=approvers,
            credentials=tuple(one.name for one in declared.credentials),
            sealed=sha256(sealed.encode()).hexdigest(),
            by=actor.name,
            proof=actor.proof,
        )
        tx.audit.append(namespace, self._adapters.writer, [event], now)
        target = StoredTarget(
            namespace=namespace,
            name=declared.name,
            file=declared.naming(approvers),
            identity=identity,
            state=TargetState.UNTESTED,
            sealed=sealed,
        )
        return begin_test(tx, self._adapters, target, actor, now, expect=0)

    def test(self, namespace: str, name: str, actor: Actor) -> UnderTest:
        def work(tx: Transaction) -> UnderTest:
            target = lock_known(tx, namespace, name)
            now = self._adapters.clock.now()
            return begin_test(tx, self._adapters, target, actor, now, expect=target.version)

        return self._adapters.store.write(work)

    def set_admin(
        self, namespace: str, name: str, *, number: int, sealed: str, actor: Actor, owns: bool
    ) -> UnderTest:
        return self._adapters.store.write(
            lambda tx: set_admin(
                tx, self._adapters, namespace, name, number=number, sealed=sealed, actor=actor, owns=owns
            )
        )

    def remove(self, namespace: str, name: str, actor: Actor, *, owns: bool) -> None:
        self._adapters.store.write(
            lambda tx: remove_target(tx, self._adapters, namespace, name, actor=actor, owns=owns)
        )
        self._views.forget()
