"""Taking a target away, once nothing of ours is left in it.

1. Without the target nobody can revoke there any more. So it stays as long as anything of it is to be seen
   to: what lives, what is being revoked, and for a minute what is gone but whose mint may still arrive.
   What its target can't revoke ends there by itself, and is waited for by nobody.
2. Its tools are taken away first, and then it is looked what there is; where something is, nothing of it
   stays. A decision that is being written has locked its tool so that nobody takes it away: it is waited for,
   and what it wrote is seen. To lock the tools as it does would hold up neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.audit.events.target import TargetRemoved
from taskbound.core.clock import Instant, seconds
from taskbound.core.credential import CredentialState
from taskbound.flows.identity.leaving import require_self
from taskbound.flows.target.errors import TargetInUseError
from taskbound.flows.target.locking import lock_known
from taskbound.flows.target.people import owners_of
from taskbound.flows.target.seeing import require_nothing_seen

if TYPE_CHECKING:
    from taskbound.flows.means import Actor, Means
    from taskbound.ports.store import Transaction


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
