"""The signer as the daemon reaches it: its heads, the keys of agents, and tokens.

Of `remote`:

1. Every request ends within the patience; then the signer counts as unreachable.
2. A refusal comes back as the error that the signer raised, by its code; one that this
   side does not know counts as unreachable: nothing was signed.

Of `agents`:

The signer serves one connection at a time, and the log's own rounds ask it too: nobody keeps it.

Of `tokens`:

1. Every request ends within the patience; then the signer counts as unreachable.
2. What is asked for is the same when it is asked again, and a key that was made for an answer which never
   came is in nobody's way: so what broke on a connection of before is asked once more on a new one, as
   after a new start of the signer.
3. A refusal comes back as the error that the signer raised, by its code and with its advice; one that this
   side does not know counts as unreachable: nothing was signed.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Final, NoReturn

from taskbound.core.audit import Checkpoint, TamperedError
from taskbound.core.clock import Instant
from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError, error_classes
from taskbound.core.identity.agent import UnknownAgentKeyError
from taskbound.ports.signer import CheckpointOlderError, OriginUnknownError, SignerUnavailableError
from taskbound.ports.token import MadeKey, SignedList
from taskbound.wire.connection import Fault
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame
from taskbound.wire.signer import (
    AgentKeyMade,
    AssertAgent,
    Asserted,
    DestroyTokenKeys,
    ForgetAgentKey,
    Forgotten,
    LastSigned,
    LookAtStore,
    LookedAtStore,
    MakeAgentKey,
    MakeTokenKey,
    Sign,
    Signed,
    SignedStatusList,
    SignedToken,
    SignerAnswer,
    SignStatusList,
    SignToken,
    TokenKeyMade,
    TokenKeysDestroyed,
    VerifierKey,
    answer_decoder,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from taskbound.wire.signer import SignerAsk


_PATIENCE: Final = 5.0
_CHUNK: Final = 65536
_CREDENTIALS: Final = struct.Struct("3i")
_KNOWN: Final[dict[str, type[TaskboundError]]] = {
    one.code: one
    for one in (CheckpointOlderError, OriginUnknownError, SignerUnavailableError, UnknownAgentKeyError)
}


class SignerConnection:
    """One connection to the signer, made when something is asked; used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Ask at this path."""
        self._path = path
        self._socket: socket.socket | None = None
        self._buffer = FrameBuffer()
        self.account = -1
        """The account that made the socket, as the kernel says; -1 while nobody was reached."""

    @property
    def open(self) -> bool:
        """Whether it was made before, and has not broken."""
        return self._socket is not None

    def close(self) -> None:
        """End it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._buffer = FrameBuffer()

    def exchange(self, ask: SignerAsk) -> SignerAnswer:
        """What the signer answers.

        Raises:
            OSError: It can't be reached, or does not answer within the patience.
            FrameError: It answers something that can't be read.
        """
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(_PATIENCE)
            self._socket.connect(str(self._path))
            self.account = _account(self._socket)
        with suppress(BrokenPipeError):  # one that may not ask was told so before it asked
            self._socket.sendall(encode_frame(ask))
        while True:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError("it closed the connection")
            for body in self._buffer.feed(data):
                answer: SignerAnswer = decode_frame(answer_decoder, body)
                return answer


class SocketSigner:
    """Asks the signer behind a socket; used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Ask at this path; the connection is made when it is needed."""
        self._path = path
        self._connection = SignerConnection(path)

    @property
    def account(self) -> int:
        """The account that made the socket, as the kernel says; -1 while nobody was reached."""
        return self._connection.account

    def verifier_key(self, origin: str) -> str:
        """The log's public key as a vkey.

        Raises:
            SignerUnavailableError: The signer can't be reached.
        """
        return self._about(origin).key

    def last_signed(self, origin: str) -> Checkpoint:
        """What was signed last.

        Raises:
            SignerUnavailableError: The signer can't be reached.
        """
        about = self._about(origin)
        return Checkpoint(origin=origin, size=about.size, root=about.root)

    def sign_checkpoint(self, origin: str, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        """A signed note of the checkpoint.

        Raises:
            CheckpointOlderError: It has signed for a larger log.
            TamperedError: The log does not only append to what was signed.
            SignerUnavailableError: The signer can't be reached.
        """
        answer = self.ask(Sign(origin=origin, size=size, root=root, proof=tuple(proof)))
        if isinstance(answer, Signed):
            return answer.note
        raise SignerUnavailableError("the signer answered something else than it was asked")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _about(self, origin: str) -> VerifierKey:
        answer = self.ask(LastSigned(origin=origin))
        if isinstance(answer, VerifierKey):
            return answer
        raise SignerUnavailableError("the signer answered something else than it was asked")

    def ask(self, ask: SignerAsk) -> SignerAnswer:
        """The signer's answer.

        Raises:
            SignerUnavailableError: The signer can't be reached.
            TaskboundError: It refuses, by its code.
        """
        try:
            answer = self._connection.exchange(ask)
        except (OSError, FrameError) as error:
            self.close()
            raise SignerUnavailableError(f"the signer does not answer at `{self._path}`: {error}") from error
        if isinstance(answer, Fault):
            raise _error(answer)
        return answer


def _account(connection: socket.socket) -> int:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return -1
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return int(uid)


def _error(fault: Fault) -> TaskboundError:
    if fault.code in {one.code for one in _tampered()}:
        return next(one for one in _tampered() if one.code == fault.code)(fault.message)
    return _KNOWN.get(fault.code, SignerUnavailableError)(fault.message)


def _tampered() -> tuple[type[TamperedError], ...]:
    return (TamperedError, *TamperedError.__subclasses__())


class SocketCustody:
    """Asks the signer behind a socket; used from any thread."""

    def __init__(self, path: Path) -> None:
        """Ask at this path."""
        self._path = path

    def make_key(self, namespace: str, agent: str) -> bytes:
        """A new key of this agent; its public half.

        Raises:
            SignerUnavailableError: The signer can't be reached, or can't keep it.
        """
        answer = self._ask(MakeAgentKey(namespace=namespace, agent=agent))
        if isinstance(answer, AgentKeyMade):
            return answer.public
        raise _strange()

    def assert_agent(self, kid: str, audience: str) -> str:
        """A statement of the key's agent.

        Raises:
            UnknownAgentKeyError: There is no such key.
            SignerUnavailableError: The signer can't be reached, or can't sign.
        """
        answer = self._ask(AssertAgent(kid=kid, audience=audience))
        if isinstance(answer, Asserted):
            return answer.token
        raise _strange()

    def forget_key(self, kid: str) -> None:
        """Destroy the key.

        Raises:
            SignerUnavailableError: The signer can't be reached, or can't do it.
        """
        if not isinstance(self._ask(ForgetAgentKey(kid=kid)), Forgotten):
            raise _strange()

    def _ask(self, ask: SignerAsk) -> SignerAnswer:
        signer = SocketSigner(self._path)
        try:
            return signer.ask(ask)
        finally:
            signer.close()


def _strange() -> SignerUnavailableError:
    return SignerUnavailableError("the signer answered something else than it was asked")


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
        return answer.text if isinstance(answer, SignedToken) else _tokens_strange()

    def sign_status_list(self, number: int) -> SignedList:
        """The status list of this number; raises as `sign_token`."""
        answer = self._ask(SignStatusList(number=number))
        if not isinstance(answer, SignedStatusList):
            return _tokens_strange()
        return SignedList(text=answer.text, until=Instant(answer.until))

    def make_key(self) -> MadeKey:
        """A new key; raises as `sign_token`."""
        answer = self._ask(MakeTokenKey())
        return (
            MadeKey(kid=answer.kid, public=answer.public)
            if isinstance(answer, TokenKeyMade)
            else _tokens_strange()
        )

    def destroy_keys(self) -> tuple[str, ...]:
        """Destroy what signs nothing any more; raises as `sign_token`."""
        answer = self._ask(DestroyTokenKeys())
        return answer.kids if isinstance(answer, TokenKeysDestroyed) else _tokens_strange()

    def look(self, issuer: str) -> None:
        """Return where tokens of this issuer could be signed; raises as `sign_token`."""
        if not isinstance(self._ask(LookAtStore(issuer=issuer)), LookedAtStore):
            _tokens_strange()

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
            raise _tokens_error(answer)
        return answer

    def _anew(self, ask: SignerAsk) -> SignerAnswer:
        try:
            return self._connection.exchange(ask)
        except (OSError, FrameError) as error:
            self._connection.close()
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> SignerUnavailableError:
        return SignerUnavailableError(f"the signer does not answer at `{self._path}`: {error}")


def _tokens_error(fault: Fault) -> TaskboundError:
    """The error that the signer raised (rule 3)."""
    known = {one.code: one for one in error_classes() if issubclass(one, _FAMILIES)}
    return known.get(fault.code, SignerUnavailableError)(fault.message, remedy=fault.advice)


def _tokens_strange() -> NoReturn:
    raise SignerUnavailableError("the signer answered something else than it was asked")
