"""Requests and revokes tokens at a pinned authorization server.

1. An endpoint is connected to like a server (`connect`): same address and identity rules, one exchange a
   connection, no redirect, no repeat.
2. An answer has at most `MAX_ANSWER` bytes, and an exchange takes at most `_WHOLE` seconds.
3. The secret is sent as pinned, in header or body, with the resource (RFC 8707).
4. Tokens in a refused answer are revoked if possible.
5. Revocation succeeds with status 200 (RFC 7009 §2.2).
6. Errors never quote an answer.
7. An answer that returns sent credentials as a token is refused: they would be passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from dataclasses import field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus, urlencode

from taskbound.adapters.upstream.mcp.http.connect import Dialer, look_up
from taskbound.adapters.upstream.mcp.http.errors import BrokenAnswerError, NotReachedError
from taskbound.adapters.upstream.mcp.http.exchange import Exchange
from taskbound.core.dataclass import dataclass
from taskbound.core.tool.name import shown
from taskbound.core.tool.oauth.client import (
    BadTokenError,
    TokenTooWideError,
    TokenUnavailableError,
    TokenUnreachedError,
    endpoint,
    hidden_in,
)
from taskbound.core.tool.oauth.token import (
    DEFAULT_LIFE,
    GRANT,
    MAX_ANSWER,
    parse_about,
    parse_token,
    tokens_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.adapters.upstream.mcp.http.connect import LookUp
    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool.identity import Remote
    from taskbound.core.tool.oauth.client import OAuthClient
    from taskbound.core.tool.oauth.token import Token

    Sign = Callable[[str, str, str], str]
    """A client's statement of itself, signed: by its key, with its id, for this audience."""


_WHOLE: Final = 20.0
_CONNECT: Final = 10.0
_OK: Final = 200
_FORM: Final = "application/x-www-form-urlencoded"
_PROOFS: Final = ("client_assertion", "subject_token", "actor_token")
_BY_JWT: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReply:
    """A complete answer."""

    status: int
    kind: bytes
    body: bytes = field(repr=False)


class TokenEndpoint:
    """The authorization server of one client; `sign` makes its assertion, `private` as in `Dialer`."""

    def __init__(
        self,
        client: OAuthClient,
        secret: str,
        sign: Sign,
        *,
        patience: float = _WHOLE,
        look: LookUp = look_up,
        private: bool = False,
    ) -> None:
        self._client = client
        self._secret = secret
        self._sign = sign
        self._patience = patience
        self._look = look
        self._private = private

    @property
    def revocable(self) -> bool:
        return bool(self._client.revocation)

    async def ask(
        self,
        more: Mapping[str, str] | None = None,
        *,
        default: int | None = DEFAULT_LIFE,
        grant: str = GRANT,
    ) -> Token:
        """Returns a new token; `more` are parameters besides scope and resource."""
        scope = {"scope": " ".join(self._client.scopes)} if self._client.scopes else {}
        words = {
            "grant_type": grant,
            **scope,
            "resource": self._client.resource,
            **(more or {}),
        }
        said, secrets = await self._posted(self._client.token, words)
        try:
            token = parse_token(said.status, said.kind, said.body, asked=self._client.scopes, default=default)
            _require_fresh(token, secrets)
        except (BadTokenError, TokenTooWideError):
            for one in tokens_in(said.kind, said.body):
                with contextlib.suppress(TokenUnavailableError):
                    await self.revoke(one)  # 4
            raise
        return token

    async def revoke(self, token: str) -> None:
        """Revokes a token (rule 5); raises TokenUnavailableError unless confirmed."""
        if not self.revocable:
            raise TokenUnavailableError("the authorization server takes no tokens back")
        said, _ = await self._posted(
            self._client.revocation, {"token": token, "token_type_hint": "access_token"}
        )
        if said.status != _OK:
            raise TokenUnavailableError(f"the token was not taken back: HTTP status {said.status}")

    async def about(self, token: str) -> Mapping[str, JsonValue]:
        """Returns a token's introspection (RFC 7662); raises TokenRefusedError if the client may not ask."""
        if not self._client.introspection:
            raise TokenUnavailableError("the authorization server can't be asked about tokens")
        words = {"token": token, "token_type_hint": "access_token"}
        said, _ = await self._posted(self._client.introspection, words)
        return parse_about(said.status, said.kind, said.body)

    async def _posted(self, url: str, words: dict[str, str]) -> tuple[TokenReply, frozenset[str]]:
        proof, headers = self._proof()
        body = urlencode({**words, **proof}).encode()
        sent = {*hidden_in(self._client.slot, self._secret), *(value.split()[-1] for _, value in headers)}
        sent |= {one for name, one in {**words, **proof}.items() if name in _PROOFS}
        said = await exchange(
            endpoint(url),
            "POST",
            [("Content-Type", _FORM), ("Content-Length", str(len(body))), *headers],
            body,
            patience=self._patience,
            look=self._look,
            private=self._private,
        )
        return said, frozenset(sent)

    def _proof(self) -> tuple[dict[str, str], list[tuple[str, str]]]:
        client = self._client
        match client.method:
            case "client_secret_basic":
                pair = f"{quote_plus(client.client)}:{quote_plus(self._secret)}"
                return {}, [("Authorization", f"Basic {b64encode(pair.encode()).decode()}")]
            case "client_secret_post":
                return {"client_id": client.client, "client_secret": self._secret}, []
            case _:
                signed = self._sign(self._secret, client.client, client.audience)
                proof = {"client_assertion_type": _BY_JWT, "client_assertion": signed}
                return {"client_id": client.client, **proof}, []


def _require_fresh(token: Token, sent: frozenset[str]) -> None:
    if any(one in token.value for one in sent):
        raise BadTokenError("the token endpoint's token is what was sent to it")


class LookToken:
    """One token for one probe (`filling.Tokens`)."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def current(self) -> str:
        """Returns the token; raises TokenUnavailableError after a rejection."""
        if not self._token:
            raise TokenUnavailableError("the server does not take the token that its issuer gave for it")
        return self._token

    def refused(self, token: str) -> None:
        del token
        self._token = ""


async def exchange(  # noqa: PLR0913 - what an exchange is made of, each by its name
    place: Remote,
    verb: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    patience: float,
    look: LookUp,
    private: bool = False,
    most: int = MAX_ANSWER,
) -> TokenReply:
    """Sends one request on its own connection (rules 1 and 2); reads at most `most` bytes of the answer."""
    flowing = asyncio.Event()
    flowing.set()
    sent = (
        ("Host", place.authority),
        ("User-Agent", "taskbound"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        *headers,
    )
    try:
        async with asyncio.timeout(patience):
            wire = await Dialer(place, patience=_CONNECT, look=look, private=private).take()
            try:
                exchange = Exchange(wire, flowing)
                exchange.send(verb, place.target, sent, body)
                head = await exchange.head(patience=patience)
                return TokenReply(
                    status=head.status, kind=head.kind, body=await _whole(exchange, patience, most)
                )
            finally:
                wire.abort()
    except NotReachedError as error:
        raise TokenUnreachedError(error.message, remedy=error.advice) from error
    except TimeoutError as error:
        words = f"`{shown(place.origin)}` did not answer in {patience:g} s"
        raise TokenUnavailableError(words) from error
    except BrokenAnswerError as error:
        words = f"`{shown(place.origin)}` gives no answer that can be read: {error.reason}"
        raise TokenUnavailableError(words) from error


async def _whole(exchange: Exchange, patience: float, most: int) -> bytes:
    parts: list[bytes] = []
    while data := await exchange.more(silence=patience):
        parts.append(data)
        if sum(map(len, parts)) > most:
            raise BrokenAnswerError("too-large", f"it is over {most} bytes")
    return b"".join(parts)
