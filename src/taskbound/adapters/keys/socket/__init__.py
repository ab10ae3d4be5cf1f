"""The signer over a Unix socket: server and the daemon's clients."""

from __future__ import annotations

from taskbound.adapters.keys.socket.remote import SocketCustody, SocketSigner, SocketTokenSigner
from taskbound.adapters.keys.socket.serve import serve_signer

__all__ = ["SocketCustody", "SocketSigner", "SocketTokenSigner", "serve_signer"]
