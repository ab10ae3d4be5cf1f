"""Sealing secrets to the egress' key, and opening them: JWE by `joserfc`, on X25519 (`wire.secret`).

1. Who seals knows the public key alone. A key is compared by its thumbprint (RFC 7638), which is in the
   header.
2. What is opened counts when the authenticated header is that of the binding that was asked for, whole.
3. No error says anything of a value.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from taskbound.core.action.canonical import canonical
from taskbound.core.tool import BadSecretError, Binding, parse_slot, require_secret
from taskbound.wire.secret import ALGORITHM, ENCRYPTION, OWN, header_of, require_for

_PUBLIC: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_REGISTRY: Final = jwe.JWERegistry(
    header_registry={
        one: HeaderParameter(f"The binding's {one}.", "int" if one == "number" else "str", required=True)
        for one in OWN
    },
    algorithms=[ALGORITHM, ENCRYPTION],
)


class OtherKeyError(BadSecretError):
    """A secret was sealed to a key that is not the egress'."""

    code = "other-sealing-key"
    remedy = "set it again with `taskbound upstream secret SERVER SLOT`: the egress has another key now"


class SealingKey:
    """The private key in memory; it is in no repr, and only `file` writes it anywhere."""

    def __init__(self, private: X25519PrivateKey) -> None:
        """Open with this key."""
        self.private = private
        self.public = _text(private.public_key().public_bytes_raw())
        self.thumbprint = thumbprint(self.public)
        self._key = OKPKey.import_key({**_jwk(self.public), "d": _text(private.private_bytes_raw())})

    @classmethod
    def generate(cls) -> SealingKey:
        """A new key from the operating system's generator."""
        return cls(X25519PrivateKey.generate())

    def seal(self, value: str, binding: Binding) -> str:
        """The value, as only this key can read it.

        Raises:
            BadSecretError: The value can't stand in the slot.
        """
        return seal(value, binding, public=self.public)

    def open(self, sealed: str, binding: Binding) -> str:
        """The value that was sealed to this key for exactly this (rule 2).

        Raises:
            OtherKeyError: It was sealed to another key.
            BadSecretError: It was sealed for something else, or changed since.
        """
        said = require_for(sealed, binding)
        if said.key != self.thumbprint:
            raise OtherKeyError(
                f"the secret in `{binding.slot}` of `{binding.server}` is sealed to another key"
            )
        try:
            opened = jwe.decrypt_compact(sealed, self._key, registry=_REGISTRY)
        except (JoseError, ValueError, TypeError):
            raise BadSecretError(_broken(binding)) from None  # 3: nor what the library knew
        header = {name: one for name, one in opened.protected.items() if name != "epk"}
        if header != header_of(binding, key=self.thumbprint) or opened.plaintext is None:
            raise BadSecretError(_broken(binding))
        try:
            value = opened.plaintext.decode()
        except UnicodeDecodeError:
            raise BadSecretError(_broken(binding)) from None
        require_secret(parse_slot(binding.slot), value)
        return value


def seal(value: str, binding: Binding, *, public: str) -> str:
    """The value, as only the holder of this key can read it.

    Args:
        value: The secret.
        binding: What it is for.
        public: The egress' public key: 32 bytes of X25519, as base64url.

    Raises:
        BadSecretError: The value can't stand in the slot, or the key is none.
    """
    require_secret(parse_slot(binding.slot), value)
    key = OKPKey.import_key({**_jwk(public)})
    header = header_of(binding, key=thumbprint(public))
    return jwe.encrypt_compact(dict(header), value.encode(), key, registry=_REGISTRY)


def thumbprint(public: str) -> str:
    """The key's name (RFC 7638).

    Raises:
        BadSecretError: The key is none.
    """
    return _text(sha256(canonical(dict(_jwk(public)))).digest())


def _jwk(public: str) -> dict[str, str]:
    if _PUBLIC.fullmatch(public) is None:
        raise BadSecretError("the egress showed a key that is none")
    return {"crv": "X25519", "kty": "OKP", "x": public}


def _broken(binding: Binding) -> str:
    return f"the secret in `{binding.slot}` of `{binding.server}` was changed since it was sealed"


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
