"""Keys for tokens in OpenBao's transit engine: the server makes and uses them, and shows no private half.

1. A key of ours is a key of transit with the name `PREFIX-NUMBER`, of type `ecdsa-p256`. What is in its
   versions is what signs: each version is one of our keys, named by its public half. We make one version a
   key; whoever rotates it there makes another one of ours.
2. A key that could leave the server (exportable, plain backups), came from outside or is derived is refused,
   and so is one of another type.
3. The server signs with the version that is named, never with the latest; what it gives is verified before it
   leaves (`es256`).
4. To destroy a key is to delete it there, with all that it had. Of a key with several versions the oldest can
   go, by trimming; another one can't, and the error says so.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from taskbound.adapters.keys.es256 import public_text, require_signed
from taskbound.adapters.keys.openbao.client import NotThereError
from taskbound.core.dataclass import dataclass
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.token import TokenKeyGoneError, TokenKeyWeakError
from taskbound.wire.jose import es256_jwk
from taskbound.wire.jose.compact import decode_base64url

if TYPE_CHECKING:
    from types import TracebackType

    from taskbound.adapters.keys.openbao.client import BaoClient
    from taskbound.core.action import JsonValue
    from taskbound.wire.jose import Jwk


_TYPE: Final = "ecdsa-p256"
_NEVER: Final = ("exportable", "allow_plaintext_backup", "derived", "imported_key")
"""What no key of ours may be (rule 2); an imported one was outside before."""
_HALF: Final = 32
_WORD: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a key of ours is: a version of a key of transit."""

    name: str
    version: int
    jwk: Jwk
    versions: tuple[int, ...]
    """All that the key of transit has."""


class OpenBaoTokenKey:
    """A key in the server."""

    def __init__(self, store: OpenBaoTokenKeys, place: _Place) -> None:
        """The key at this place."""
        self._store, self._place = store, place
        self.kid = place.jwk.kid
        self.public = public_text(place.jwk)

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes (rule 3).

        Raises:
            TokenKeyGoneError: The server has the key no longer.
            SignerUnavailableError: The server can't be reached, is sealed, refuses, or signs wrongly.
        """
        return self._store.sign(self._place, message)


class OpenBaoTokenKeys:
    """The keys of one installation in one transit engine."""

    def __init__(self, client: BaoClient, *, mount: str = "transit", prefix: str = "taskbound") -> None:
        """Keep keys there.

        Args:
            client: Who asks the server.
            mount: Where its transit engine is.
            prefix: How the names of our keys begin; another installation has another.

        Raises:
            SignerUnavailableError: The server can't be asked, or a name is none.
        """
        if _WORD.fullmatch(mount) is None or _WORD.fullmatch(prefix) is None:
            raise SignerUnavailableError("mount and prefix are words of small letters, digits and `-`")
        self._client, self._mount, self._prefix = client, mount, f"{prefix}-"
        self.kids()

    def make(self) -> OpenBaoTokenKey:
        """A new key, which never leaves the server (rules 1 and 2).

        Raises:
            SignerUnavailableError: The server can't make it.
        """
        name = self._prefix + secrets.token_hex(8)
        self._ask(
            "POST", f"keys/{name}", {"type": _TYPE, "exportable": False, "allow_plaintext_backup": False}
        )
        (place,) = self._places(name)
        return OpenBaoTokenKey(self, place)

    def open(self, kid: str) -> OpenBaoTokenKey:
        """The key of this name.

        Raises:
            TokenKeyGoneError: There is none.
            TokenKeyWeakError: A key of ours there could leave the server (rule 2).
            SignerUnavailableError: The server can't say.
        """
        return OpenBaoTokenKey(self, self._find(kid))

    def kids(self) -> tuple[str, ...]:
        """The names of all keys that are there.

        Raises:
            SignerUnavailableError: The server can't say.
        """
        return tuple(sorted(place.jwk.kid for name in self._names() for place in self._places(name)))

    def destroy(self, kid: str) -> None:
        """Destroy the key; nothing, where there is none (rule 4).

        Raises:
            SignerUnavailableError: It may still be there.
        """
        try:
            place = self._find(kid)
        except TokenKeyGoneError:
            return
        at = f"keys/{place.name}"
        if len(place.versions) == 1:
            self._ask("POST", f"{at}/config", {"deletion_allowed": True})
            self._ask("DELETE", at)
            return
        if place.version != place.versions[0]:
            raise SignerUnavailableError(
                f"the key `{kid}` is a version of `{place.name}` that has an older one",
                remedy=f"destroy the older ones first, or delete `{place.name}` in OpenBao with all of them",
            )
        following = place.versions[1]
        self._ask(
            "POST", f"{at}/config", {"min_decryption_version": following, "min_encryption_version": following}
        )
        self._ask("POST", f"{at}/trim", {"min_available_version": following})

    def sign(self, place: _Place, message: bytes) -> bytes:
        """The signature of the key at this place (rule 3).

        Raises:
            TokenKeyGoneError: The server has the key no longer.
            SignerUnavailableError: The server can't be reached, is sealed, refuses, or signs wrongly.
        """
        body: dict[str, JsonValue] = {
            "input": b64encode(sha256(message).digest()).decode("ascii"),
            "prehashed": True,
            "key_version": place.version,
            "marshaling_algorithm": "jws",
        }
        try:
            said = self._ask("POST", f"sign/{place.name}/sha2-256", body).get("signature")
        except SignerUnavailableError:
            self._require_there(place)
            raise
        start = f"vault:v{place.version}:"
        raw = (
            decode_base64url(said.removeprefix(start))
            if isinstance(said, str) and said.startswith(start)
            else None
        )
        if raw is None or len(raw) != 2 * _HALF:
            raise SignerUnavailableError("the server of keys gave something that is no signature of this key")
        return require_signed(place.jwk, message, int.from_bytes(raw[:_HALF]), int.from_bytes(raw[_HALF:]))

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _require_there(self, place: _Place) -> None:
        """Go on where the server still has the key, or can't say."""
        try:
            self._find(place.jwk.kid)
        except TokenKeyGoneError:
            raise
        except SignerUnavailableError:
            return

    def _find(self, kid: str) -> _Place:
        for name in self._names():
            for place in self._places(name):
                if place.jwk.kid == kid:
                    return place
        raise TokenKeyGoneError("the server of keys has no such key")

    def _names(self) -> list[str]:
        try:
            names = self._ask("GET", "keys", query="list=true").get("keys")
        except TokenKeyGoneError:
            return []  # there is no key at all
        return (
            sorted(one for one in names if isinstance(one, str) and self._is_ours(one))
            if isinstance(names, list)
            else []
        )

    def _is_ours(self, name: str) -> bool:
        return name.startswith(self._prefix) and _WORD.fullmatch(name.removeprefix(self._prefix)) is not None

    def _places(self, name: str) -> tuple[_Place, ...]:
        try:
            found = self._ask("GET", f"keys/{name}")
        except TokenKeyGoneError:
            return ()  # it was deleted since it was listed
        if found.get("type") != _TYPE or any(found.get(flag) is not False for flag in _NEVER):
            raise TokenKeyWeakError(
                f"the key `{name}` of the server could leave it, or is not what we make"
            )  # 2
        held = found.get("keys")
        versions = held if isinstance(held, dict) else {}
        numbers = tuple(sorted(int(one) for one in versions if one.isascii() and one.isdigit()))
        return tuple(
            _Place(name=name, version=one, jwk=_jwk(versions[str(one)], name), versions=numbers)
            for one in numbers
        )

    def _ask(
        self, method: str, path: str, body: dict[str, JsonValue] | None = None, *, query: str = ""
    ) -> dict[str, JsonValue]:
        try:
            return self._client.ask(method, f"{self._mount}/{path}", body, query=query)
        except NotThereError as error:
            raise TokenKeyGoneError("the server of keys has no such key") from error


def _jwk(version: JsonValue, name: str) -> Jwk:
    pem = version.get("public_key") if isinstance(version, dict) else None
    try:
        public = load_pem_public_key(pem.encode("ascii")) if isinstance(pem, str) else None
    except ValueError:
        public = None
    if not isinstance(public, EllipticCurvePublicKey) or not isinstance(public.curve, SECP256R1):
        raise TokenKeyWeakError(f"the key `{name}` of the server is none on P-256")
    numbers = public.public_numbers()
    return es256_jwk(numbers.x.to_bytes(_HALF), numbers.y.to_bytes(_HALF))
