"""Asks the broker itself for its public key, so that no daemon can replace it."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import DeniedError, UnavailableError
from taskbound.wire.frame import FrameBuffer, decode_frame, encode_frame
from taskbound.wire.target import BrokerKey, ShowBrokerKey, said_decoder

if TYPE_CHECKING:
    from pathlib import Path


_PATIENCE: Final = 15.0
"""Seconds until a broker that a daemon starts just now has to listen, and then to answer."""
_PAUSE: Final = 0.05
_CHUNK: Final = 65_536


class BrokerSilentError(UnavailableError):
    """The broker does not answer."""

    code = "broker-unavailable"
    remedy = "look whether the broker runs, with `taskbound doctor`"


class BrokerUnwillingError(DeniedError):
    """The broker refuses this account."""

    code = "broker-refused"
    remedy = "do it under an account that may connect to the broker"


def ask_broker_key(path: Path, *, patience: float = _PATIENCE) -> str:
    """Returns the broker's public key as base64url; raises BrokerSilentError or BrokerUnwillingError."""
    end = time.monotonic() + patience
    while True:
        try:
            return _ask(path, patience)
        except OSError as error:
            why = error.strerror or str(error)
            if isinstance(error, PermissionError):
                raise BrokerUnwillingError(f"this account may not connect to `{path}`: {why}") from error
            if time.monotonic() > end:
                raise BrokerSilentError(f"no broker answers at `{path}`: {why}") from error
            time.sleep(_PAUSE)


def _ask(path: Path, patience: float) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(patience)
        one.connect(str(path))
        one.sendall(encode_frame(ShowBrokerKey()))
        buffer = FrameBuffer()
        while data := one.recv(_CHUNK):
            for body in buffer.feed(data):
                said = decode_frame(said_decoder, body)
                if isinstance(said, BrokerKey):
                    return said.key
                raise BrokerUnwillingError(f"{said.message} [{said.code}]", remedy=said.advice)
        raise ConnectionResetError("it closed the connection")
