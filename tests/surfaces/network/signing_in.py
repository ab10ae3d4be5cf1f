"""People who sign in at a certified provider: a real API, daemon and browser's requests, over loopback."""

from __future__ import annotations

import json
import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pysqlite3  # type: ignore[import-untyped] # it comes without types

from taskbound.wire.connection import Done
from taskbound.wire.identity import LinkAccount, RegisterPerson
from taskbound.wire.workload import AddIdentityIssuer
from taskbound.wiring.store import DATABASE
from tests.peers.browsing import Browser
from tests.peers.provider import ProviderPeer, provider
from tests.surfaces.network.asking import Asking, asking
from tests.token_world import ISSUER
from tests.wiring.running import client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.peers.browsing import Page


SECRET: Final = "s" * 40
PEOPLE: Final[dict[str, dict[str, Any]]] = {
    "subject-of-alice": {"groups": ["engineers"]},
    "subject-of-nobody": {},
}


@dataclass
class SignIns:
    """Everything that is there."""

    asking: Asking
    provider: ProviderPeer

    def browser(self) -> Browser:
        """A browser that was never here."""
        return Browser({ISSUER: self.asking.there.port})

    def begin(self, browser: Browser, query: str = "") -> Page:
        """Go to sign in; the provider's page."""
        return browser.open(f"{ISSUER}/sign-in/corp{query}")

    def come_back(self, browser: Browser, page: Page, subject: str = "subject-of-alice") -> str:
        """Sign in there, until the browser is about to go back to us: where to."""
        while True:
            url, form = page.form()
            if 'name="login"' in page.text:
                form |= {"login": subject, "password": "x"}
            page = browser.open(url, form, until=lambda to: to.startswith(f"{ISSUER}/sign-in/callback"))
            back = page.headers.get("location", "")
            if back.startswith(ISSUER):
                return back

    def sign_in(self, browser: Browser, query: str = "", subject: str = "subject-of-alice") -> Page:
        """All of it: the page in the end."""
        page = browser.open(
            f"{ISSUER}/sign-in/corp{query}", until=lambda to: to.startswith(f"{ISSUER}/sign-in/callback")
        )
        back = page.headers.get("location", "")  # who is signed in there still comes right back
        return browser.open(back or self.come_back(browser, page, subject))

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What was recorded of this kind, also what has no place in the log yet: as it stands in its rows."""
        with closing(pysqlite3.connect(f"file:{self.asking.home / DATABASE}?mode=ro", uri=True)) as one:
            rows = one.execute("SELECT body FROM records ORDER BY number").fetchall()
        found = [json.loads(bytes(body))["event"] for (body,) in rows]
        return [one for one in found if one["kind"] == kind]

    def link(self, person: str = "alice", subject: str = "subject-of-alice") -> None:
        with client(self.asking.socket) as one:
            one.ask(LinkAccount(person=person, issuer="corp", subject=subject), Done)


@contextmanager
def signing_in(folder: Path, *flags: str, secret: bool = True) -> Iterator[SignIns]:
    """An issuer of people, and alice, who has an account there that is linked."""
    us: dict[str, Any] = {
        "client_id": "us",
        "redirect_uris": [f"{ISSUER}/sign-in/callback/corp"],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
        "token_endpoint_auth_method": "none",
    }
    if secret:
        us |= {"client_secret": SECRET, "token_endpoint_auth_method": "client_secret_basic"}
    file = folder / "corp-secret"
    file.touch(mode=0o600)
    file.write_text(SECRET + "\n")
    with asking(folder, *flags) as there, provider(client=us, people=PEOPLE) as idp:
        with client(there.socket) as one:
            add = AddIdentityIssuer(
                name="corp",
                issuer=idp.issuer,
                use="people",
                audience="us",
                private=True,
                secret_file=str(file) if secret else "",
            )
            one.ask(add, Done)
            one.ask(RegisterPerson(name="bob", uid=os.geteuid() + 1), Done)
        found = SignIns(there, idp)
        found.link()
        yield found
