"""Serving a signer on a Unix socket, one connection at a time.

1. Only accounts that were named may connect: the kernel says who is there.
2. Every request gets an answer or a fault; a frame that can't be read ends the
   connection, and nothing was signed.
3. The socket is made 0600 in a directory that the signer's account owns; where the
   daemon is another account, a group that holds both may use it (0660).
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import TaskboundError
from taskbound.wire.connection import Fault
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame
from taskbound.wire.signer import (
    AgentKeyMade,
    AssertAgent,
    Asserted,
    ForgetAgentKey,
    Forgotten,
    LastSigned,
    MakeAgentKey,
    Sign,
    Signed,
    SignerAnswer,
    VerifierKey,
    ask_decoder,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskbound.ports.identity import Custody
    from taskbound.ports.signer import Signer
    from taskbound.wire.signer import SignerAsk

__all__ = ["serve_signer"]

_log = logging.getLogger(__name__)
_CREDENTIALS: Final = struct.Struct("3i")
_CHUNK: Final = 65536


def serve_signer(
    signer: Signer,
    agents: Custody,
    path: Path,
    *,
    accounts: frozenset[int],
    mode: int,
    ready: Callable[[], None],
) -> None:
    """Serve until the process is ended.

    Args:
        signer: What signs the log.
        agents: What keeps the keys of agents.
        path: Where to listen; an old socket there is replaced.
        accounts: The uids that may ask.
        mode: The socket's mode, 0o600 or 0o660.
        ready: Called once it listens.
    """
    path.unlink(missing_ok=True)
    before = os.umask(0o777 & ~mode)
    try:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
    finally:
        os.umask(before)
    with listening:
        listening.listen(4)
        ready()
        while True:
            connection, _ = listening.accept()
            with connection:
                _serve(signer, agents, connection, accounts)


def _serve(signer: Signer, agents: Custody, connection: socket.socket, accounts: frozenset[int]) -> None:
    try:
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
                connection.sendall(encode_frame(_answer(signer, agents, decode_frame(ask_decoder, body))))
    except (OSError, FrameError) as error:
        _log.warning("a connection to the signer ended: %s", error)  # 2


def _answer(signer: Signer, agents: Custody, ask: SignerAsk) -> SignerAnswer:
    try:
        match ask:
            case Sign():
                return Signed(note=signer.sign_checkpoint(ask.origin, ask.size, ask.root, ask.proof))
            case LastSigned():
                last = signer.last_signed(ask.origin)
                key = signer.verifier_key(ask.origin)
                return VerifierKey(origin=ask.origin, size=last.size, root=last.root, key=key)
            case MakeAgentKey():
                return AgentKeyMade(public=agents.make_key(ask.namespace, ask.agent))
            case AssertAgent():
                return Asserted(token=agents.assert_agent(ask.kid, ask.audience))
            case ForgetAgentKey():
                agents.forget_key(ask.kid)
                return Forgotten()
    except TaskboundError as error:
        return Fault(code=error.code, message=error.message, advice=error.advice)
