"""The signer of tokens as the daemon reaches it: one connection, for any thread, made anew when it breaks.

1. Every request ends within the patience; then the signer counts as unreachable.
2. What is asked for is the same when it is asked again, and a key that was made for an answer which never
   came is in nobody's way: so what broke on a connection of before is asked once more on a new one, as
   after a new start of the signer.
3. A refusal comes back as the error that the signer raised, by its code and with its advice; one that this
   side does not know counts as unreachable: nothing was signed.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NoReturn

from taskbound.adapters.keys.socket.remote import SignerConnection
from taskbound.core.clock import Instant
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError, error_classes
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.token import MadeKey, SignedList
from taskbound.wire.connection import Fault
from taskbound.wire.frame import FrameError
from taskbound.wire.signer import (
    DestroyTokenKeys,
    LookAtStore,
    LookedAtStore,
    MakeTokenKey,
    SignedStatusList,
    SignedToken,
    SignStatusList,
    SignToken,
    TokenKeyMade,
    TokenKeysDestroyed,
)

if TYPE_CHECKING:
    from pathlib import Path

    from taskbound.wire.signer import SignerAnswer, SignerAsk


_FAMILIES = (DeniedError, MalformedError, UnavailableError)


class SocketTokenSigner:
    """Asks the signer behind a socket; safe from any thread."""

    def __init__(self, path: Path) -> None:
        """Ask at this path; the connection is made when it is needed."""
        self._path = path
        self._connection = SignerConnection(path)
        self._lock = Lock()

    def sign_token(self, namespace: str, token: str) -> str:
        """The token of this row.

        Raises:
            DeniedError: The row doesn't hold, or is not what was issued.
            UnavailableError: It can't be read or signed now.
        """
        answer = self._ask(SignToken(namespace=namespace, token=token))
        return answer.text if isinstance(answer, SignedToken) else _strange()

    def sign_status_list(self, number: int) -> SignedList:
        """The status list of this number; raises as `sign_token`."""
        answer = self._ask(SignStatusList(number=number))
        if not isinstance(answer, SignedStatusList):
            return _strange()
        return SignedList(text=answer.text, until=Instant(answer.until))

    def make_key(self) -> MadeKey:
        """A new key; raises as `sign_token`."""
        answer = self._ask(MakeTokenKey())
        return (
            MadeKey(kid=answer.kid, public=answer.public) if isinstance(answer, TokenKeyMade) else _strange()
        )

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroy what signs nothing any more; raises as `sign_token`."""
        answer = self._ask(DestroyTokenKeys())
        return answer.kids if isinstance(answer, TokenKeysDestroyed) else _strange()

    def look(self, issuer: str) -> None:
        """Return where tokens of this issuer could be signed; raises as `sign_token`."""
        if not isinstance(self._ask(LookAtStore(issuer=issuer)), LookedAtStore):
            _strange()

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._connection.close()

    def _ask(self, ask: SignerAsk) -> SignerAnswer:
        with self._lock:
            used = self._connection.open
            try:
                answer = self._connection.exchange(ask)
            except (OSError, FrameError) as error:
                self._connection.close()
                if not used or isinstance(error, TimeoutError):
                    raise self._silent(error) from error
                answer = self._anew(ask)  # 2
        if isinstance(answer, Fault):
            raise _error(answer)
        return answer

    def _anew(self, ask: SignerAsk) -> SignerAnswer:
        try:
            return self._connection.exchange(ask)
        except (OSError, FrameError) as error:
            self._connection.close()
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> SignerUnavailableError:
        return SignerUnavailableError(f"the signer does not answer at `{self._path}`: {error}")


def _error(fault: Fault) -> TaskboundError:
    """The error that the signer raised (rule 3)."""
    known = {one.code: one for one in error_classes() if issubclass(one, _FAMILIES)}
    return known.get(fault.code, SignerUnavailableError)(fault.message, remedy=fault.advice)


def _strange() -> NoReturn:
    raise SignerUnavailableError("the signer answered something else than it was asked")
