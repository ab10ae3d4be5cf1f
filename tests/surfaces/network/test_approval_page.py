"""The page of a question leads whoever has not signed in as it needs there and back (RFC 9470)."""

from __future__ import annotations

import base64
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from taskbound.core.approval import AnswerKind
from taskbound.core.clock import Instant, hours, seconds
from taskbound.core.identity.sign_in import Session, secret_digest
from taskbound.flows.identity import register_person
from taskbound.flows.identity.account import link_account
from tests.surfaces.network.holding import HOST, Holding, held
from tests.surfaces.network.test_step_up_answers import POLICY, Asked
from tests.token_world import ISSUER
from tests.world import ANN, code_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.surfaces.network.serving import Answer

COOKIE = "__Host-taskbound-session=default."


class Browser:
    """A browser with which somebody is signed in."""

    def __init__(self, one: Holding, asked: Asked, person: str = "ann", mark: str = "s") -> None:
        self.one, self.asked, self.person, self.secret = one, asked, person, mark * 43
        self.path = f"/approvals/{asked.approval(asked.action).question.id}"

    def sign_in(self, *, acr: str = "mfa", ago: int = 1) -> None:
        now = self.one.world.clock.now()
        session = Session(
            namespace="default",
            id=f"ses_{self.person}",
            secret=secret_digest(self.secret),
            person=self.person,
            issuer="corp",
            subject=f"s-{self.person}",
            authenticated=Instant(now - seconds(ago)),
            acr=acr,
            began=now,
            until=Instant(now + hours(8)),
        )

        def work(tx: Any) -> None:
            tx.accounts.drop_session("default", session.id)
            tx.accounts.put_session(session)

        self.one.world.store.write(work)

    def get(self, **headers: str) -> Answer:
        given = {"Host": HOST, "Cookie": COOKIE + self.secret, **headers}
        return self.one.there.ask("GET", self.path, **given)

    def post(self, statement: bytes, signature: bytes, **headers: str) -> Answer:
        form = {"statement": base64.b64encode(statement).decode(), "signature": signature.decode()}
        return self.post_form(urlencode({**form}).replace("%0A", "%0D%0A"), **headers)

    def post_form(self, form: str, **headers: str) -> Answer:
        plain = {
            "Host": HOST,
            "Cookie": COOKIE + self.secret,
            "Origin": ISSUER,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self.one.there.ask("POST", self.path, form.encode(), **plain | headers)


def text(answer: Answer) -> str:
    return answer.body.decode()


def led(answer: Answer) -> dict[str, str]:
    """Where a page leads somebody to sign in."""
    url = answer.headers.get("location", "")
    if not url:
        found = re.search(r'href="([^"]*/sign-in\?[^"]*)"', text(answer))
        assert found is not None, text(answer)
        url = found[1].replace("&amp;", "&")
    assert url.startswith(f"{ISSUER}/sign-in?")
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def test_who_signed_in_otherwise_is_led_there_and_back_and_says_yes_then(tmp_path: Path) -> None:
    with held(tmp_path, policy=POLICY) as one:
        asked = Asked(one.world)
        browser = Browser(one, asked)
        nobody = browser.get()
        assert nobody.status == 303
        assert led(nobody) == {"return": browser.path, "namespace": "default"}
        browser.sign_in(acr="pwd")
        page = browser.get()
        assert page.status == 200
        assert led(page) == {
            "return": browser.path,
            "namespace": "default",
            "acr": "mfa",
            "max_age": "300",
        }
        assert "<form" not in text(page)
        browser.sign_in()
        page = browser.get()
        assert "for &quot;step-up:mfa@300&quot;" in text(page)
        assert "script" not in page.headers["content-security-policy"]
        found = re.search(r'name="statement" value="([^"]*)"', text(page))
        assert found is not None
        statement = base64.b64decode(found[1])
        done = browser.post(statement, asked.devices["ann"][1].sign(statement))
        assert (done.status, "is approved" in text(done)) == (200, True), text(done)
        (given,) = asked.approval(asked.action).answers
        assert given.sign_in is not None
        assert (given.sign_in.acr, given.sign_in.session) == ("mfa", "ses_ann")
        (shown,) = one.world.events("approval-shown")
        assert shown["proof"] == "account:s-ann by corp"
        assert code_of(one.world.ask(asked.task)) == "permit"


def test_a_sign_in_that_grew_old_on_the_page_is_asked_for_anew_and_recorded(tmp_path: Path) -> None:
    with held(tmp_path, policy=POLICY) as one:
        asked = Asked(one.world)
        browser = Browser(one, asked)
        browser.sign_in(ago=301)
        ask = asked.answer()
        refused = browser.post(ask.statement.encode(), ask.signature.encode())
        assert (refused.status, "[step-up]" in text(refused)) == (403, True), text(refused)
        assert led(refused)["max_age"] == "300"
        assert [one["code"] for one in one.world.events("operation-refused")] == ["step-up"]
        assert asked.state(asked.action) == ("held", "pending")


def test_what_is_posted_from_elsewhere_or_by_another_person_lifts_nothing(tmp_path: Path) -> None:
    with held(tmp_path, policy=POLICY) as one:
        asked = Asked(one.world)
        browser = Browser(one, asked)
        browser.sign_in()
        ask = asked.answer()
        raw, signature = ask.statement.encode(), ask.signature.encode()
        for origin in ("https://evil.example", "null"):
            assert browser.post(raw, signature, Origin=origin).status == 403
        for site in ("same-site", "cross-site"):
            assert browser.post(raw, signature, **{"Sec-Fetch-Site": site}).status == 403
        framed = browser.get(**{"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"})
        assert framed.status >= 400
        register_person(one.world.adapters, "default", "bob", uid=os.geteuid() + 1001, actor=ANN)
        link_account(
            one.world.adapters, "default", "bob", issuer="corp", subject="s-bob", actor=ANN, owns=True
        )
        bob = Browser(one, asked, "bob", "b")
        bob.sign_in()
        lent = bob.post(raw, signature)  # ann's answer, and bob's sign-in
        assert (lent.status, "[step-up]" in text(lent)) == (403, True), text(lent)
        assert "<form" not in text(bob.get())  # nor is he asked
        assert asked.state(asked.action) == ("held", "pending")
        no = asked.answer(AnswerKind.DENY)
        assert bob.post(no.statement.encode(), no.signature.encode()).status == 200
        (said,) = one.world.events("approval-answered")
        assert (said["person"], said.get("acr", ""), said.get("authenticated", 0)) == ("ann", "", 0)


def test_a_form_that_is_another_one_is_refused_by_name(tmp_path: Path) -> None:
    with held(tmp_path, policy=POLICY) as one:
        browser = Browser(one, Asked(one.world))
        browser.sign_in()
        for form in (
            *("", "statement=x", "statement=%21&signature=a", "statement=eA%3D%3D&signature=a&more=b"),
            *("statement=eA%0A%3D%3D&signature=a", "statement=eA%3D%3D&signature=a%00"),
        ):
            answer = browser.post_form(form)
            assert (answer.status, "[bad-form]" in text(answer)) == (400, True), (form, text(answer))
