"""A client acts as a person over the network: by a real provider, page, API, daemon and signer (RFC 9470)."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pysqlite3  # type: ignore[import-untyped] # it comes without types
import pytest

from taskbound.wire.authorization import AddClient, ClientRow
from taskbound.wire.connection import Done
from taskbound.wire.identity import EndSession, LeavePerson
from taskbound.wire.policy import ActivateBundle, BundleAnswer, ProposeBundle, RollBackBundle
from taskbound.wiring.store import DATABASE
from tests.client_world import CALLBACK, VERIFIER
from tests.proofs import CLIENT
from tests.surfaces.network.asking import HOST
from tests.surfaces.network.holding import STRANGER
from tests.surfaces.network.signing_in import SignIns, signing_in
from tests.surfaces.network.test_consent_page import Visit, refused, visit
from tests.token_world import ISSUER, claims_in
from tests.wiring.running import client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.surfaces.network.serving import Answer
    from tests.tokens import Signer

PERSON = {"resource": ISSUER, "scope": "operations"}
STOP = "/v1/revocation/stop"
FRESH = (
    '@id("house:fresh") @reason("Sign in.") @hold("step-up:@300")'
    ' forbid (principal, action == Taskbound::Action::"revocation:stop", resource);'
)
NOBODY = (
    '@id("house:no-clients") forbid (principal,'
    ' action == Taskbound::Action::"token:consent-person", resource);'
)
NOT_DESK = (
    '@id("house:no-desk") forbid (principal, action == Taskbound::Action::"token:consent-person",'
    ' resource == Taskbound::Client::"default/desk");'
)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignIns]:
    with signing_in(tmp_path_factory.mktemp("acting-as")) as found:
        with client(found.asking.socket) as one:
            one.ask(AddClient(client="desk", redirects=(CALLBACK,), shown="The desk"), ClientRow)
            one.ask(LeavePerson(name="bob"), Done)  # so that alice alone puts rules in force
        yield found


@contextmanager
def in_force(there: SignIns, text: str) -> Iterator[None]:
    """These rules of an organization's, for a while."""
    with client(there.asking.socket) as one:
        seen = one.ask(ProposeBundle(files={"house.cedar": text}), BundleAnswer)
        one.ask(ActivateBundle(digest=seen.digest), BundleAnswer)
        try:
            yield
        finally:
            one.ask(RollBackBundle(digest=""), Done)


def bring(there: SignIns, code: str, signer: Signer | None = CLIENT, **changes: str) -> Answer:
    """The answer to a client that brings its code."""
    form = {
        "grant_type": "authorization_code",
        "client_id": "desk",
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "code": code,
        **changes,
    }
    proven = {} if signer is None else {"DPoP": there.asking.dpop(signer=signer)}
    return there.asking.post("/oauth/token", form, **proven)


def token_of(there: SignIns, found: Visit) -> dict[str, Any]:
    """What the client gets once somebody has said yes on the page."""
    assert found.answer(choice="person:").status == 200
    given = bring(there, found.sent()["code"])
    assert given.status == 200, given.body
    told: dict[str, Any] = given.json
    return told


def stopped(there: SignIns, token: str) -> Answer:
    """The answer to who lifts a stop."""
    body = b'{"stopped":false,"reason":"on"}'
    told = {
        "Host": HOST,
        "Authorization": f"DPoP {token}",
        "DPoP": there.asking.dpop(STOP, "POST", token),
        "Content_Type": "application/json",
    }
    return there.asking.there.ask("POST", STOP, body, **told)


def test_a_client_acts_as_who_says_so_on_the_page_until_a_rule_asks_for_a_fresher_sign_in(
    there: SignIns,
) -> None:
    browser = there.browser()
    first = Visit(there, browser, PERSON).begin()
    assert "<form" not in first.look().text
    first.sign_in()
    with closing(pysqlite3.connect(there.asking.home / DATABASE)) as one:  # an hour goes by
        one.execute("UPDATE browser_sessions SET authenticated = began - 3600000000")
        one.commit()
    page = first.look()
    for words in ("May a program act as you?", "As you.", "5 minutes", ISSUER, "No task bounds that"):
        assert words in page.text
    assert 'name="choice" value="person:" required' in page.text
    assert "checked" not in page.text
    told = token_of(there, first)
    assert told.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert (told["token_type"], told["scope"]) == ("DPoP", "operations")
    token = told["access_token"]
    assert claims_in(token)["sub"] == "person:alice"
    assert there.asking.shown("/v1/tasks", token).status == 200
    assert there.asking.shown("/v1/tasks", token, STRANGER).status == 401
    with in_force(there, FRESH):
        answer = stopped(there, token)
        assert (answer.status, answer.code) == (401, "step-up"), answer.body
        challenge = answer.headers["www-authenticate"]
        assert 'error="insufficient_user_authentication"' in challenge
        assert 'max_age="300"' in challenge
        again = Visit(there, browser, {**PERSON, "max_age": "300"}).begin()
        assert "asks for another sign-in" in again.look().text
        refused(again.answer(choice="person:"), "sign-in-demanded")
        again.sign_in()
        fresh = token_of(there, again)["access_token"]
        assert claims_in(fresh)["auth_time"] > claims_in(token)["auth_time"] + 3000
        answer = stopped(there, fresh)
        assert answer.status == 200, answer.body
        assert stopped(there, token).code == "admission-ended"  # with the sign-in that it rested on


def test_a155_who_says_yes_says_it_of_what_is_asked_and_ticks_that_they_mean_it(there: SignIns) -> None:
    found, agents = visit(there, **PERSON), visit(there)
    task = there.asking.task
    for choice, code in (("", "not-asked"), (f"task:{task}", "not-asked"), ("template:x", "not-asked")):
        refused(found.answer(choice=choice), code)
    refused(agents.answer(choice="person:"), "not-asked")
    other = visit(there, **PERSON)
    _, theirs = other.look().form()
    refused(found.answer(choice="person:", form=theirs["form"]), "not-asked")
    refused(found.answer(choice="person:", form=""), "not-asked")
    for headers, code in (
        ({"Origin": "https://evil.example"}, "foreign-origin"),
        ({"Sec-Fetch-Dest": "iframe"}, "not-navigated"),
    ):
        page = found.answer(headers, choice="person:")
        assert (page.code or json.loads(page.text)["code"]) == code
    url, form = found.look().form()
    refused(other.browser.ask(url, {**form, "answer": "consent", "choice": "person:"}), "not-asked")
    assert found.is_open
    assert agents.is_open
    assert found.answer(choice="person:").status == 200
    refused(found.browser.ask(url, {**form, "answer": "consent", "choice": "person:"}), "consent-answered")
    assert "code" in found.sent()


def test_a_code_to_act_as_a_person_without_a_key_gives_nothing(there: SignIns) -> None:
    found = visit(there, **PERSON, dpop_jkt=CLIENT.jwk.thumbprint)
    assert found.answer(choice="person:").status == 200
    code = found.sent()["code"]
    for signer in (STRANGER, CLIENT):  # whoever brings it uses it up
        answer = bring(there, code, signer)
        assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    loose = visit(there, **PERSON)
    assert loose.answer(choice="person:").status == 200
    answer = bring(there, loose.sent()["code"], None)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert "DPoP" in answer.json["error_description"]


def test_a_client_acts_no_more_as_who_signed_out(there: SignIns) -> None:
    found = visit(there, **PERSON)
    token = token_of(there, found)["access_token"]
    assert there.asking.shown("/v1/tasks", token).status == 200
    session = there.events("person-signed-in")[-1]["session"]
    with client(there.asking.socket) as one:
        one.ask(EndSession(session=session), Done)
    answer = there.asking.shown("/v1/tasks", token)
    assert (answer.status, answer.code) == (401, "admission-ended"), answer.body


@pytest.mark.parametrize("text", [NOBODY, NOT_DESK], ids=["nobody", "this-client"])
def test_an_organization_says_that_no_client_acts_as_a_person(there: SignIns, text: str) -> None:
    found = visit(there, **PERSON)
    with in_force(there, text):
        refused(found.answer(choice="person:"), "operation-forbidden")
    told = there.events("operation-refused")[-1]
    assert (told["operation"], told["about"], told["by"]) == (
        "token:consent-person",
        "Client desk",
        "Person alice",
    )
    assert found.is_open
