"""Handing a minted credential to who asked: sealed to their key by the broker, opened by them alone.

1. It is `ECDH-ES` on X25519 with `A256GCM`, by `joserfc`, to a key that was made for this one request. Its
   protected header says which credential of which target it is, and has exactly these members; it is
   compared whole before anything is opened, and again with what was authenticated.
2. What is sealed is canonical JSON, `{"open": {…}, "secret": {…}}`: texts by the name of the variable that
   programs of the target read. It is read as strictly as it is written, and within bounds; a name that
   decides what runs or who is spoken to is no name of a credential (`core.tool.slot`, rule 2).
3. No error says anything of a value.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter

from taskbound.adapters.keys.sealing import thumbprint
from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_object
from taskbound.core.credential import BadHandedError
from taskbound.core.errors import MalformedError
from taskbound.core.tool import Slot
from taskbound.ports.target import Minted
from taskbound.wire.credential import HANDED_TYPE
from taskbound.wire.secret import ALGORITHM, ENCRYPTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action.canonical import JsonValue


MAX_VALUES: Final = 32
"""Names of what is handed out, open and secret together."""
MAX_VALUE: Final = 16_384
"""Characters of one value: an SSH key with its certificate fits."""
MAX_HANDED: Final = 65_536
"""Characters of what is sealed: the JWE."""
_OWN: Final = ("credential", "namespace", "target")
_MEMBERS: Final = frozenset({"alg", "enc", "epk", "kid", "typ", *_OWN})
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{22}")
_PUBLIC: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_REGISTRY: Final = jwe.JWERegistry(
    header_registry={one: HeaderParameter(f"The credential's {one}.", "str", required=True) for one in _OWN},
    algorithms=[ALGORITHM, ENCRYPTION],
)


class AskerKey:
    """The key of one request, in memory alone; it is in no repr."""

    def __init__(self, private: X25519PrivateKey) -> None:
        """Open with this key."""
        self.public = _text(private.public_key().public_bytes_raw())
        self._thumbprint = thumbprint(self.public)
        self._key = OKPKey.import_key({**_jwk(self.public), "d": _text(private.private_bytes_raw())})

    @classmethod
    def generate(cls) -> AskerKey:
        """A new key from the operating system's generator."""
        return cls(X25519PrivateKey.generate())

    def open(self, sealed: str, *, namespace: str, target: str, credential: str) -> Minted:
        """The credential that was handed to this key, and is exactly this one.

        Raises:
            BadHandedError: It is another one, was handed to another key, or changed since.
        """
        wanted = _header(self._thumbprint, namespace, target, credential)
        epk = _require_header(sealed, wanted)  # 1
        try:
            opened = jwe.decrypt_compact(sealed, self._key, registry=_REGISTRY)
        except (JoseError, ValueError, TypeError):
            _refuse()
        if dict(opened.protected) != {**wanted, "epk": epk} or opened.plaintext is None:
            _refuse()
        return _read(opened.plaintext)


def hand(minted: Minted, *, public: str, namespace: str, target: str, credential: str) -> str:
    """The credential, as only the holder of this key can read it.

    Args:
        minted: What the target made.
        public: The asker's public key: 32 bytes of X25519, as base64url.
        namespace: Whose.
        target: The name of where it was minted.
        credential: Its id.

    Raises:
        BadHandedError: The key is none, or it is nothing that can be handed out (rule 2).
    """
    if _PUBLIC.fullmatch(public) is None:
        raise BadHandedError("the public key of who asked is none")
    _require_values(minted.open, minted.secret)
    plain = canonical({"open": dict(minted.open), "secret": dict(minted.secret)})
    header = _header(thumbprint(public), namespace, target, credential)
    try:
        key = OKPKey.import_key({**_jwk(public)})
        sealed = jwe.encrypt_compact(dict(header), plain, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError):
        raise BadHandedError("nothing can be sealed to the public key of who asked") from None  # 3
    if len(sealed) > MAX_HANDED:
        raise BadHandedError("the target made more than can be handed out")
    return sealed


def _header(key: str, namespace: str, target: str, credential: str) -> dict[str, JsonValue]:
    """The protected header but for the sender's key (rule 1)."""
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
    """Go on only with a header that is what it has to be; the sender's key in it."""
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
    """What was sealed (rule 2)."""
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
    """Whether that can be handed out (rule 2)."""
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


def _jwk(public: str) -> dict[str, str]:
    return {"crv": "X25519", "kty": "OKP", "x": public}


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
