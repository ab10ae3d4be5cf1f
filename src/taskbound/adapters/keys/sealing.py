"""Seals secrets to a key of the egress or of a requester (JWE, X25519).

1. The sender knows only the public key, identified by its thumbprint (RFC 7638) in the header.
2. An opened value counts only if the authenticated header equals the requested binding completely.
3. Errors never quote a value.

Handing over credentials (`hand`, `AskerKey`):

1. `ECDH-ES` on X25519 with `A256GCM`, by `joserfc`, to a key made for one request. The protected header
   identifies the credential, has exactly these members, and is compared before and after opening.
2. The content is canonical JSON, `{"open": {…}, "secret": {…}}`, by variable name, parsed strictly and
   bounded. Variables that control execution or destinations are refused (`core.tool.slot`, rule 2).
3. Errors never quote a value.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.credential import BadHandedError
from taskbound.core.errors import MalformedError
from taskbound.core.tool import BadSecretError, Binding, Slot, parse_slot, require_secret
from taskbound.ports.target import Minted
from taskbound.wire.target import HANDED_TYPE
from taskbound.wire.tool import ALGORITHM, ENCRYPTION, OWN, header_of, require_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


_PUBLIC: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_REGISTRY: Final = jwe.JWERegistry(
    header_registry={
        one: HeaderParameter(f"The binding's {one}.", "int" if one == "number" else "str", required=True)
        for one in OWN
    },
    algorithms=[ALGORITHM, ENCRYPTION],
)


class OtherKeyError(BadSecretError):
    """A secret was sealed to another key."""

    code = "other-sealing-key"
    remedy = "set it again with `taskbound upstream secret SERVER SLOT`: the egress has another key now"


class SealingKey:
    """A private key in memory; it is in no repr, and only `file` stores it."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self.private = private
        self.public = _text(private.public_key().public_bytes_raw())
        self.thumbprint = thumbprint(self.public)
        self._key = OKPKey.import_key({**_jwk(self.public), "d": _text(private.private_bytes_raw())})

    @classmethod
    def generate(cls) -> SealingKey:
        return cls(X25519PrivateKey.generate())

    def seal(self, value: str, binding: Binding) -> str:
        """Seals a value to this key; raises BadSecretError if the slot can't hold it."""
        return seal(value, binding, public=self.public)

    def open(self, sealed: str, binding: Binding) -> str:
        """Opens a value sealed to this key for this exact binding; raises OtherKeyError or BadSecretError."""
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
    """Seals a value to a public key (32 bytes of X25519, base64url); raises BadSecretError."""
    require_secret(parse_slot(binding.slot), value)
    key = OKPKey.import_key({**_jwk(public)})
    header = header_of(binding, key=thumbprint(public))
    return jwe.encrypt_compact(dict(header), value.encode(), key, registry=_REGISTRY)


def thumbprint(public: str) -> str:
    """Returns the key's name (RFC 7638); raises BadSecretError for a malformed key."""
    return _text(sha256(canonical(dict(_jwk(public)))).digest())


def _jwk(public: str) -> dict[str, str]:
    if _PUBLIC.fullmatch(public) is None:
        raise BadSecretError("the egress showed a malformed key")
    return {"crv": "X25519", "kty": "OKP", "x": public}


def _broken(binding: Binding) -> str:
    return f"the secret in `{binding.slot}` of `{binding.server}` was changed since it was sealed"


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


MAX_VALUES: Final = 32
"""Names of what is handed out, open and secret together."""
MAX_VALUE: Final = 16_384
"""Characters of one value: an SSH key with its certificate fits."""
MAX_HANDED: Final = 65_536
"""Characters of what is sealed: the JWE."""
_OWN: Final = ("credential", "namespace", "target")
_MEMBERS: Final = frozenset({"alg", "enc", "epk", "kid", "typ", *_OWN})
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}")
_HANDING_REGISTRY: Final = jwe.JWERegistry(
    header_registry={one: HeaderParameter(f"The credential's {one}.", "str", required=True) for one in _OWN},
    algorithms=[ALGORITHM, ENCRYPTION],
)


class AskerKey:
    """The in-memory key of one request; it is in no repr."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self.public = _text(private.public_key().public_bytes_raw())
        self._thumbprint = thumbprint(self.public)
        self._key = OKPKey.import_key({**_handing_jwk(self.public), "d": _text(private.private_bytes_raw())})

    @classmethod
    def generate(cls) -> AskerKey:
        return cls(X25519PrivateKey.generate())

    def open(self, sealed: str, *, namespace: str, target: str, credential: str) -> Minted:
        """Opens exactly this credential handed to this key; raises BadHandedError."""
        wanted = _header(self._thumbprint, namespace, target, credential)
        epk = _require_header(sealed, wanted)  # 1
        try:
            opened = jwe.decrypt_compact(sealed, self._key, registry=_HANDING_REGISTRY)
        except (JoseError, ValueError, TypeError):
            _refuse()
        if dict(opened.protected) != {**wanted, "epk": epk} or opened.plaintext is None:
            _refuse()
        return _read(opened.plaintext)


def hand(minted: Minted, *, public: str, namespace: str, target: str, credential: str) -> str:
    """Seals a credential to a public key (32 bytes of X25519, base64url); raises BadHandedError."""
    if _PUBLIC.fullmatch(public) is None:
        raise BadHandedError("the requester's public key is malformed")
    _require_values(minted.open, minted.secret)
    plain = canonical({"open": dict(minted.open), "secret": dict(minted.secret)})
    header = _header(thumbprint(public), namespace, target, credential)
    try:
        key = OKPKey.import_key({**_handing_jwk(public)})
        sealed = jwe.encrypt_compact(dict(header), plain, key, registry=_HANDING_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise BadHandedError("nothing can be sealed to the public key of who asked") from None  # 3
    if len(sealed) > MAX_HANDED:
        raise BadHandedError("the target made more than can be handed out")
    return sealed


def _header(key: str, namespace: str, target: str, credential: str) -> dict[str, JsonValue]:
    return {
        "alg": ALGORITHM,
        "credential": credential,
        "enc": ENCRYPTION,
        "kid": key,
        "namespace": namespace,
        "target": target,
        "typ": HANDED_TYPE,
    }


def _require_header(sealed: str, wanted: dict[str, JsonValue]) -> JsonValue:
    found = _SHAPE.fullmatch(sealed) if len(sealed) <= MAX_HANDED else None
    if found is None:
        raise BadHandedError("what was handed out is no sealed credential")
    part = found[1]
    try:
        header = parse_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, MalformedError):
        raise BadHandedError("the header of what was handed out can't be read") from None
    epk = header.pop("epk", None)
    if header.keys() | {"epk"} != _MEMBERS or header != wanted:
        raise BadHandedError("what was handed out is another credential, or for another key")
    if not isinstance(epk, dict) or epk.keys() != {"crv", "kty", "x"} or not _is_key(epk):
        raise BadHandedError("the header of what was handed out names no key of who sealed it")
    return epk


def _is_key(epk: dict[str, JsonValue]) -> bool:
    x = epk["x"]
    is_one = isinstance(x, str) and _PUBLIC.fullmatch(x) is not None
    return is_one and (epk["crv"], epk["kty"]) == ("X25519", "OKP")


def _read(plain: bytes) -> Minted:
    try:
        value = parse_object(plain)
        again = canonical(value)
    except MalformedError:
        _refuse()
    opens, secrets = value.get("open"), value.get("secret")
    if again != plain or value.keys() != {"open", "secret"}:
        _refuse()
    if not isinstance(opens, dict) or not isinstance(secrets, dict):
        _refuse()
    return Minted(open=_texts(opens), secret=_texts(secrets)) if _fits(opens, secrets) else _refuse()


def _texts(values: Mapping[str, JsonValue]) -> dict[str, str]:
    return {name: str(one) for name, one in values.items()}


def _fits(opens: Mapping[str, object], secrets: Mapping[str, object]) -> bool:
    if not 1 <= len(opens) + len(secrets) <= MAX_VALUES or opens.keys() & secrets.keys():
        return False
    return all(
        _is_name(name) and isinstance(one, str) and len(one) <= MAX_VALUE and "\0" not in one
        for name, one in (*opens.items(), *secrets.items())
    )


def _is_name(name: str) -> bool:
    try:
        Slot(kind="environment", name=name)
    except MalformedError:
        return False
    return True


def _require_values(opens: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    if not _fits(opens, secrets):
        raise BadHandedError("the target made what can't be handed out")


def _refuse() -> NoReturn:
    raise BadHandedError("what was handed out was changed since it was sealed") from None  # 3


def _handing_jwk(public: str) -> dict[str, str]:
    return {"crv": "X25519", "kty": "OKP", "x": public}
