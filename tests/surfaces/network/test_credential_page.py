"""The page of a question about a credential: what a kind is for and what is asked of it is text there."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from taskbound.core.target import CredentialKind, PostgresKind
from tests.peers.targeting import WRITER, Targets, held_by_finance
from tests.surfaces.network.holding import held
from tests.surfaces.network.test_approval_page import Browser, text
from tests.surfaces.network.test_step_up_answers import POLICY, Asked
from tests.world import code_of, id_of

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</pre><img src=x onerror=alert(1)>\u202e javascript:alert(1) \x9b31m"
KIND = CredentialKind(
    name="reader",
    description=f"reads {HOSTILE}",
    seconds=600,
    grants=PostgresKind(group="readers", context=("customer",)),
)
OURS = {
    "html",
    "head",
    "meta",
    "title",
    "link",
    "body",
    "h1",
    "p",
    "strong",
    "pre",
    "h2",
    "a",
    "code",
    "form",
}
OURS |= {"input", "textarea", "button"}


class Page(HTMLParser):
    """Its elements, what leads elsewhere, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.leads: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.leads += [value or "" for name, value in attrs if name in {"href", "src", "action", "onerror"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_is_asked_of_a_target_is_text_on_the_page_and_every_character_of_it_is_seen(
    tmp_path: Path,
) -> None:
    with held(tmp_path, policy=held_by_finance(POLICY, lifter="confirm")) as one:
        asked = Asked(one.world)
        minting = Targets(one.world, kinds=(KIND, WRITER))
        answer = minting.ask("reader", {"customer": f"42 {HOSTILE}", "seconds": 60})
        assert code_of(answer) == "hold"
        browser = Browser(one, asked)
        browser.path = f"/approvals/{asked.approval(id_of(answer)).question.id}"
        browser.sign_in()
        seen = browser.get()
        assert seen.status == 200, text(seen)
        page = Page(text(seen))
        assert page.elements <= OURS
        assert [lead for lead in page.leads if not lead.startswith(("/", "https:", "data:text/plain;"))] == []
        assert {char for char in page.text if unicodedata.category(char)[0] == "C"} <= {"\n"}
        shown = r"</pre><img src=x onerror=alert(1)>\u{202E} javascript:alert(1) \u{9B}31m"
        assert re.sub(r'"\n +> "', "", page.text).count(shown) == 2, "what it gives, and what was asked"
        assert "script" not in seen.headers["content-security-policy"]
