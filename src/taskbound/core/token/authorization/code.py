"""An authorization code, and what it takes to exchange it (RFC 6749 §4.1.3, RFC 7636 §4.6).

1. A code is 256 bits of chance, good for 60 seconds, for one use. Its SHA-256 is what is kept.
2. It is one client's, for one redirect URI, one verifier, one resource, one task or one person, and one DPoP
   key where the request named one; a person's is good for a client with a key alone. All of it is compared
   whole, and in constant time where it is secret.
3. A code that comes twice is in two hands. Whatever it brought is taken back (RFC 6749 §4.1.2), by whoever
   looks at the row: this module only says for what a code is good.
4. A verifier is 43 to 128 unreserved characters. No verifier is no proof, whatever was asked for.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.token.authorization.errors import BadCodeError, BadVerifierError
from taskbound.core.token.errors import UnboundTokenError

if TYPE_CHECKING:
    from taskbound.core.clock import Instant


CODE_LIFETIME: Final = seconds(60)
"""How long a code is good for (RFC 6749 §4.1.2 allows ten minutes; A146 asks for one)."""
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What is kept of a code (rule 2)."""

    namespace: str
    digest: str
    client: str
    redirect: str
    challenge: str
    resource: str
    task: str
    person: str
    """Who consented."""
    expires: Instant
    jkt: str = ""
    bound: bool = False
    """Whether whoever brings it has to prove a key, whatever the request said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a client brings to exchange a code."""

    client: str
    redirect: str
    """The redirect URI, as it was in the request."""
    verifier: str
    resource: str = ""
    """What the token is to be for; empty where the client does not say."""
    jkt: str = ""
    """Thumbprint of the DPoP key that was proven; empty where none was."""

    def __repr__(self) -> str:
        """Without the verifier."""
        return f"Exchange(client={self.client!r}, resource={self.resource!r})"


def code_digest(code: str) -> str:
    """What is kept of a code (rule 1): its SHA-256, in hexadecimal.

    Raises:
        BadCodeError: It is none.
    """
    if _CODE.fullmatch(code) is None:
        raise BadCodeError("the code is none")
    return hashlib.sha256(code.encode("ascii")).hexdigest()


def require_code(code: Code, brought: Exchange, now: Instant) -> None:
    """Go on only when this is the exchange that the code is for (rule 2).

    Raises:
        BadCodeError: It is another's, for something else, or over.
        BadVerifierError: Who asks is not who asked for the code.
        UnboundTokenError: It is for a client that proves a key, and none was.
    """
    if now >= code.expires:
        raise BadCodeError("the code is over")
    if brought.client != code.client:
        raise BadCodeError("the code is another client's")
    if brought.redirect != code.redirect:
        raise BadCodeError("the code was asked for at another redirect URI")
    if brought.resource and brought.resource != code.resource:
        raise BadCodeError("the code is for another resource")
    if code.jkt and brought.jkt != code.jkt:
        raise BadCodeError("the code is for another key")
    if code.bound and not brought.jkt:
        raise UnboundTokenError("a token to act as a person is bound to a key, and no DPoP proof was shown")
    require_verifier(brought.verifier, code.challenge)


def require_verifier(verifier: str, challenge: str) -> None:
    """Go on only when the challenge was made of this verifier (rule 4).

    Raises:
        BadVerifierError: It was not.
    """
    if _VERIFIER.fullmatch(verifier) is None:
        raise BadVerifierError("a verifier is 43 to 128 letters, digits and `-._~`")
    made = urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")
    if not compare_digest(made, challenge):
        raise BadVerifierError("the verifier is not the challenge's")
