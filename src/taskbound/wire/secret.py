"""A sealed secret as it is kept: a JWE that only the egress opens, and what is read of it unopened.

1. It is `ECDH-ES` on X25519 with `A256GCM` (RFC 7516, RFC 7518 §4.6, RFC 8037), with no encrypted key beside
   it.
2. Its protected header says what it is sealed for (`core.tool.Binding`), and what it is sealed to: the
   thumbprint of the egress' key (RFC 7638). AES-GCM authenticates it, so that none of it can be changed
   without the value.
3. It has exactly these members, read as strict JSON; nothing in it chooses or fetches a key.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Final

from taskbound.core.action.parse import parse_object
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.tool import BadSecretError, Binding

if TYPE_CHECKING:
    from taskbound.core.action.canonical import JsonValue


ALGORITHM: Final = "ECDH-ES"
ENCRYPTION: Final = "A256GCM"
MAX_SEALED: Final = 16_384
"""Characters of a sealed secret: 8 KiB, its header, and what Base64 adds to both."""
TYPE: Final = "taskbound-secret+jwe"
OWN: Final = ("namespace", "server", "identity", "slot", "number")
"""Members of the header that are not JWE's own."""
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})")
_MEMBERS: Final = frozenset({"alg", "enc", "epk", "kid", "typ", *OWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What a sealed secret says of itself."""

    binding: Binding
    key: str
    """Thumbprint of the key that it is sealed to."""


def header_of(binding: Binding, *, key: str) -> dict[str, JsonValue]:
    """The protected header of a secret that is sealed for this, but for the sender's key (`epk`)."""
    return {
        "alg": ALGORITHM,
        "enc": ENCRYPTION,
        "identity": binding.identity,
        "kid": key,
        "namespace": binding.namespace,
        "number": binding.number,
        "server": binding.server,
        "slot": binding.slot,
        "typ": TYPE,
    }


def read_sealed(text: str) -> Sealed:
    """What it is sealed for and to, by its own word: nothing of it is proven before it is opened.

    Raises:
        BadSecretError: It is no sealed secret (rules 1 and 3).
    """
    found = _SHAPE.fullmatch(text) if len(text) <= MAX_SEALED else None
    if found is None:
        raise BadSecretError("the text is no sealed secret")
    part = found.group(1)
    try:
        header = parse_object(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, MalformedError) as error:
        raise BadSecretError("the header of the sealed secret can't be read") from error
    texts = {name: header.get(name) for name in ("kid", "namespace", "server", "identity", "slot")}
    number = header.get("number")
    fixed = {name: header.get(name) for name in ("alg", "enc", "typ")}
    if (
        header.keys() != _MEMBERS
        or fixed != {"alg": ALGORITHM, "enc": ENCRYPTION, "typ": TYPE}
        or not all(isinstance(one, str) for one in texts.values())
        or not isinstance(number, int)
        or isinstance(number, bool)
    ):
        raise BadSecretError("the header of the sealed secret is not what it has to be")
    words = {name: str(one) for name, one in texts.items()}
    return Sealed(
        key=words["kid"],
        binding=Binding(
            namespace=words["namespace"],
            server=words["server"],
            identity=words["identity"],
            slot=words["slot"],
            number=number,
        ),
    )


def require_for(text: str, binding: Binding) -> Sealed:
    """Go on only with a secret that says that it is sealed for this.

    Raises:
        BadSecretError: It is none, or for something else.
    """
    found = read_sealed(text)
    if found.binding != binding:
        raise BadSecretError("the secret was sealed for another slot, server, value or namespace")
    return found
