"""Declaring targets, and what people do with those that are there.

1. A target's file names who answers for it, so it is declared by the account that owns the data directory, as
   who approves for a tool is said (`flows.tool.answering`). That account or an owner gives it another admin
   access, or takes it away.
2. The name is no server's and no other target's: a tool's name says where it goes.
3. The admin access is sealed to the broker for exactly this target and its identity (`wire.secret`); here
   nobody can open it, and the record has a digest of what was sealed.
4. It begins untested and without tools (`testing`).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.audit.events.target import TargetAdded
from taskbound.core.target import TargetState, kind_definition, parse_target_file, require_declarable
from taskbound.core.tool import ADMIN_SLOT, Binding, join_tool_name, require_distinct
from taskbound.flows.identity.leaving import require_self
from taskbound.flows.target.admin import set_admin
from taskbound.flows.target.errors import TargetExistsError
from taskbound.flows.target.locking import lock_known
from taskbound.flows.target.people import require_people
from taskbound.flows.target.removing import remove_target
from taskbound.flows.target.seeing import require_seen
from taskbound.flows.target.testing import begin_test
from taskbound.ports.target import StoredTarget
from taskbound.ports.tool import PinnedServer
from taskbound.wire.secret import require_for

if TYPE_CHECKING:
    from taskbound.core.target import TargetFile
    from taskbound.flows.decision import Views
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.target.testing import UnderTest
    from taskbound.ports.store import Transaction


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
