"""Requests of the process that listens to the network: who asks is found here, from what was shown.

1. The role `api` is of the account that owns the data directory, or of the one that the daemon was told, and
   of no process beneath a gateway or a run. It is believed about what TLS and HTTP said, and no more.
2. Nothing is asked in its own name but whether the daemon answers. Each request shows a proof of its own.
3. A request that shows none is refused as such, and one whose proof is nobody's too; neither says which
   operation there is, or whether what it is about exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskbound.core.errors import DeniedError, TaskboundError
from taskbound.core.identity import UnprovenError
from taskbound.surfaces.api.errors import fault_of
from taskbound.wire.connection import Ping

if TYPE_CHECKING:
    from taskbound.surfaces.api.connection import Connection
    from taskbound.surfaces.api.daemon import Daemon
    from taskbound.wire.connection import Fault
    from taskbound.wire.envelope import Said
    from taskbound.wire.network import Shown

__all__ = ["BadProofError", "NoProofError", "refuse_unproven", "require_api", "shows"]


class NoProofError(DeniedError):
    """A request over the network shows no proof of who asks."""

    code = "no-proof"
    remedy = "ask `/oauth/token` for a token, and send it with a proof of the key that it is bound to"


class BadProofError(DeniedError):
    """What a request over the network shows is nobody's proof."""

    code = "bad-proof"
    remedy = (
        "send `Authorization: DPoP TOKEN` and one `DPoP` header, or the token with its client certificate"
    )


def require_api(daemon: Daemon, connection: Connection) -> None:
    """Go on only for the process that listens to the network (rule 1).

    Raises:
        UnprovenError: It is another account's.
        NotOutsideError: The process runs beneath a gateway or a run.
    """
    if connection.role != "api" or connection.peer.proof.uid != daemon.api_uid:
        raise UnprovenError("only the account of the API brings requests of others")
    daemon.require_outside(connection)


def shows(connection: Connection, said: Said) -> bool:
    """Whether this is a request of the network's, and not its process's own (rule 2)."""
    return said.shown is not None or (connection.role == "api" and not isinstance(said.ask, Ping))


def refuse_unproven(daemon: Daemon, connection: Connection, shown: Shown | None, operation: str) -> Fault:
    """The refusal of a request whose asker is not found (rule 3)."""
    try:
        require_api(daemon, connection)
        _prove(shown)
    except TaskboundError as error:
        return fault_of(error, operation=operation, unproven=connection.role == "api")
    raise AssertionError("INVARIANT: nothing that is shown proves anybody yet")


def _prove(shown: Shown | None) -> None:
    if shown is None or not (shown.authorization or shown.dpop or shown.chain):
        raise NoProofError("the request shows no proof of who asks")
    raise BadProofError("what the request shows is nobody's proof")
