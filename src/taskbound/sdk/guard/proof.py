"""What an agent proves itself with over the network, and the key that its tokens are bound to.

1. A proof is read anew for each token, and a subject's token for each task: what stands in a file is renewed
   there by whoever put it.
2. The key of a client is made in its process and stays there: a token that was seen elsewhere is worth
   nothing.
3. Nothing of either is in a repr.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import field
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, get_args

from taskbound.core.action.canonical import canonical
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import UnavailableError
from taskbound.wire.jose.compact import encode_base64url
from taskbound.wire.jose.dpop import DPOP_TYP, token_hash

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path


Kind: TypeAlias = Literal["assertion", "svid", "token"]
_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SPIFFE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_ALGORITHM: Final = "ES256"


class UnreadableProofError(UnavailableError):
    """What an agent is to prove itself with can't be read."""

    code = "unreadable-proof"
    remedy = "look at the file that the client was given, and at who writes it"


class ProofKey(Protocol):
    """A private key on P-256."""

    @property
    def public(self) -> bytes:
        """Its public half, a JWK as canonical JSON."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes: `r` and `s` (ES256)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How an agent is proven at the token endpoint (docs/guides/task-tokens.md)."""

    kind: Kind
    """`assertion`: a statement signed with the agent's own key. `svid`: a JWT-SVID. `token`: one of an issuer
    that is trusted, such as a cluster's or a CI system's."""
    read: Callable[[], str] | Callable[[], Awaitable[str]] = field(repr=False)
    """Gives it, fresh; one that is awaited only for an `AsyncClient`. Space around it is left out."""

    def __post_init__(self) -> None:
        """Look at the kind: what is of none would be shown as something else, and refused without a word why.

        Raises:
            ValueError: There is no such kind.
        """
        if self.kind not in get_args(Kind):
            raise ValueError(f"`kind` is one of {', '.join(get_args(Kind))}, and not `{self.kind}`")

    @classmethod
    def from_file(cls, path: Path, kind: Kind = "token") -> Proof:
        """What stands in a file, read anew for each token (rule 1)."""
        return cls(kind=kind, read=_reader(path))

    def parameters(self, text: str) -> dict[str, str]:
        """What a form says with it."""
        if self.kind == "token":
            return {"actor_token": text, "actor_token_type": _JWT}
        kind = _BEARER if self.kind == "assertion" else _SPIFFE
        return {"client_assertion": text, "client_assertion_type": kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectToken:
    """A token of whoever a task is started for (RFC 8693, `subject_token`): a person's, or another agent's.

    Another agent's names this one (`may_act`; `Client.hand_to`). A person's is bound to a key of the program
    that signed them in, which is shown with it.
    """

    read: Callable[[], str] | Callable[[], Awaitable[str]] = field(repr=False)
    """Gives it, fresh; one that is awaited only for an `AsyncClient`."""
    key: Path | None = None
    """A file (PEM) with the private key, on P-256, that it is bound to; None for one that names the agent."""

    @classmethod
    def from_file(cls, path: Path, *, key: Path | None = None) -> SubjectToken:
        """What stands in a file, read anew for each task (rule 1)."""
        return cls(read=_reader(path), key=key)


def _reader(path: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            found = path.read_bytes()
        except OSError as error:
            raise UnreadableProofError(f"`{path}` can't be read: {error}") from error
        if not found.isascii():  # an error of decoding would have all of it (rule 3)
            raise UnreadableProofError(f"`{path}` can't be read: it has characters that no token has")
        return found.decode("ascii").strip()

    return read


def dpop(key: ProofKey, *, method: str, uri: str, now: int, token: str = "", nonce: str = "") -> str:
    """A proof of one request (RFC 9449), to be shown once.

    Args:
        key: The client's.
        method: Of the request.
        uri: Where it goes, without query.
        now: Seconds since 1970.
        token: The access token that goes with it; empty where one is asked for.
        nonce: The last one that the server gave out; empty without.
    """
    header = canonical({"alg": _ALGORITHM, "jwk": json.loads(key.public), "typ": DPOP_TYP})
    claims: Mapping[str, str | int] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": uri,
        "iat": now,
        **({"ath": token_hash(token)} if token else {}),
        **({"nonce": nonce} if nonce else {}),
    }
    text = f"{encode_base64url(header)}.{encode_base64url(canonical(dict(claims)))}"
    return f"{text}.{encode_base64url(key.sign(text.encode()))}"
