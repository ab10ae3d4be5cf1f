"""Serves a signer on a Unix socket.

1. Only named accounts may connect, by the kernel's peer credentials.
2. Every request gets an answer or a fault; an unreadable frame ends the connection, and nothing was signed.
3. The socket is 0600 in a directory of the signer's account, or 0660 for a group shared with the daemon's
   account.
4. At most sixteen connections are served at once, each one request at a time.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
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
    SignStatusList,
    SignToken,
    TokenKeyMade,
    TokenKeysDestroyed,
    VerifierKey,
    ask_decoder,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.ports.identity import Custody
    from taskbound.ports.signer import Signer
    from taskbound.ports.token import TokenSigner
    from taskbound.wire.signer import SignerAnswer, SignerAsk


_log = logging.getLogger(__name__)
_CREDENTIALS: Final = struct.Struct("3i")
_CHUNK: Final = 65536
_MOST: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    signer: Signer
    agents: Custody
    tokens: TokenSigner
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Keys of agents are worked on one after the other; what signs the log and tokens sees to itself."""


def serve_signer(  # noqa: PLR0913 - what answers, and whom, each by its name
    signer: Signer,
    agents: Custody,
    tokens: TokenSigner,
    path: Path,
    *,
    accounts: frozenset[int],
    mode: int,
    ready: Callable[[], None],
) -> None:
    """Serves until the process ends; `mode` is 0o600 or 0o660, an old socket is replaced."""
    path.unlink(missing_ok=True)
    before = os.umask(0o777 & ~mode)
    try:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
    finally:
        os.umask(before)
    with listening:
        listening.listen(_MOST)
        ready()
        free = threading.Semaphore(_MOST)
        served = _Served(signer=signer, agents=agents, tokens=tokens)
        while True:
            free.acquire()  # 4
            connection, _ = listening.accept()
            serving = threading.Thread(
                target=_serve, args=(served, connection, accounts, free.release), daemon=True
            )
            serving.start()


def _serve(
    served: _Served,
    connection: socket.socket,
    accounts: frozenset[int],
    done: Callable[[], None],
) -> None:
    try:
        with connection:
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(raw)
            if uid not in accounts:  # 1
                _log.warning("uid %d may not ask the signer", uid)
                connection.sendall(
                    encode_frame(Fault(code="unproven", message="this account may not ask the signer"))
                )
                return
            buffer = FrameBuffer()
            while data := connection.recv(_CHUNK):
                for body in buffer.feed(data):
                    ask = decode_frame(ask_decoder, body)
                    connection.sendall(encode_frame(_answer(served, ask)))
    except (OSError, FrameError) as error:
        _log.warning("a connection to the signer ended: %s", error)  # 2
    finally:
        done()


def _answer(served: _Served, ask: SignerAsk) -> SignerAnswer:
    try:
        match ask:
            case Sign() | LastSigned():
                return _of_log(served.signer, ask)
            case MakeAgentKey() | AssertAgent() | ForgetAgentKey():
                with served.turn:
                    return _of_agents(served.agents, ask)
            case SignToken() | SignStatusList() | MakeTokenKey() | DestroyTokenKeys() | LookAtStore():
                return _of_tokens(served.tokens, ask)
    except TaskboundError as error:
        return Fault(code=error.code, message=error.message, advice=error.advice)


def _of_log(signer: Signer, ask: Sign | LastSigned) -> SignerAnswer:
    if isinstance(ask, Sign):
        return Signed(note=signer.sign_checkpoint(ask.origin, ask.size, ask.root, ask.proof))
    last = signer.last_signed(ask.origin)
    key = signer.verifier_key(ask.origin)
    return VerifierKey(origin=ask.origin, size=last.size, root=last.root, key=key)


def _of_agents(agents: Custody, ask: MakeAgentKey | AssertAgent | ForgetAgentKey) -> SignerAnswer:
    match ask:
        case MakeAgentKey():
            return AgentKeyMade(public=agents.make_key(ask.namespace, ask.agent))
        case AssertAgent():
            return Asserted(token=agents.assert_agent(ask.kid, ask.audience))
        case ForgetAgentKey():
            agents.forget_key(ask.kid)
            return Forgotten()


def _of_tokens(
    tokens: TokenSigner, ask: SignToken | SignStatusList | MakeTokenKey | DestroyTokenKeys | LookAtStore
) -> SignerAnswer:
    match ask:
        case SignToken():
            return SignedToken(text=tokens.sign_token(ask.namespace, ask.token))
        case SignStatusList():
            found = tokens.sign_status_list(ask.number)
            return SignedStatusList(text=found.text, until=found.until)
        case MakeTokenKey():
            made = tokens.make_key()
            return TokenKeyMade(kid=made.kid, public=made.public)
        case DestroyTokenKeys():
            return TokenKeysDestroyed(kids=tokens.destroy_keys())
        case LookAtStore():
            tokens.look(ask.issuer)
            return LookedAtStore()
