"""Giving the broker another admin access of a target.

1. It is sealed for exactly this target, its identity and the next number: an older one, or one that was
   sealed for another target, is taken for none. An owner says it, or the account that owns the data
   directory.
2. The broker uses it from then on, also to revoke what the one before minted. So it is tested at once; what
   a test shows that fails takes no tool away (`testing`, rule 4), and the next access may be set meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from taskbound.core.audit.events.target import TargetAdminSet
from taskbound.core.tool import ADMIN_SLOT, BadSecretError, Binding
from taskbound.flows.identity.leaving import require_self
from taskbound.flows.target.locking import lock_known
from taskbound.flows.target.people import owners_of
from taskbound.flows.target.testing import begin_test
from taskbound.wire.secret import require_for

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Means
    from taskbound.flows.target.testing import UnderTest
    from taskbound.ports.store import Transaction


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
