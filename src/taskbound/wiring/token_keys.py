"""Opens the token signing keys that a text names: files, a PKCS #11 device, or OpenBao.

1. `file:PATH`: a directory of this account, mode 0700.
2. `pkcs11:token=LABEL?module-path=PATH&pin-source=PATH` (RFC 7512): token, library, and the file with the
   user PIN.
3. `openbao:https://HOST:PORT/MOUNT/PREFIX?token=PATH&ca=PATH`: server, transit engine, prefix of key names,
   token file, and certificate authorities (the system's by default).
4. The text contains no secret: PINs and tokens are in files that only the signer's account can read.
   Duplicate or unknown parameters are errors.
5. Only the code in use is loaded; PKCS #11 needs an extra package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from taskbound.adapters.keys.file import TokenKeyDirectory, create_token_key_directory
from taskbound.core.errors import MalformedError, UnavailableError

if TYPE_CHECKING:
    from taskbound.adapters.keys.openbao import OpenBaoTokenKeys
    from taskbound.adapters.keys.pkcs11 import Pkcs11TokenKeys

    Opened: TypeAlias = TokenKeyDirectory | Pkcs11TokenKeys | OpenBaoTokenKeys


_PARTS: Final = 2


class BadKeyPlaceError(MalformedError):
    """The text names no valid key location."""

    code = "bad-key-place"
    remedy = "see docs/guides/token-keys.md: `file:PATH`, `pkcs11:token=…?…` or `openbao:https://…`"


class KeyPackageMissingError(UnavailableError):
    """The keys are in a PKCS #11 device, and its package is not installed."""

    code = "key-package-missing"
    remedy = "from a checkout, into the environment of the signer: `pip install '.[server,pkcs11]'`"


def open_token_keys(place: str, *, create: bool = False) -> Opened:
    """Opens the named key store; `create` permits only a missing directory to be created."""
    kind, _, rest = place.partition(":")
    match kind:
        case "file":
            path = _path(rest)
            if create and not path.is_symlink() and not path.exists():
                create_token_key_directory(path)
            return TokenKeyDirectory(path)
        case "pkcs11":
            return _open_pkcs11(rest)
        case "openbao":
            return _open_openbao(rest)
        case _:
            raise BadKeyPlaceError("a place of keys begins with `file:`, `pkcs11:` or `openbao:`")


def _open_pkcs11(rest: str) -> Pkcs11TokenKeys:
    path, _, query = rest.partition("?")
    told = _told(query, needed={"module-path", "pin-source"})
    name, _, label = path.partition("=")
    if name != "token" or not label or ";" in label:
        raise BadKeyPlaceError("a device is named `pkcs11:token=LABEL?module-path=PATH&pin-source=PATH`")
    try:
        from taskbound.adapters.keys.pkcs11 import Pkcs11TokenKeys  # noqa: PLC0415 -- what is not used is not loaded
    except ImportError as error:
        from taskbound.surfaces.cli.extras import how_to_install  # noqa: PLC0415 -- only where it is missing

        raise KeyPackageMissingError(
            "there is no package for PKCS #11 here", remedy=f"`{how_to_install('pkcs11')}`"
        ) from error
    pin = _path(told["pin-source"].removeprefix("file:"))
    return Pkcs11TokenKeys(module=_path(told["module-path"]), token=unquote(label), pin=pin)


def _open_openbao(rest: str) -> OpenBaoTokenKeys:
    from taskbound.adapters.keys.openbao import (  # noqa: PLC0415 -- what is not used is not loaded
        BaoClient,
        OpenBaoTokenKeys,
        parse_bao_address,
    )

    address, _, query = rest.partition("?")
    told = _told(query, needed={"token"}, may={"ca"})
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    names = parts.path.split("/")[1:]
    if len(names) != _PARTS:
        raise BadKeyPlaceError("a server is named `openbao:https://HOST:PORT/MOUNT/PREFIX?token=PATH`")
    client = BaoClient(
        parse_bao_address(f"{parts.scheme}://{parts.netloc}"),
        token=_path(told["token"]),
        authorities=_path(told["ca"]) if "ca" in told else None,
    )
    return OpenBaoTokenKeys(client, mount=names[0], prefix=names[1])


def _told(query: str, *, needed: set[str], may: frozenset[str] | set[str] = frozenset()) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise BadKeyPlaceError(f"the place of keys needs {', '.join(sorted(needed))}") from error
    told = dict(pairs)
    if len(told) != len(pairs) or not needed <= told.keys() <= needed | may:
        words = ", ".join(sorted(needed | may))
        raise BadKeyPlaceError(f"the place of keys has each of {words} once, and nothing else")
    return told


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or "\0" in text:
        raise BadKeyPlaceError("the paths in a place of keys are absolute")
    return path
