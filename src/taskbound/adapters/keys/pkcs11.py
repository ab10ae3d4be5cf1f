"""Token signing keys in a PKCS #11 token (OASIS 2.40, 3.1).

1. A key is a pair of persistent objects labelled `taskbound-token` with its `kid` as `CKA_ID`. Other objects
   are ignored.
2. The private half is sensitive and not extractable; one that isn't, or that derives keys, is refused at
   opening. Its name must match its public half.
3. The device signs SHA-256 digests (CKM_ECDSA, §6.3.6), and the signature is verified (`es256`).
4. A lost session is reopened once with the module initialized anew; then the signer is unavailable.
5. A wrong PIN is never retried by this process: three lock most devices permanently.
6. One thread at a time uses the device; PKCS #11 calls have no time limit.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NoReturn, Self, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import (
    FunctionNotSupported,
    NoSuchKey,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    RandomNoRNG,
    UserPinNotInitialized,
)
from pkcs11.types import SignMixin

from taskbound.adapters.keys.es256 import public_text, require_signed
from taskbound.adapters.keys.file.disk import read_secret
from taskbound.ports.signer import SignerUnavailableError
from taskbound.ports.token import TokenKeyGoneError, TokenKeyWeakError
from taskbound.wire.jose import JwkPointError, es256_jwk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from taskbound.wire.jose import Jwk


_T = TypeVar("_T")
_LABEL: Final = "taskbound-token"
_NEW: Final = b"taskbound-new"
"""The `CKA_ID` of a key that has no name yet: its maker ended before it gave one."""
_KID: Final = re.compile(rb"[A-Za-z0-9_-]{43}")
_P256: Final = bytes.fromhex("06082a8648ce3d030107")
"""The object identifier of P-256, in DER (`CKA_EC_PARAMS`)."""
_POINT: Final = re.compile(rb"\x04\x41\x04(.{32})(.{32})", re.DOTALL)
"""An uncompressed point in an octet string (`CKA_EC_POINT`)."""
_PIN: Final = 256
_REFUSED: Final = (PinIncorrect, PinLocked, PinInvalid, PinExpired, PinLenRange, UserPinNotInitialized)
_PRIVATE: Final = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DERIVE: False,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
}


class Pkcs11TokenKey:
    """A key in the device."""

    def __init__(self, store: Pkcs11TokenKeys, jwk: Jwk) -> None:
        self._store = store
        self._jwk = jwk
        self.kid = jwk.kid
        self.public = public_text(jwk)

    def sign(self, message: bytes) -> bytes:
        """Returns the signature, 64 bytes (rule 3); raises TokenKeyGoneError or SignerUnavailableError."""
        return self._store.sign(self._jwk, message)


class Pkcs11TokenKeys:
    """A token of one module, in a session until it is closed."""

    def __init__(self, *, module: Path, token: str, pin: Path) -> None:
        """Opens a session with the token of this label; `pin` is a private file with the user PIN."""
        self._module, self._token, self._pin = module, token, pin
        self._lock = threading.Lock()
        self._session: pkcs11.Session | None = None
        self._refused = False
        self._run(lambda _: None)

    def make(self) -> Pkcs11TokenKey:
        """Creates a key that never leaves the device (rule 2)."""
        return Pkcs11TokenKey(self, self._run(_make))

    def open(self, kid: str) -> Pkcs11TokenKey:
        """Returns the key; raises TokenKeyGoneError, or TokenKeyWeakError (rule 2)."""
        name = _name(kid)
        if name is None:
            raise TokenKeyGoneError("there is no key of such a name")
        return Pkcs11TokenKey(self, self._run(lambda session: _open(session, name)))

    def kids(self) -> tuple[str, ...]:
        return self._run(_kids, sure=bool)

    def destroy(self, kid: str) -> None:
        """Destroys both halves of the key, if it exists; after SignerUnavailableError it may still exist."""
        name = _name(kid)
        if name is not None:
            self._run(lambda session: _destroy(session, name), sure=bool)

    def sign(self, key: Jwk, message: bytes) -> bytes:
        """Returns the signature (rule 3); raises TokenKeyGoneError or SignerUnavailableError."""
        digest = sha256(message).digest()
        raw = self._run(
            lambda session: _private(session, key.kid.encode()).sign(digest, mechanism=Mechanism.ECDSA)
        )
        half = len(raw) // 2
        return require_signed(key, message, int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def close(self) -> None:
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, act: Callable[[pkcs11.Session], _T], *, sure: Callable[[_T], bool] = lambda _: True) -> _T:
        """Runs `act` in a live session (rules 4 to 6).

        A removed device looks empty: a missing object, or an unsure result, is looked up again after
        reinitialization.
        """
        with self._lock:
            with suppress(PKCS11Error):
                session = self._session or self._begin()
                _require_alive(session)
                found = act(session)
                if sure(found):
                    return found
            self._end()
            try:
                return act(self._begin(anew=True))  # 4
            except NoSuchKey as error:
                raise TokenKeyGoneError("the device has no such key") from error
            except PKCS11Error as error:
                self._end()
                _unavailable(error)

    def _begin(self, *, anew: bool = False) -> pkcs11.Session:
        if self._refused:
            raise SignerUnavailableError(
                "the device refused the PIN before, and is not asked again", remedy=_PINS
            )
        pin = read_secret(self._pin, _PIN)
        try:
            library = pkcs11.lib(str(self._module))
            if anew:
                library.reinitialize()
            self._session = library.get_token(token_label=self._token).open(rw=True, user_pin=pin)
        except _REFUSED as error:
            self._refused = True  # 5
            raise SignerUnavailableError(
                f"the device refuses the PIN ({type(error).__name__})", remedy=_PINS
            ) from error
        except (RuntimeError, OSError) as error:
            if isinstance(error, PKCS11Error) and not anew:
                raise
            _unavailable(error)
        return self._session

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(PKCS11Error):  # it was lost
                session.close()


_PINS: Final = (
    "see that the file has the user's PIN, and start the signer again; the device may lock after three"
)


def _unavailable(error: Exception) -> NoReturn:
    raise SignerUnavailableError(
        f"the device of keys doesn't answer as it should ({type(error).__name__})",
        remedy="see that module, label and device are there, and that this user may reach them",
    ) from error


def _name(kid: str) -> bytes | None:
    raw = kid.encode("utf-8", "surrogatepass")
    return raw if _KID.fullmatch(raw) else None


def _require_alive(session: pkcs11.Session) -> None:
    """Raises PKCS11Error for a lost session, in which the library would complain of open operations."""
    with suppress(RandomNoRNG, FunctionNotSupported):
        session.generate_random(64)


def _one(session: pkcs11.Session, kind: ObjectClass, name: bytes) -> pkcs11.Object:
    """Returns the only object of this kind and name; two are refused, as one may be planted."""
    wanted = {Attribute.CLASS: kind, Attribute.LABEL: _LABEL, Attribute.ID: name}
    found = list(session.get_objects(wanted))
    if not found:
        raise NoSuchKey
    if len(found) > 1:
        raise TokenKeyWeakError(f"the device has two keys `{name.decode()}`")
    return found[0]


def _private(session: pkcs11.Session, name: bytes) -> SignMixin:
    found = _one(session, ObjectClass.PRIVATE_KEY, name)
    if not isinstance(found, SignMixin):
        raise TokenKeyWeakError(f"the key `{name.decode()}` of the device doesn't sign")
    return found


def _make(session: pkcs11.Session) -> Jwk:
    _destroy(session, _NEW)
    domain = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: _P256}, local=True)
    public, private = domain.generate_keypair(
        store=True,
        label=_LABEL,
        id=_NEW,
        mechanism=Mechanism.EC_KEY_PAIR_GEN,
        private_template=_PRIVATE,
        public_template={Attribute.VERIFY: True},
    )
    jwk = _jwk(public)
    public[Attribute.ID] = private[Attribute.ID] = jwk.kid.encode()
    return _open(session, jwk.kid.encode())


def _open(session: pkcs11.Session, name: bytes) -> Jwk:
    private = _private(session, name)
    jwk = _jwk(_one(session, ObjectClass.PUBLIC_KEY, name))
    if any(private[attribute] != value for attribute, value in _PRIVATE.items()):
        raise TokenKeyWeakError(f"the key `{jwk.kid}` could leave the device, or do more than sign")  # 2
    if jwk.kid.encode() != name:
        raise TokenKeyWeakError(f"the key `{name.decode()}` is another than its name says")  # 2
    return jwk


def _kids(session: pkcs11.Session) -> tuple[str, ...]:
    found = session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: _LABEL})
    names = [one[Attribute.ID] for one in found]
    return tuple(sorted(name.decode("ascii") for name in names if _KID.fullmatch(name)))


def _destroy(session: pkcs11.Session, name: bytes) -> int:
    found = list(session.get_objects({Attribute.ID: name, Attribute.LABEL: _LABEL}))
    for one in found:
        one.destroy()
    return len(found)


def _jwk(public: pkcs11.Object) -> Jwk:
    found = _POINT.fullmatch(public[Attribute.EC_POINT])
    if found is None or public[Attribute.EC_PARAMS] != _P256:
        raise TokenKeyWeakError("a key of the device is not on P-256")
    try:
        return es256_jwk(found[1], found[2])
    except JwkPointError as error:
        raise TokenKeyWeakError("a key of the device is no point on P-256") from error
