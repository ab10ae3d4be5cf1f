"""Keys for tokens in a device that speaks PKCS #11."""

from __future__ import annotations

from taskbound.adapters.keys.pkcs11.store import Pkcs11TokenKeys

__all__ = ["Pkcs11TokenKeys"]
