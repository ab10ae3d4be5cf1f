"""One use of the passkey page, and the signatures that it accepts.

Of `sitting`:
1. The address holds a token behind the `#`, which browsers send to no server. The page's script exchanges it
   once for the sitting's secret, which never appears in an address. A second exchange, also from a second
   tab, is refused and says so.
2. Token and secret only let the holder see the question; the signature is the authority.
3. Attempts and time are limited, whatever happens.
Of `brought`:
1. A passkey's signature is accepted only from its page, because only the server of the page knows its origin.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import structs

from taskbound.core.errors import DeniedError
from taskbound.wire.page import PageBegin, PageMade, PageShown, PageSign, parse_page, parse_part
from taskbound.wire.passkey import Assertion

if TYPE_CHECKING:
    from taskbound.wire.page import PageTaken


_TRIES: Final = 8
"""How often something may be brought."""


class PageOverError(DeniedError):
    """The page was opened before, elsewhere or in another tab, or was answered."""

    code = "page-over"
    remedy = "run the command again; if you did not open the page before, another person may have its address"


class PagePurpose(Protocol):
    """The purpose of a page."""

    @property
    def namespace(self) -> str:
        """Returns the namespace of the person."""

    @property
    def person(self) -> str:
        """Returns the person whose passkey it is."""

    async def begin(self) -> PageShown:
        """Returns what is shown now; the sitting adds its secret."""

    async def make(self, made: PageMade, origin: str) -> PageShown:
        """Takes a new passkey and returns what it is to sign."""

    async def sign(self, choice: str, assertion: Assertion) -> PageTaken:
        """Takes a signature and returns the result."""


class PageSession:
    """The state of one page."""

    def __init__(self, desk: PagePurpose) -> None:
        self.desk = desk
        self.token = secrets.token_urlsafe(32)
        self.over = False
        self._secret = secrets.token_urlsafe(32)
        self._begun = False
        self._tries = 0

    async def take(self, path: str, body: bytes, origin: str) -> PageShown | PageTaken:
        """Returns the answer to a message of the page, or raises its refusal."""
        match path:
            case "/begin":
                return await self._begin(parse_page(body, PageBegin))
            case "/make":
                made = parse_page(body, PageMade)
                self._require(made.sitting)
                return self._shown(await self.desk.make(made, origin))
            case _:
                signed = parse_page(body, PageSign)
                self._require(signed.sitting)
                taken = await self.desk.sign(signed.choice, _assertion(signed, origin))
                self.over = True
                return taken

    async def _begin(self, asked: PageBegin) -> PageShown:
        if self._begun or not hmac.compare_digest(asked.token.encode(), self.token.encode()):
            raise PageOverError("the page was opened before, or with another address")  # 1
        self._begun = True
        return self._shown(await self.desk.begin())

    def _require(self, secret: str) -> None:
        known = hmac.compare_digest(secret.encode(), self._secret.encode())
        if self.over or not known or self._tries >= _TRIES:
            raise PageOverError("the page is over, or was opened elsewhere")
        self._tries += 1  # 3

    def _shown(self, shown: PageShown) -> PageShown:
        return structs.replace(shown, sitting=self._secret)


def _assertion(signed: PageSign, origin: str) -> Assertion:
    return Assertion(
        origin=origin,
        credential=parse_part(signed.credential),
        client_data=parse_part(signed.client),
        device_data=parse_part(signed.device),
        signature=parse_part(signed.signature),
    )


class PasskeyElsewhereError(DeniedError):
    """A passkey's signature did not come from the page on which it was made."""

    code = "passkey-elsewhere"
    remedy = "open the page with `taskbound approval open` or `taskbound person key`, and sign there"


def require_brought(signature: str) -> None:
    """Raises PasskeyElsewhereError for a passkey's signature (rule 1)."""
    if signature.lstrip().startswith("{"):
        raise PasskeyElsewhereError("what a passkey has signed is taken from its page, and from nowhere else")
