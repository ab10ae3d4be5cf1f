"""The credentials of an agent over the network, and the key that its tokens are bound to.

1. A proof is read for each token, a subject's token for each task, so files can be renewed.
2. The client's key is made in its process and stays there: a token seen elsewhere is useless.
3. No repr or error shows either.
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
    """The agent's proof can't be read."""

    code = "unreadable-proof"
    remedy = "look at the file that the client was given, and at who writes it"


class ProofKey(Protocol):
    """A private key on P-256."""

    @property
    def public(self) -> bytes:
        """Returns the public JWK as canonical JSON."""

    def sign(self, message: bytes) -> bytes:
        """Returns 64 bytes, `r` and `s` (ES256)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An agent's proof for the token endpoint (docs/guides/task-tokens.md)."""

    kind: Kind
    """`assertion`: a statement signed with the agent's own key. `svid`: a JWT-SVID. `token`: one of an issuer
    that is trusted, such as a cluster's or a CI system's."""
    read: Callable[[], str] | Callable[[], Awaitable[str]] = field(repr=False)
    """Gives it, fresh; one that is awaited only for an `AsyncClient`. Space around it is left out."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown kind, which the server would refuse without a reason."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"`kind` is one of {', '.join(get_args(Kind))}, and not `{self.kind}`")

    @classmethod
    def from_file(cls, path: Path, kind: Kind = "token") -> Proof:
        """A proof in a file, read for each token (rule 1)."""
        return cls(kind=kind, read=_reader(path))

    def parameters(self, text: str) -> dict[str, str]:
        if self.kind == "token":
            return {"actor_token": text, "actor_token_type": _JWT}
        kind = _BEARER if self.kind == "assertion" else _SPIFFE
        return {"client_assertion": text, "client_assertion_type": kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectToken:
    """RFC 8693's `subject_token`: an agent's names this agent, a person's comes with its key."""

    read: Callable[[], str] | Callable[[], Awaitable[str]] = field(repr=False)
    """Gives it, fresh; one that is awaited only for an `AsyncClient`."""
    key: Path | None = None
    """A file (PEM) with the private key, on P-256, that it is bound to; None for one that names the agent."""

    @classmethod
    def from_file(cls, path: Path, *, key: Path | None = None) -> SubjectToken:
        """A token in a file, read for each task (rule 1)."""
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
    """Returns a proof, to be sent once (RFC 9449); `uri` has no query; `now` is seconds since 1970."""
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
