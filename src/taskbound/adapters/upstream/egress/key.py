"""The egress' public key, asked of the egress itself: no daemon stands between who seals and who opens."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from taskbound.adapters.upstream.egress.server import EgressRefusedError, EgressUnavailableError
from taskbound.wire.connection import Fault
from taskbound.wire.egress import SealingPublic, ShowSealing, said_decoder
from taskbound.wire.frame import FrameBuffer, FrameError, decode_frame, encode_frame

if TYPE_CHECKING:
    from pathlib import Path


_PATIENCE: Final = 15.0
"""Seconds until an egress that a daemon starts just now has to listen, and then to answer."""
_PAUSE: Final = 0.05
_CHUNK: Final = 65_536


def ask_key(path: Path, *, patience: float = _PATIENCE) -> str:
    """The public key that the egress at this socket shows, as base64url.

    Raises:
        EgressUnavailableError: None answers.
        EgressRefusedError: It does not speak to this account.
    """
    end = time.monotonic() + patience
    while True:
        try:
            return _ask(path)
        except OSError as error:
            if time.monotonic() > end or isinstance(error, PermissionError):
                why = error.strerror or str(error)
                raise EgressUnavailableError(f"no egress answers at `{path}`: {why}") from error
            time.sleep(_PAUSE)


def _ask(path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(_PATIENCE)
        one.connect(str(path))
        one.sendall(encode_frame(ShowSealing()))
        buffer = FrameBuffer()
        while data := one.recv(_CHUNK):
            for body in buffer.feed(data):
                said = decode_frame(said_decoder, body)
                if isinstance(said, SealingPublic):
                    return said.key
                if isinstance(said, Fault):
                    raise EgressRefusedError(f"{said.message} [{said.code}]", remedy=said.advice)
                raise FrameError("the egress answered something else than it was asked")
        raise ConnectionResetError("it closed the connection")
