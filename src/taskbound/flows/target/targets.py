"""Declares, changes and removes targets.

Of `adding`:

1. A target's file names who answers for it, so it is declared by the account that owns the data directory, as
   who approves for a tool is said (`flows.tool.answering`). That account or an owner gives it another admin
   access, or takes it away.
2. The name is no server's and no other target's: a tool's name says where it goes.
3. The admin access is sealed to the broker for exactly this target and its identity (`wire.secret`); here
   nobody can open it, and the record has a digest of what was sealed.
4. It begins untested and without tools (`testing`).

Of `removing`:

1. Without the target nobody can revoke there any more. So it stays as long as anything of it is to be seen
   to: what lives, what is being revoked, and for a minute what is gone but whose mint may still arrive.
   What its target can't revoke ends there by itself, and is waited for by nobody.
2. Its tools are taken away first, and then it is looked what there is; where something is, nothing of it
   stays. A decision that is being written has locked its tool so that nobody takes it away: it is waited for,
   and what it wrote is seen. To lock the tools as it does would hold up neither.

Of `seeing`:

1. What is said to see a target is a target of the same namespace, and one that needs no other.
2. It is not taken away before what is seen in it: another one that gets its name would show nothing of what
   was minted, and that would be taken for gone (I-07).

Of `admin`:

1. It is sealed for exactly this target, its identity and the next number: an older one, or one that was
   sealed for another target, is taken for none. An owner says it, or the account that owns the data
   directory.
2. The broker uses it from then on, also to revoke what the one before minted. So it is tested at once; what
   a test shows that fails takes no tool away (`testing`, rule 4), and the next access may be set meanwhile.
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
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.target.testing import UnderTest
    from taskbound.ports.store import Transaction


def lock_known(tx: Transaction, namespace: str, name: str) -> StoredTarget:
    """The target, under lock.

    Raises:
        UnknownTargetError: There is none of this name.
    """
    found = tx.targets.lock_target(namespace, name)
    if found is None:
        raise UnknownTargetError(f"no target is named `{shown(name)}`")
    return found


def set_admin(  # noqa: PLR0913 - which access of which target, and who gives it
    tx: Transaction,
    means: Means,
    namespace: str,
    name: str,
    *,
    number: int,
    sealed: str,
    actor: Actor,
    owns: bool,
) -> UnderTest:
    """Keep the sealed access, and begin a test of it (rules 1 and 2).

    Raises:
        UnknownTargetError: There is no such target.
        NotSelfError: Somebody gives it who may not.
        BadSecretError: It is not sealed for this, or another one was set meanwhile.
    """
    target = lock_known(tx, namespace, name)
    require_self(actor, owners_of(tx, target), owns=owns)
    due = target.number + 1
    if number != due:
        raise BadSecretError(
            f"the next admin access of `{name}` has the number {due}, and this one {number}",
            remedy="somebody has set it meanwhile: look, and set it again",
        )
    binding = Binding(
        namespace=namespace, server=name, identity=target.identity, slot=ADMIN_SLOT.text, number=number
    )
    require_for(sealed, binding)  # 1
    now = means.clock.now()
    event = TargetAdminSet(
        target=name,
        identity=target.identity,
        number=number,
        sealed=sha256(sealed.encode()).hexdigest(),
        by=actor.name,
        proof=actor.proof,
    )
    tx.audit.append(namespace, means.writer, [event], now)
    after = replace(target, sealed=sealed, number=number)
    return begin_test(tx, means, after, actor, now, expect=target.version)  # 2


def require_seen(tx: Transaction, namespace: str, declared: TargetFile) -> None:
    """Go on only where that which is to see it is there (rule 1).

    Raises:
        UnknownTargetError: It is not.
    """
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
    """Go on only where no target is seen in this one (rule 2); it is locked.

    Raises:
        TargetInUseError: One is.
    """
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
    tx: Transaction, means: Means, namespace: str, name: str, *, actor: Actor, owns: bool
) -> None:
    """Take it away with its tools.

    Raises:
        UnknownTargetError: There is no such target.
        NotSelfError: Somebody says it who may not.
        TargetInUseError: Something of ours is left in it (rule 1), or another target is seen in it.
    """
    seen = tx.targets.target(namespace, name)
    owners = () if seen is None else owners_of(tx, seen)
    if seen is not None:
        tx.tools.drop_server(namespace, name)  # 2
    target = lock_known(tx, namespace, name)
    require_self(actor, owners, owns=owns)
    now = means.clock.now()
    require_nothing_seen(tx, namespace, name)
    _require_nothing_left(tx, namespace, name, now)
    tx.targets.drop_target(namespace, name)
    event = TargetRemoved(target=name, identity=target.identity, by=actor.name, proof=actor.proof)
    tx.audit.append(namespace, means.writer, [event], now)


def _require_nothing_left(tx: Transaction, namespace: str, name: str, now: Instant) -> None:
    left = tx.credentials.due(namespace, name, Instant(now + _EVER), limit=_COUNTED)  # 1
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
    """Works on targets; used from one thread at a time."""

    def __init__(self, means: Means, views: Views) -> None:
        """Keep what to work with."""
        self._means = means
        self._views = views

    def add(self, namespace: str, file: bytes, sealed: str, actor: Actor, *, owns: bool) -> UnderTest:
        """Declare a target, and begin its first test (rules 1 to 4).

        Args:
            namespace: Where.
            file: The target's file, as JSON.
            sealed: Its admin access, sealed to the broker with the number 1.
            actor: Who declares it.
            owns: Whether their account owns the data directory.

        Raises:
            NotSelfError: Another account than the data directory's declares it.
            TargetFileError: The file declares no target.
            MalformedError: The names of two kinds can be taken for each other.
            BadSecretError: What is sealed is not sealed for this.
            UnknownIdentityError: The owner or an approver is nobody who is there.
            TargetExistsError: A target or a server has the name.
            UnknownTargetError: The target that it is said to be seen in is none.
        """
        require_self(actor, (), owns=owns)  # 1
        declared = parse_target_file(file)
        require_declarable(declared)
        require_distinct(
            join_tool_name(declared.name, kind_definition(one).name) for one in declared.credentials
        )
        identity = declared.identity(namespace)
        require_for(  # 3
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

        return self._means.store.write(work)

    def _add(
        self, tx: Transaction, namespace: str, declared: TargetFile, sealed: str, actor: Actor
    ) -> UnderTest:
        persons, groups = tx.identities.lock_grantors(namespace)
        approvers = require_people(declared, persons, groups)
        there = tx.tools.server(namespace, declared.name)
        if there is not None:  # 2
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
        now = self._means.clock.now()
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
        tx.audit.append(namespace, self._means.writer, [event], now)
        target = StoredTarget(
            namespace=namespace,
            name=declared.name,
            file=declared.naming(approvers),
            identity=identity,
            state=TargetState.UNTESTED,
            sealed=sealed,
        )
        return begin_test(tx, self._means, target, actor, now, expect=0)  # 4

    def test(self, namespace: str, name: str, actor: Actor) -> UnderTest:
        """Begin another test; what an earlier one has not shown yet counts no more.

        Raises:
            UnknownTargetError: There is no such target.
        """

        def work(tx: Transaction) -> UnderTest:
            target = lock_known(tx, namespace, name)
            now = self._means.clock.now()
            return begin_test(tx, self._means, target, actor, now, expect=target.version)

        return self._means.store.write(work)

    def set_admin(
        self, namespace: str, name: str, *, number: int, sealed: str, actor: Actor, owns: bool
    ) -> UnderTest:
        """Give the broker another admin access, and begin a test; raises as `set_admin` of `admin`."""
        return self._means.store.write(
            lambda tx: set_admin(
                tx, self._means, namespace, name, number=number, sealed=sealed, actor=actor, owns=owns
            )
        )

    def remove(self, namespace: str, name: str, actor: Actor, *, owns: bool) -> None:
        """Take a target away with its tools; raises as `remove_target` of `removing`."""
        self._means.store.write(
            lambda tx: remove_target(tx, self._means, namespace, name, actor=actor, owns=owns)
        )
        self._views.forget()
