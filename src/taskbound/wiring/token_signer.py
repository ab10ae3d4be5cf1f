"""Token signing in the signer process, loaded when the first token is signed.

Store libraries are most of the signer's memory, and many signers never sign a token. Until the daemon has
created the database, signing fails with that reason.
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
    """Lazily loaded `TokenSigner`; safe from any thread."""

    def __init__(self, *, keys: str, database: str, store: str, issuer: str) -> None:
        """Creates a missing folder at `keys`; an empty `issuer` means a signer that signs no token."""
        self._keys = keys
        self._database = database
        self._address = store
        self._issuer = issuer
        self._own: RowSigner | None = None
        self._lock = Lock()

    def sign_token(self, namespace: str, token: str) -> str:
        return self._plugged().sign_token(namespace, token)

    def sign_status_list(self, number: int) -> SignedList:
        return self._plugged().sign_status_list(number)

    def make_key(self) -> MadeKey:
        return self._plugged().make_key()

    def look(self, issuer: str) -> None:
        self._plugged().look(issuer)

    def destroy_keys(self) -> tuple[str, ...]:
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
