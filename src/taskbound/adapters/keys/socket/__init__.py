"""The signer behind a Unix socket: its serving side, and the daemon's side."""

from __future__ import annotations

from taskbound.adapters.keys.socket.agents import SocketCustody
from taskbound.adapters.keys.socket.remote import SocketSigner
from taskbound.adapters.keys.socket.serve import serve_signer
from taskbound.adapters.keys.socket.tokens import SocketTokenSigner

__all__ = ["SocketCustody", "SocketSigner", "SocketTokenSigner", "serve_signer"]
