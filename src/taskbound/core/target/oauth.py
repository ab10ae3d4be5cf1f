"""An authorization server as a target: whose client we are there, and which tokens a task may have.

1. Where it is asked is declared, and all of it is in the target's identity: client, endpoints and how the
   client proves itself. Endpoints have one origin, the issuer's, and are reached by https, or on this
   machine's own loopback (`tool.oauth.client`): nobody who answers for an issuer sends the secret elsewhere.
   Their name leads to public addresses, unless it is declared to lead to a network of one's own (`private`).
2. A token is for one resource (RFC 8707) and for scopes that are declared. Both may have places for
   parameters (`places`).
3. No token is taken that lives for longer than `lasts`: what is lost is over by then.
4. A token can be ended where there is a place for that (RFC 7009), and is seen to be over where tokens can be
   asked about (RFC 7662). Without both of them nothing is `revocable` there, and a token ends by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.escape import escape_text
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.target.places import fill, places_in
from taskbound.core.tool.oauth.client import OAuthClient, endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LONGEST_TOKEN", "MOST_SCOPES", "OauthKind", "OauthPlace"]

LONGEST_TOKEN: Final = 86_400
"""Seconds that a token may live at most, whatever the file says."""
MOST_SCOPES: Final = 64
_SHOWN: Final = 80
_ANY: Final = "urn:taskbound:any"
"""Stands for a resource where only the client is looked at."""
_SOMEWHERE: Final = "https://x.example/"
"""Stands for an endpoint where only what is asked for is looked at."""
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_AUDIENCE: Final = re.compile(r"[!-~]{1,1024}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthPlace:
    """Where tokens are given, and to whom.

    Raises:
        BadTargetError: On making one that rules 1 and 3 don't allow.
    """

    client: str
    method: str
    token: str
    """The token endpoint."""
    issuer: str = ""
    revocation: str = ""
    introspection: str = ""
    lasts: int = 3_600
    """Seconds that a token lives at most (rule 3)."""
    private: bool = False
    """Whether the name may lead to a network of one's own (rule 1)."""
    host: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        """Require the rules."""
        try:
            place = endpoint(self.client_for(_ANY, ()).token).read
        except MalformedError as error:
            raise BadTargetError(error.message) from error
        if not 1 <= self.lasts <= LONGEST_TOKEN:
            raise BadTargetError(f"a token lives 1 to {LONGEST_TOKEN} seconds")
        object.__setattr__(self, "host", place.host)
        object.__setattr__(self, "port", place.port)

    @property
    def revocable(self) -> bool:
        """Whether a token can be ended, and be seen to be over (rule 4)."""
        return bool(self.revocation and self.introspection)

    def client_for(self, resource: str, scopes: tuple[str, ...]) -> OAuthClient:
        """The client that asks for a token of these.

        Raises:
            BadClientError: There is none such.
        """
        return OAuthClient(
            client=self.client,
            token=self.token,
            method=self.method,
            resource=resource,
            issuer=self.issuer,
            revocation=self.revocation,
            introspection=self.introspection,
            scopes=scopes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthKind:
    """Which tokens.

    Raises:
        BadKindError: On making one that rule 2 doesn't allow.
    """

    resource: str
    scopes: tuple[str, ...] = ()
    audience: str = ""
    """Said beside the resource, for servers that know no RFC 8707; empty for none."""
    variable: str = "OAUTH_ACCESS_TOKEN"
    """The name that the token is handed out under."""

    def __post_init__(self) -> None:
        """Require the rules, with a word in each place."""
        if list(self.scopes) != sorted(set(self.scopes)) or len(self.scopes) > MOST_SCOPES:
            raise BadKindError(f"scopes are sorted, each there once, and {MOST_SCOPES} at most")
        if _VARIABLE.fullmatch(self.variable) is None:
            raise BadKindError(f"`{escape_text(self.variable[:_SHOWN])}` can't name a variable")
        if self.audience and _AUDIENCE.fullmatch(self.audience) is None:
            raise BadKindError("the audience is a text without spaces")
        self.asked(dict.fromkeys(self.parameters, "x"))

    @property
    def parameters(self) -> tuple[str, ...]:
        """What is left to who asks, by name and sorted."""
        return places_in([self.resource, self.audience, *self.scopes])

    @property
    def words(self) -> str:
        """In one line for people."""
        scopes = f"the scopes `{escape_text(' '.join(self.scopes))}`" if self.scopes else "no scope"
        audience = f" (`{escape_text(self.audience)}`)" if self.audience else ""
        return f"a token for `{escape_text(self.resource)}`{audience} with {scopes}"

    def asked(self, context: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
        """Resource, audience and scopes with what was asked for in their places.

        Raises:
            BadKindError: That can't be asked for.
        """
        resource, audience = fill(self.resource, context), fill(self.audience, context)
        scopes = tuple(sorted({fill(one, context) for one in self.scopes}))
        try:
            OAuthClient(
                client="x",
                token=_SOMEWHERE,
                method="client_secret_basic",
                resource=resource,
                scopes=scopes,
            )
        except MalformedError as error:
            raise BadKindError(error.message) from error
        return resource, audience, scopes
