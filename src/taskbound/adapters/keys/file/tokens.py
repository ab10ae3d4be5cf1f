"""Token signing keys on the disk.

    <directory>/       0700
        KID.pem        0600   a private key on P-256 (PKCS #8, PEM, not encrypted), named by its thumbprint
        lock           0600   held while a signer runs

1. A key is written beside its place and renamed, so it is complete or absent.
2. A file whose key doesn't match its name is refused, so that a planted file can't sign for another key.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey

from taskbound.adapters.keys.es256 import Es256Key
from taskbound.adapters.keys.file.disk import (
    KeyMissingError,
    KeyTornError,
    KeyUnusableError,
    hold,
    make_directory,
    open_directory,
    read_private,
    replace_private,
    sync,
)
from taskbound.ports.token import TokenKeyGoneError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


_KID: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_SUFFIX: Final = ".pem"
_LIMIT: Final = 4_096
_TORN: Final = "take the key out of use, and have a new one made; or put the file back from a backup"


class TokenKeyDirectory:
    """The token keys' directory, held by this process until it is closed."""

    def __init__(self, path: Path) -> None:
        """Opens and locks the directory; raises a KeyUnusableError and repairs nothing."""
        self._directory = open_directory(path)
        self._held = -1
        try:
            self._held = hold(self._directory)
        except BaseException:
            self.close()
            raise

    def make(self) -> Es256Key:
        """Creates a key durably (rule 1)."""
        key = Es256Key.generate()
        replace_private(self._directory, key.kid + _SUFFIX, _render(key))
        return key

    def open(self, kid: str) -> Es256Key:
        """Returns the key; raises TokenKeyGoneError, or KeyUnusableError for an invalid file (rule 2)."""
        if _KID.fullmatch(kid) is None:
            raise TokenKeyGoneError("there is no key of such a name")
        try:
            data = read_private(self._directory, kid + _SUFFIX, _LIMIT)
        except KeyMissingError as error:
            raise TokenKeyGoneError(f"there is no key `{kid}`") from error
        key = _parse(data, kid)
        if key.kid != kid:
            raise KeyTornError(f"`{kid}{_SUFFIX}` holds another key than its name says", remedy=_TORN)  # 2
        return key

    def kids(self) -> tuple[str, ...]:
        try:
            names = os.listdir(self._directory)  # noqa: PTH208 -- of the directory that is held
        except OSError as error:
            raise KeyUnusableError(f"the keys can't be listed: {error.strerror}") from error
        stems = (name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))
        return tuple(sorted(stem for stem in stems if _KID.fullmatch(stem)))

    def destroy(self, kid: str) -> None:
        """Deletes the key's file durably, if it exists; after KeyUnusableError it may still exist."""
        if _KID.fullmatch(kid) is None:
            return
        try:
            if kid in self.kids():
                os.unlink(kid + _SUFFIX, dir_fd=self._directory)
            sync(self._directory)
        except OSError as error:
            raise KeyUnusableError(f"the key `{kid}` may still be there: {error.strerror}") from error

    def close(self) -> None:
        for descriptor in (self._held, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._held = self._directory = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def create_token_key_directory(path: Path) -> None:
    """Creates an empty directory for keys; raises KeyExistsError."""
    make_directory(path, {})


def _render(key: Es256Key) -> bytes:
    return key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _parse(data: bytes, kid: str) -> Es256Key:
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise KeyTornError(f"`{kid}{_SUFFIX}` is not a whole private key", remedy=_TORN) from error
    if not isinstance(private, EllipticCurvePrivateKey) or not isinstance(private.curve, SECP256R1):
        raise KeyTornError(f"`{kid}{_SUFFIX}` is no key on P-256", remedy=_TORN)
    return Es256Key(private)
