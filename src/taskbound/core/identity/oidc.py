"""Issuers whose word proves workloads or people, and where their keys come from.

1. An issuer has a short name of ours, which selectors and accounts use, and the name that it writes as
   `iss`, a URL. For one use no two issuers of a namespace share the latter; what an issuer says of people
   is nothing about workloads, and the other way round.
2. Its keys are those that it publishes (OpenID Connect Discovery, RFC 8414), or those that were written
   down, and then nothing is asked of it.
3. It publishes them at its own origin, or at one other that was named. Where it leads to addresses that are
   not public, that was said of it: an issuer's name must not lead into our own network by itself.
4. Who is named by selectors or accounts stays: another issuer of that name would inherit them.
5. Our client secret at an issuer stands in a file that only the daemon reads, and here is where. It is sent
   to the issuer's own origin, or to the one other that was named for its tokens.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import DeniedError
from taskbound.core.identity.issuer import BadIssuerError, IssuerExistsError, parse_issuer_text
from taskbound.core.identity.person import parse_name
from taskbound.core.tool.oauth.client import issuer_at
from taskbound.core.tool.oauth.errors import BadClientError

if TYPE_CHECKING:
    from collections.abc import Iterable


_LONGEST_NAME: Final = 32
_FILE: Final = re.compile(r"/[ -~]{1,1023}", re.ASCII)


class UnknownIdentityIssuerError(DeniedError):
    """No issuer of identities is known by this name, or writes itself so."""

    code = "unknown-identity-issuer"
    remedy = "list them with `taskbound agent issuer list`, or have this one added"


class IssuerInUseError(DeniedError):
    """Selectors or accounts name the issuer: another one of that name would inherit them."""

    code = "issuer-in-use"
    remedy = "remove the selectors and links that name it first"


class IssuerUse(Enum):
    """Of whom an issuer's word is taken."""

    WORKLOADS = "workloads"
    PEOPLE = "people"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityIssuer:
    """One issuer of identities."""

    namespace: str
    name: str
    issuer: str
    """What its tokens say as `iss`: a URL."""
    audience: str
    """What they must say as `aud`; for people our own client id there."""
    use: IssuerUse
    keys: bytes = b""
    """Its public keys, a JSON Web Key Set as it was written down; empty where it publishes them (rule 2)."""
    keys_at: str = ""
    """Another origin at which its keys may be (rule 3)."""
    private: bool = False
    """Whether it may be at addresses that are not public (rule 3)."""
    token_at: str = ""
    """Another origin at which it may give tokens to us (rule 3); for people."""
    secret_file: str = ""
    """The file of our client secret there, by its whole path (rule 5); empty for a client without one."""
    groups_at: str = ""
    """The claim that says groups, as a JSON Pointer; empty where it says none (`account`, rule 3)."""
    groups: tuple[tuple[str, str], ...] = ()
    """Its values, and which group of ours each is."""


def parse_identity_issuer(  # noqa: PLR0913 - what an issuer is made of, each by its name
    namespace: str,
    name: str,
    *,
    issuer: str,
    audience: str,
    use: str,
    keys: bytes = b"",
    keys_at: str = "",
    private: bool = False,
    token_at: str = "",
    secret_file: str = "",
) -> IdentityIssuer:
    """The issuer that these texts say.

    Raises:
        BadNameError: The short name can't be one.
        BadIssuerError: Something else can't be.
    """
    parse_name(name, what="an issuer")
    if len(name) > _LONGEST_NAME:
        raise BadIssuerError(f"an issuer's name has at most {_LONGEST_NAME} characters", where="name")
    known = {one.value: one for one in IssuerUse}
    if use not in known:
        raise BadIssuerError(f"an issuer's word is taken of {' or '.join(known)}", where="use")
    if not audience and known[use] is IssuerUse.PEOPLE:
        raise BadIssuerError("for people the audience is our client id there", where="audience")
    _require_url(issuer, "issuer")
    if keys_at and (_require_url(keys_at, "keys_at") != keys_at or keys):
        words = "`keys_at` is an origin, and for an issuer that publishes its keys"
        raise BadIssuerError(words, where="keys_at")
    if (token_at or secret_file) and known[use] is not IssuerUse.PEOPLE:
        raise BadIssuerError("only where people sign in do we ask for tokens", where="use")
    if token_at and _require_url(token_at, "token_at") != token_at:
        raise BadIssuerError("`token_at` is an origin", where="token_at")
    if secret_file and (not _FILE.fullmatch(secret_file) or "/../" in f"{secret_file}/"):
        raise BadIssuerError("the file of a secret is named by its whole path", where="secret_file")  # 5
    return IdentityIssuer(
        namespace=namespace,
        name=name,
        issuer=parse_issuer_text(issuer, where="issuer"),
        audience=parse_issuer_text(audience or f"urn:taskbound:{namespace}", where="audience"),
        use=known[use],
        keys=keys,
        keys_at=keys_at,
        private=private,
        token_at=token_at,
        secret_file=secret_file,
    )


def require_alone(issuer: IdentityIssuer, others: Iterable[IdentityIssuer]) -> None:
    """Go on only when no other issuer has its name, or writes itself like it for the same use (rule 1).

    Raises:
        IssuerExistsError: One does.
    """
    for one in others:
        if one.name == issuer.name or (one.issuer, one.use) == (issuer.issuer, issuer.use):
            raise IssuerExistsError(f"`{one.name}` is an issuer already, and writes itself `{one.issuer}`")


def _require_url(text: str, where: str) -> str:
    """The origin of what is a URL that can be asked."""
    try:
        return issuer_at(text).origin
    except BadClientError as error:
        raise BadIssuerError(error.message, where=where) from error
