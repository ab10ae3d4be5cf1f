"""Keys for tokens in an OpenBao server's transit engine."""

from __future__ import annotations

from taskbound.adapters.keys.openbao.client import BaoClient, parse_bao_address
from taskbound.adapters.keys.openbao.store import OpenBaoTokenKeys

__all__ = ["BaoClient", "OpenBaoTokenKeys", "parse_bao_address"]
