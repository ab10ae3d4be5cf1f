"""What signs tokens in the signer's process, plugged together when the first one is asked for.

A signer may vouch for a log for weeks without one, and a store's libraries are most of its memory. The daemon
makes the database; until it is there nothing can be signed, and that is said.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from taskbound.ports.signer import SignerUnavailableError
from taskbound.wiring.token_keys import open_token_keys

if TYPE_CHECKING:
    from taskbound.flows.token import RowSigner
    from taskbound.ports.store import Readable
    from taskbound.ports.token import MadeKey, SignedList


class LaterTokenSigner:
    """The `TokenSigner` of a signer's process; safe from any thread."""

    def __init__(self, *, keys: str, database: str, store: str, issuer: str) -> None:
        """Prepare.

        Args:
            keys: Where the keys of tokens are (`token_keys`); a folder is made when it is not there.
            database: The daemon's SQLite file; empty where there is none.
            store: The address of a PostgreSQL database; empty where there is none.
            issuer: The name that every token has in `iss`; empty for a signer that signs none.
        """
        self._keys = keys
        self._database = database
        self._address = store
        self._issuer = issuer
        self._own: RowSigner | None = None
        self._lock = Lock()

    def sign_token(self, namespace: str, token: str) -> str:
        """The token of this row.

        Raises:
            DeniedError: It doesn't hold, or is not what was issued.
            UnavailableError: It can't be read or signed now.
        """
        return self._plugged().sign_token(namespace, token)

    def sign_status_list(self, number: int) -> SignedList:
        """The status list of this number; raises as `sign_token`."""
        return self._plugged().sign_status_list(number)

    def make_key(self) -> MadeKey:
        """A new key; raises as `sign_token`."""
        return self._plugged().make_key()

    def look(self, issuer: str) -> None:
        """Return where tokens of this issuer could be signed; raises as `sign_token`."""
        self._plugged().look(issuer)

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroy what signs nothing any more; raises as `sign_token`."""
        return self._plugged().destroy_keys()

    def _plugged(self) -> RowSigner:
        if not self._issuer:
            raise SignerUnavailableError(
                "this signer was started without an issuer, and signs no tokens",
                remedy="start it with `--issuer`, and with `--database` or `--store`",
            )
        with self._lock:
            if self._own is None:
                self._own = self._plug()
            return self._own

    def _plug(self) -> RowSigner:
        from taskbound.adapters.clock.system import SystemClock  # noqa: PLC0415 - not before it is asked for
        from taskbound.flows.token import RowSigner  # noqa: PLC0415 - not before it is asked for
        from taskbound.wiring.store import open_reader  # noqa: PLC0415 - not before it is asked for

        store: Readable = open_reader(self._database, self._address)
        clock = SystemClock(store.last_instant())
        keys = open_token_keys(self._keys, create=True)
        return RowSigner(store=store, keys=keys, clock=clock, issuer=self._issuer)
