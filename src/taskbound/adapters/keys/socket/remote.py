"""The daemon's clients of the signer: log, agents' keys, tokens.

1. A request without an answer in time means that the signer is unreachable.
2. A refusal is raised as the signer's error, by its code; an unknown code counts as unreachable, and nothing
   was signed.

The signer serves few connections, so agents' requests close theirs. Token requests are idempotent: one that
fails on an old connection is repeated once on a new one.
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
    """A lazily made connection to the signer; used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._buffer = FrameBuffer()
        self.account = -1
        """The account that made the socket, as the kernel says; -1 while nobody was reached."""

    @property
    def open(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._buffer = FrameBuffer()

    def exchange(self, ask: SignerAsk) -> SignerAnswer:
        """Returns the answer; raises OSError without an answer in time, FrameError if it is malformed."""
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
    """The signer of the log; used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = SignerConnection(path)

    @property
    def account(self) -> int:
        """The uid that made the socket, from the kernel; -1 before a connection."""
        return self._connection.account

    def verifier_key(self, origin: str) -> str:
        return self._about(origin).key

    def last_signed(self, origin: str) -> Checkpoint:
        about = self._about(origin)
        return Checkpoint(origin=origin, size=about.size, root=about.root)

    def sign_checkpoint(self, origin: str, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        """Returns a signed note of the checkpoint."""
        answer = self.ask(Sign(origin=origin, size=size, root=root, proof=tuple(proof)))
        if isinstance(answer, Signed):
            return answer.note
        raise SignerUnavailableError("the signer answered something else than it was asked")

    def close(self) -> None:
        self._connection.close()

    def _about(self, origin: str) -> VerifierKey:
        answer = self.ask(LastSigned(origin=origin))
        if isinstance(answer, VerifierKey):
            return answer
        raise SignerUnavailableError("the signer answered something else than it was asked")

    def ask(self, ask: SignerAsk) -> SignerAnswer:
        """Returns the signer's answer; raises its refusal, or SignerUnavailableError."""
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
    """The signer of agents' statements; safe from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make_key(self, namespace: str, agent: str) -> bytes:
        """Creates an agent's key; returns its public half."""
        answer = self._ask(MakeAgentKey(namespace=namespace, agent=agent))
        if isinstance(answer, AgentKeyMade):
            return answer.public
        raise _strange()

    def assert_agent(self, kid: str, audience: str) -> str:
        answer = self._ask(AssertAgent(kid=kid, audience=audience))
        if isinstance(answer, Asserted):
            return answer.token
        raise _strange()

    def forget_key(self, kid: str) -> None:
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
    """The signer of tokens; safe from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = SignerConnection(path)
        self._lock = Lock()

    def sign_token(self, namespace: str, token: str) -> str:
        answer = self._ask(SignToken(namespace=namespace, token=token))
        return answer.text if isinstance(answer, SignedToken) else _tokens_strange()

    def sign_status_list(self, number: int) -> SignedList:
        answer = self._ask(SignStatusList(number=number))
        if not isinstance(answer, SignedStatusList):
            return _tokens_strange()
        return SignedList(text=answer.text, until=Instant(answer.until))

    def make_key(self) -> MadeKey:
        answer = self._ask(MakeTokenKey())
        return (
            MadeKey(kid=answer.kid, public=answer.public)
            if isinstance(answer, TokenKeyMade)
            else _tokens_strange()
        )

    def destroy_keys(self) -> tuple[str, ...]:
        answer = self._ask(DestroyTokenKeys())
        return answer.kids if isinstance(answer, TokenKeysDestroyed) else _tokens_strange()

    def look(self, issuer: str) -> None:
        if not isinstance(self._ask(LookAtStore(issuer=issuer)), LookedAtStore):
            _tokens_strange()

    def close(self) -> None:
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
    known = {one.code: one for one in error_classes() if issubclass(one, _FAMILIES)}
    return known.get(fault.code, SignerUnavailableError)(fault.message, remedy=fault.advice)


def _tokens_strange() -> NoReturn:
    raise SignerUnavailableError("the signer answered something else than it was asked")
