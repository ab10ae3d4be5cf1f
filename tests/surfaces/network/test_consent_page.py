"""Consent on the page itself, by whoever is signed in with the browser that began it (G8: A148, A155)."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from taskbound import __version__
from taskbound.core.token.authorization.asked import form_secret, typed_code
from taskbound.flows.token import resource_of
from taskbound.sdk.client import Client, RefusedByDaemonError
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.authorization import AddClient, AskedDetail, ClientRow, ConsentToClient
from taskbound.wire.connection import Done, Open
from taskbound.wire.identity import (
    EndSession,
    LeavePerson,
    LinkAccount,
    ListSessions,
    RegisterPerson,
    SessionRows,
    UnlinkAccount,
)
from taskbound.wire.policy import ActivateBundle, BundleAnswer, ProposeBundle, RollBackBundle
from taskbound.wire.task import ListTasks, ShowTask, TaskDetail, TaskRows
from taskbound.wire.workload import AddIdentityIssuer
from tests.client_world import CALLBACK, CHALLENGE
from tests.surfaces.network.signing_in import SignIns, signing_in
from tests.token_world import ISSUER
from tests.wiring.running import AGENT, client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.peers.browsing import Browser, Page

RESOURCE = resource_of(DEFAULT_GATEWAY, AGENT)
NO_STARTS = (
    '@id("house:no-starts") forbid (principal, action == Taskbound::Action::"task:start", resource)'
    ' when { context.purpose == "for the desk" };'
)
NO_CONSENT = (
    '@id("house:no-consent") forbid (principal == Taskbound::Person::"default/alice",'
    ' action == Taskbound::Action::"token:consent", resource) when { context.proof_kind == "account" };'
)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignIns]:
    with signing_in(tmp_path_factory.mktemp("consenting")) as found:
        with client(found.asking.socket) as one:
            one.ask(AddClient(client="desk", redirects=(CALLBACK,), shown="The desk"), ClientRow)
        found.asking.save_template("daily")
        yield found


@dataclass
class Visit:
    """A browser whose client asked for something, and the page that it was sent to."""

    there: SignIns
    browser: Browser
    changes: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    def begin(self) -> Visit:
        told = {
            "response_type": "code",
            "client_id": "desk",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            "state": "xyz",
            **self.changes,
        }
        page = self.browser.ask(f"{ISSUER}/oauth/authorize?{urlencode(told)}")
        assert page.status == 303, page.text
        self.url = f"{ISSUER}{page.headers['location']}"
        return self

    def look(self) -> Page:
        return self.browser.ask(self.url)

    def sign_in(self) -> Page:
        """Follow the page's own link to sign in, and come back to it."""
        link = re.search(r'<a href="(/sign-in\?[^"]*)">', self.look().text)
        assert link is not None
        page = self.browser.open(
            f"{ISSUER}{unescape(link[1])}", until=lambda to: to.startswith(f"{ISSUER}/sign-in/callback")
        )
        back = page.headers.get("location", "")
        if not back.startswith(ISSUER):
            back = self.there.come_back(self.browser, page)
        return self.browser.open(back)

    def answer(self, headers: Mapping[str, str] | None = None, /, **fields: str) -> Page:
        """Send the page's form with these fields; a field of an empty value is left out."""
        url, form = self.look().form()
        told = {**form, "answer": "consent", **fields}
        return self.browser.ask(url, {name: one for name, one in told.items() if one}, headers=headers)

    def sent(self) -> dict[str, str]:
        """What the client hears, once the browser goes on."""
        page = self.look()
        assert page.status == 303, page.text
        assert page.headers["location"].startswith(f"{CALLBACK}?")
        return dict(parse_qsl(urlsplit(page.headers["location"]).query))

    @property
    def is_open(self) -> bool:
        return self.look().status == 200


def visit(there: SignIns, **changes: str) -> Visit:
    """A visit of somebody who is signed in."""
    found = Visit(there, there.browser(), changes).begin()
    assert found.sign_in().url == found.url
    return found


def refused(page: Page, code: str) -> None:
    assert (page.status in {400, 401, 403, 404}, page.code) == (True, code), page.text
    assert "location" not in page.headers


def tasks(there: SignIns) -> set[str]:
    with client(there.asking.socket) as one:
        return {row.task for row in one.ask(ListTasks(limit=200), TaskRows).rows}


def test_a_person_signs_in_from_the_page_and_lets_the_client_in_to_a_task_that_runs(there: SignIns) -> None:
    found = Visit(there, there.browser()).begin()
    before = found.look()
    assert "token consent" in before.text
    assert "<form" not in before.text
    page = found.sign_in()
    assert (page.url, page.status) == (found.url, 200)
    assert "signed in as <bdi>alice</bdi>" in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert f'value="task:{there.asking.task}" required' in page.text
    assert "checked" not in page.text
    done = found.answer(choice=f"task:{there.asking.task}")
    assert (done.status, "You have answered" in done.text) == (200, True)
    assert "location" not in done.headers
    told = found.sent()
    assert told.keys() == {"code", "state", "iss"}
    assert told["iss"] == ISSUER
    record = there.events("client-consented")[-1]
    assert (record["by"], record["proof"]) == ("alice", "account:subject-of-alice by corp")
    assert record["task"] == there.asking.task


def test_a_task_is_opened_from_a_template_with_a_purpose_on_the_page(there: SignIns) -> None:
    found = visit(there)
    page = found.answer(choice="template:daily", purpose="look at invoice 7")
    assert page.status == 200, page.text
    assert "code" in found.sent()
    record = there.events("client-consented")[-1]
    with client(there.asking.socket) as one:
        row = one.ask(ShowTask(task=record["task"]), TaskDetail).row
    assert (row.purpose, row.state, row.requester) == ("look at invoice 7", "running", "alice")


def test_what_a_reader_would_not_see_of_a_purpose_is_written_out_on_the_page(there: SignIns) -> None:
    page = visit(there).answer(choice="template:daily", purpose="read \u202enothing else\u200b")
    assert page.status == 200, page.text
    text = visit(there).look().text
    assert "\u202e" not in text
    assert "\u200b" not in text
    assert "read \\u{202E}nothing else" in text


def test_who_says_no_on_the_page_has_the_client_told_so(there: SignIns) -> None:
    found = visit(there)
    assert found.answer(answer="deny").status == 200
    assert found.sent()["error"] == "access_denied"
    assert there.events("client-denied")[-1]["by"] == "alice"


def test_a155_a_form_counts_only_from_our_page_in_this_browser_for_this_sign_in(there: SignIns) -> None:
    found, other = visit(there), visit(there)
    choice = f"task:{there.asking.task}"
    before = (tasks(there), len(there.events("client-consented")))
    for headers, code in (
        ({"Origin": ""}, "foreign-origin"),
        ({"Origin": "null"}, "foreign-origin"),
        ({"Origin": "https://evil.example"}, "foreign-origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "foreign-origin"),
        ({"Sec-Fetch-Dest": "iframe"}, "not-navigated"),
        ({"Content-Type": "text/plain"}, "bad-form"),
    ):
        page = found.answer(headers, choice=choice)
        told = page.code or json.loads(page.text)["code"]  # what our page is not behind is refused before
        assert (page.status in {400, 403}, told) == (True, code), headers
    _, theirs = other.look().form()
    for fields, code in (
        ({"form": ""}, "not-asked"),
        ({"form": "0" * 64}, "not-asked"),
        ({"form": "\u00e9"}, "not-asked"),
        ({"form": theirs["form"]}, "not-asked"),
        ({"more": "x"}, "bad-form"),
        ({"answer": "yes"}, "bad-form"),
        ({"answer": ""}, "bad-form"),
        ({"choice": "agent:helper"}, "bad-form"),
        ({"choice": ""}, "no-task"),
        ({"choice": "task:"}, "no-task"),
        ({"choice": "task:tsk_none"}, "no-task"),
        ({"choice": "template:none"}, "no-task"),
    ):
        refused(found.answer(None, **{"choice": choice, **fields}), code)
    assert (tasks(there), len(there.events("client-consented"))) == before
    assert found.is_open


def test_a148_another_browser_answers_nothing_though_the_same_person_is_signed_in_there(
    there: SignIns,
) -> None:
    mine, other = visit(there), visit(there)
    url, form = mine.look().form()
    told = {**form, "answer": "consent", "choice": f"task:{there.asking.task}"}
    del other.browser.jar["as.example"]["__Secure-taskbound-asked"]
    refused(other.browser.ask(url, told), "not-asked")
    session = mine.browser.jar["as.example"].pop("__Host-taskbound-session")
    refused(mine.browser.ask(url, told), "not-asked")  # the form was for who is signed in
    mine.browser.jar["as.example"]["__Host-taskbound-session"] = session
    assert mine.browser.ask(url, told).status == 200


def test_whoever_is_signed_in_in_another_namespace_is_nobody_on_the_page(there: SignIns) -> None:
    add = AddIdentityIssuer(
        name="corp",
        issuer=there.provider.issuer,
        use="people",
        audience="us",
        private=True,
        secret_file=str(next(there.asking.home.parent.rglob("corp-secret"))),
    )
    opened = Open(role="cli", version=__version__, namespace="acme")
    with Client(there.asking.socket, opened, patience=15.0) as one:
        one.ask(RegisterPerson(name="alice", uid=os.geteuid()), Done)
        one.ask(add, Done)
        one.ask(LinkAccount(person="alice", issuer="corp", subject="subject-of-nobody"), Done)
    found = Visit(there, there.browser()).begin()
    signed = there.sign_in(found.browser, "?namespace=acme", subject="subject-of-nobody")
    assert "<strong>alice</strong>" in signed.text
    page = found.look()
    assert "Sign in</a> to answer here" in page.text
    assert "alice" not in page.text
    session = str(there.events("person-signed-in")[-1]["session"])
    secret, _ = found.browser.jar["as.example"]["__Secure-taskbound-asked"]
    for holder, code in ((session, "not-asked"), ("", "not-signed-in")):
        form = form_secret(secret.partition(".")[0], holder)
        told = {"form": form, "answer": "consent", "choice": f"task:{there.asking.task}"}
        refused(found.browser.ask(found.url, told), code)
    assert found.is_open


def test_a_form_that_is_sent_twice_starts_one_task_and_is_answered_once(there: SignIns) -> None:
    found = visit(there)
    url, form = found.look().form()
    told = {**form, "answer": "consent", "choice": "template:daily", "purpose": "once"}
    before = tasks(there)
    assert found.browser.ask(url, told).status == 200
    again = found.browser.ask(url, told)
    refused(again, "consent-answered")
    way = urlsplit(found.url).path
    assert f'<meta http-equiv="refresh" content="0; url={way}">' in again.text  # only this page is seen
    assert len(tasks(there) - before) == 1
    assert "code" in found.sent()
    ended = found.look()
    refused(ended, "consent-answered")
    assert 'http-equiv="refresh"' not in ended.text


def test_whose_answer_is_refused_can_go_back_to_the_page(there: SignIns) -> None:
    found = visit(there)
    page = found.answer(choice="task:tsk_none")
    refused(page, "no-task")
    assert f'<a href="{urlsplit(found.url).path}">' in page.text
    assert 'http-equiv="refresh"' not in page.text
    assert found.is_open


@pytest.mark.parametrize("how", ["session", "account", "person"])
def test_whoever_is_signed_in_no_more_by_the_time_they_answer_answers_nothing(
    there: SignIns, how: str
) -> None:
    person = "alice" if how == "session" else "bob"
    with client(there.asking.socket) as one:
        if how != "session":
            one.ask(LinkAccount(person="bob", issuer="corp", subject="subject-of-nobody"), Done)
        found = Visit(there, there.browser()).begin()
        there.sign_in(found.browser, subject="subject-of-alice" if how == "session" else "subject-of-nobody")
        url, form = found.look().form()
        told = {**form, "answer": "consent", "choice": "template:daily", "purpose": "x"}
        before = tasks(there)
        if how == "session":
            for row in one.ask(ListSessions(), SessionRows).rows:
                one.ask(EndSession(session=row.session), Done)
        elif how == "account":
            one.ask(UnlinkAccount(person=person, issuer="corp", subject="subject-of-nobody"), Done)
        else:
            one.ask(LeavePerson(name=person), Done)
        refused(found.browser.ask(url, told), "not-asked")  # the form was for who was signed in
        del told["form"]
        _, fresh = found.look().form() if "<form" in found.look().text else ("", {"form": "x"})
        refused(found.browser.ask(url, {**told, **fresh}), "not-asked")
    assert tasks(there) == before
    assert found.is_open


def test_a_sign_in_that_is_older_than_the_client_wants_is_made_anew(there: SignIns) -> None:
    browser = there.browser()
    there.sign_in(browser)
    found = Visit(there, browser, {"max_age": "0"}).begin()
    page = found.look()
    assert "asks for another sign-in" in page.text
    assert "token consent" not in page.text
    assert 'name="choice"' not in page.text
    refused(found.answer(choice=f"task:{there.asking.task}"), "sign-in-demanded")
    secret, _ = browser.jar["as.example"]["__Secure-taskbound-asked"]
    order = ConsentToClient(
        typed=typed_code(secret.partition(".")[0]), client="desk", agent=AGENT, task=there.asking.task
    )
    with client(there.asking.socket) as one, pytest.raises(RefusedByDaemonError) as terminal:
        one.ask(order, AskedDetail)
    assert terminal.value.fault.code == "sign-in-demanded"
    page = found.sign_in()
    assert 'name="choice"' in page.text, page.text
    assert found.answer(choice=f"task:{there.asking.task}").status == 200
    assert "code" in found.sent()


def test_who_can_not_sign_in_as_the_client_wants_has_it_told_so(there: SignIns) -> None:
    found = Visit(there, there.browser(), {"acr_values": "urn:two-factors"}).begin()
    page = found.look()
    assert "acr=urn%3Atwo-factors" in page.text
    assert "token consent" not in page.text
    refused(found.answer(choice=f"task:{there.asking.task}"), "not-signed-in")
    assert found.answer(answer="unmet").status == 200
    told = found.sent()
    assert (told["error"], told["state"]) == ("unmet_authentication_requirements", "xyz")
    weak = Visit(there, there.browser(), {"acr_values": "urn:two-factors"}).begin()
    there.sign_in(weak.browser)
    refused(weak.answer(choice=f"task:{there.asking.task}"), "sign-in-demanded")
    assert weak.is_open


@pytest.mark.parametrize("text", [NO_STARTS, NO_CONSENT], ids=["start", "consent"])
def test_the_rules_in_force_hold_on_the_page_as_in_a_terminal(there: SignIns, text: str) -> None:
    found = visit(there)
    before = tasks(there)
    with client(there.asking.socket) as one:
        seen = one.ask(ProposeBundle(files={"house.cedar": text}), BundleAnswer)
        one.ask(ActivateBundle(digest=seen.digest), BundleAnswer)
        try:
            page = found.answer(choice="template:daily", purpose="for the desk")
        finally:
            one.ask(RollBackBundle(digest=""), Done)
    refused(page, "operation-forbidden")
    assert tasks(there) == before
    told = there.events("operation-refused")[-1]
    assert told["operation"] == ("task:start" if text == NO_STARTS else "token:consent")
    assert told["by"] == "Person alice"
    assert found.is_open
