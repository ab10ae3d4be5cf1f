"""Token signing keys in OpenBao's transit engine.

Client (`BaoClient`):

1. The address is `https` with a certificate of the system's or given authorities; `http` only on the
   loopback.
2. The token file is private and read for each request, so renewal needs no restart. The token is in one
   header and in no error.
3. A request ends after five seconds, an answer has at most 1 MiB, and redirects are not followed: they would
   get the token.
4. Any failure (unreachable, sealed, refused, busy, malformed) is one error.

Keys (`OpenBaoTokenKeys`):

1. A transit key is named `PREFIX-NUMBER`, of type `ecdsa-p256`. Each of its versions is one key, named by its
   public half. We create one version a key; a rotation creates another.
2. Exportable, backup-enabled, imported, derived or other types of keys are refused.
3. The server signs with the named version, and the signature is verified (`es256`).
4. Destroying deletes the transit key. Of several versions only the oldest can be removed, by trimming.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import ssl
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from taskbound.adapters.http import HttpAddress, HttpLostError, HttpUnreachedError
from taskbound.adapters.keys.es256 import public_text, require_signed
from taskbound.adapters.keys.file.disk import read_secret
from taskbound.adapters.openbao import BaoConnection
from taskbound.core.dataclass import dataclass
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.token import TokenKeyGoneError, TokenKeyWeakError
from taskbound.wire.jose import es256_jwk
from taskbound.wire.jose.compact import decode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from taskbound.adapters.openbao import BaoAnswer
    from taskbound.core.action import JsonValue
    from taskbound.wire.jose import Jwk


_SECONDS: Final = 5.0
_TOKEN: Final = 4_096
_NO_CONTENT: Final = 204
_OK: Final = frozenset({200, _NO_CONTENT})
_WHY: Final[Mapping[int, str]] = {
    400: "it can't do what was asked",
    403: "it refuses the token",
    404: "it has nothing at that path: the mount may be another",
    429: "it has too much to do",
    472: "it is not the active one",
    473: "it is not the active one",
    501: "it was never initialized",
    503: "it is sealed, or at work on itself",
}
_NOT_FOUND: Final = 404


class NotThereError(Exception):
    """The server answered 404; used only in this module."""


def parse_bao_address(text: str) -> HttpAddress:
    """Parses the server's address; raises SignerUnavailableError if it is invalid or unprotected (rule 1)."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    plain = parts.scheme == "http" and _is_loopback(host)
    extra = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
    if not host or extra or not (plain or parts.scheme == "https"):
        raise SignerUnavailableError(
            "the address of the server of keys is no `https://HOST:PORT`",
            remedy="give `https` and a host; `http` only for this machine's own loopback, as `http://127.0.0.1:8200`",
        )
    return HttpAddress(host=host, port=port or 8_200, tls=not plain)


class BaoClient:
    """Client of one server."""

    def __init__(
        self,
        address: HttpAddress,
        *,
        token: Path,
        authorities: Path | None = None,
        patience: float = _SECONDS,
    ) -> None:
        """Reads `authorities` (PEM, by default the system's); `patience` is seconds for a whole request."""
        self._address, self._token, self._patience = address, token, patience
        try:
            self._tls = ssl.create_default_context(cafile=authorities) if address.tls else None
        except (OSError, ValueError) as error:
            raise SignerUnavailableError("the authorities of the server of keys can't be read") from error

    def ask(
        self, method: str, path: str, body: Mapping[str, JsonValue] | None = None, *, query: str = ""
    ) -> dict[str, JsonValue]:
        """Returns the answer's `data`, or {}; raises NotThereError for 404, else SignerUnavailableError."""
        token = read_secret(self._token, _TOKEN)
        connection = BaoConnection(self._address, self._tls, token=token, patience=self._patience)
        try:
            with connection:
                answer = connection.ask(method, path, body, query=query)
        except (HttpLostError, HttpUnreachedError) as error:
            raise _failed(f"it can't be reached, or doesn't answer in time ({error})") from error
        if answer.status == _NOT_FOUND and answer.errors == ():
            raise NotThereError
        if answer.status not in _OK:
            raise _failed(_WHY.get(answer.status, f"it answers with status {answer.status}"))
        return {} if answer.status == _NO_CONTENT else _data(answer)


def _data(answer: BaoAnswer) -> dict[str, JsonValue]:
    if answer.too_long:
        raise _failed("its answer is too long")
    if answer.members is None:
        raise _failed("its answer is not one of an OpenBao")
    data = answer.members.get("data")
    return data if isinstance(data, dict) else {}


def _failed(why: str) -> SignerUnavailableError:
    return SignerUnavailableError(
        f"the server of keys does not help: {why}",
        remedy="see that it runs, is unsealed, and that the token's policy allows its path of keys",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_TYPE: Final = "ecdsa-p256"
_NEVER: Final = ("exportable", "allow_plaintext_backup", "derived", "imported_key")
"""What no key of ours may be (rule 2); an imported one was outside before."""
_HALF: Final = 32
_WORD: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    name: str
    version: int
    jwk: Jwk
    versions: tuple[int, ...]
    """All that the key of transit has."""


class OpenBaoTokenKey:
    """A key in the server."""

    def __init__(self, store: OpenBaoTokenKeys, place: _Place) -> None:
        self._store, self._place = store, place
        self.kid = place.jwk.kid
        self.public = public_text(place.jwk)

    def sign(self, message: bytes) -> bytes:
        """Returns the signature, 64 bytes (rule 3); raises TokenKeyGoneError or SignerUnavailableError."""
        return self._store.sign(self._place, message)


class OpenBaoTokenKeys:
    """The keys of one installation, distinguished by `prefix`, in one transit engine."""

    def __init__(self, client: BaoClient, *, mount: str = "transit", prefix: str = "taskbound") -> None:
        if _WORD.fullmatch(mount) is None or _WORD.fullmatch(prefix) is None:
            raise SignerUnavailableError("mount and prefix are words of small letters, digits and `-`")
        self._client, self._mount, self._prefix = client, mount, f"{prefix}-"
        self.kids()

    def make(self) -> OpenBaoTokenKey:
        """Creates a key that never leaves the server (rules 1 and 2)."""
        name = self._prefix + secrets.token_hex(8)
        self._ask(
            "POST", f"keys/{name}", {"type": _TYPE, "exportable": False, "allow_plaintext_backup": False}
        )
        (place,) = self._places(name)
        return OpenBaoTokenKey(self, place)

    def open(self, kid: str) -> OpenBaoTokenKey:
        """Returns the key; raises TokenKeyGoneError, or TokenKeyWeakError (rule 2)."""
        return OpenBaoTokenKey(self, self._find(kid))

    def kids(self) -> tuple[str, ...]:
        return tuple(sorted(place.jwk.kid for name in self._names() for place in self._places(name)))

    def destroy(self, kid: str) -> None:
        """Destroys the key, if it exists (rule 4); after SignerUnavailableError it may still exist."""
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
        """Returns the signature (rule 3); raises TokenKeyGoneError or SignerUnavailableError."""
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
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_there(self, place: _Place) -> None:
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
        raise TokenKeyWeakError(f"the key `{name}` of the server is not on P-256")
    numbers = public.public_numbers()
    return es256_jwk(numbers.x.to_bytes(_HALF), numbers.y.to_bytes(_HALF))
