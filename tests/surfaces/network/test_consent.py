"""The authorization endpoint and its page (G8: A146, A148, A155)."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest

from taskbound.core.clock import Instant
from taskbound.core.identity.issuer import parse_identity_issuer
from taskbound.core.identity.proof import Principal
from taskbound.core.identity.sign_in import LASTS, Session
from taskbound.core.identity.sign_in import secret_digest as session_digest
from taskbound.core.token.authorization.asked import ConsentState, form_secret
from taskbound.flows.identity.account import add_identity_issuer, end_session, link_account
from taskbound.flows.token import add_client
from tests.client_world import CALLBACK
from tests.peers.rawhttp import RawHttp
from tests.stories.test_client_documents import HOST, Maker, believed
from tests.surfaces.network.browsing import RESOURCE, Browser, Clerk, sent, words
from tests.surfaces.network.holding import HOST as HERE
from tests.surfaces.network.holding import Holding, held
from tests.token_world import ISSUER
from tests.world import ANN


def test_a_person_sees_what_is_asked_and_the_client_gets_its_code_once_they_consent(one: Holding) -> None:
    clerk = Clerk(one)
    page = clerk.begin()
    assert re.fullmatch(r"/oauth/authorize/ask_[a-z0-9]+", page)
    shown = clerk.browser.get(page)
    assert (shown.status, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = words(shown)
    for what in ("The <b>desk</b>", "desk", "127.0.0.1", "coder", RESOURCE, "its own word"):
        assert what in text
    assert "<b>desk" not in shown.body.decode()
    assert clerk.browser.script(f"{page}/state").json == {"answered": False}
    typed = clerk.typed(page)
    clerk.consent(typed)
    assert clerk.browser.script(f"{page}/state").json == {"answered": True}
    told = sent(clerk.browser.get(page))
    assert told.keys() == {"code", "state", "iss"}
    assert (told["state"], told["iss"]) == ("x y&z", ISSUER)
    again = clerk.browser.get(page)
    assert (again.status, "consent-answered" in words(again)) == (403, True)
    log = one.there.process.words
    secrets = [told["code"], typed, *clerk.browser.cookies.values()]
    assert [secret for secret in secrets if secret in log] == []


def test_a_person_who_denies_has_the_client_told_so(one: Holding) -> None:
    clerk = Clerk(one)
    page = clerk.begin()
    one.place.daemon.network.askings.deny("default", clerk.typed(page), ANN)
    told = sent(clerk.browser.get(page))
    assert (told["error"], told["iss"], told["state"]) == ("access_denied", ISSUER, "x y&z")


def test_every_page_is_strict_is_kept_and_framed_by_nobody_and_works_without_its_script(
    one: Holding,
) -> None:
    clerk = Clerk(one)
    page = clerk.begin()
    refused = clerk.browser.get("/oauth/authorize?client_id=nobody")
    for answer in (clerk.browser.get(page), refused):
        headers = answer.headers
        policy = headers["content-security-policy"].split("; ")
        assert {
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        } <= {*policy}
        assert "form-action 'self'" in policy
        assert "unsafe" not in headers["content-security-policy"]
        assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "no-referrer")
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        body = answer.body.decode()
        assert re.findall(r"<script[^>]*>(.*?)</script>", body, re.DOTALL) in ([], [""])
        assert "style=" not in body
        assert not re.search(r"\son[a-z]+=", body)
    script = clerk.browser.script("/oauth/consent.js")
    style = clerk.browser.script("/oauth/consent.css")
    kinds = [one.headers["content-type"].partition(";")[0] for one in (script, style)]
    assert (kinds, script.status, style.status) == (["text/javascript", "text/css"], 200, 200)

    body = clerk.browser.get(page).body.decode()
    refresh = f'<noscript><meta http-equiv="refresh" content="5; url={page}"></noscript>'
    assert refresh in body
    assert f'<a href="{page}">' in body


def test_a148_what_a_browser_is_known_by_is_its_own_request_s_and_no_script_s(one: Holding) -> None:
    clerk = Clerk(one)
    answer = clerk.browser.get(f"/oauth/authorize?{clerk.query()}")
    page, told = answer.headers["location"], answer.headers["set-cookie"]
    pair, *rest = told.split("; ")
    assert pair.startswith("__Secure-taskbound-asked=")
    assert set(rest) == {f"Path={page}", "Max-Age=300", "HttpOnly", "SameSite=Lax", "Secure"}
    other = Browser(one)
    mine = clerk.begin()
    clerk.consent(clerk.typed(page))
    for path in (page, f"{page}/state"):
        for cookie in ("", pair.replace("=", "=x"), f"{pair}; {pair}", clerk.browser.shown(mine)):
            refused = other.get(path, Cookie=cookie) if path == page else other.script(path, Cookie=cookie)
            assert (refused.status, b"not-asked" in refused.body) == (403, True), cookie
    assert "code" in sent(clerk.browser.get(page))


FRAMED = (
    {"Sec_Fetch_Dest": "iframe"},
    {"Sec_Fetch_Dest": "empty", "Sec_Fetch_Mode": "cors"},
    {"Sec_Fetch_Dest": "image", "Sec_Fetch_Mode": "no-cors"},
    {"Sec_Fetch_Mode": "cors"},
    {"Sec_Purpose": "prefetch"},
)


def test_a155_a_page_is_opened_by_a_person_and_is_no_part_of_another_page(one: Holding) -> None:
    clerk = Clerk(one)
    page = clerk.begin()
    clerk.consent(clerk.typed(page))
    for target in (page, f"/oauth/authorize?{clerk.query()}"):
        for headers in FRAMED:
            refused = clerk.browser.get(target, **headers)
            assert (refused.status, b"not-navigated" in refused.body) == (403, True), headers
    assert "code" in sent(clerk.browser.get(page))


def test_another_page_does_not_hear_what_became_of_a_request(one: Holding) -> None:
    clerk = Clerk(one)
    page = clerk.begin()
    refused = clerk.browser.script(f"{page}/state", Sec_Fetch_Site="cross-site")
    assert (refused.status, refused.body.count(b"not-navigated")) == (403, 1)


SHOWN: tuple[tuple[dict[str, str], str, str], ...] = (
    ({"client_id": "nobody"}, "", "unknown-client"),
    ({"client_id": ""}, "", "bad-client-id"),
    ({"client_id": "http://app.example/client"}, "", "bad-client-id"),
    ({"redirect_uri": "https://evil.example/callback"}, "", "bad-redirect"),
    ({"redirect_uri": "http://127.0.0.1/callback/../other"}, "", "bad-redirect"),
    ({"redirect_uri": ""}, "", "bad-redirect"),
    ({"redirect_uri": f"{CALLBACK}#x"}, "", "bad-redirect"),
    ({}, "&state=other", "repeated-parameter"),
    ({}, "&client_id=desk", "repeated-parameter"),
    ({}, "&other=1&other=2", "repeated-parameter"),
    ({"state": "\x01"}, "", "bad-query"),
    ({"state": ""}, "&state=%ff", "bad-query"),
    ({"state": ""}, "&=x", "bad-query"),
    ({"namespace": "acme"}, "", "unproven"),
)


def test_a155_what_is_wrong_before_the_client_is_known_is_shown_and_sent_nowhere(one: Holding) -> None:
    clerk = Clerk(one)
    for changes, more, code in SHOWN:
        answer = clerk.browser.get(f"/oauth/authorize?{clerk.query(**changes)}{more}")
        assert f"<code>[{code}]</code>" in answer.body.decode(), (changes, more)
        assert answer.status in {400, 401, 403, 404}
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert b"evil.example" not in answer.body


TOLD: tuple[tuple[dict[str, str], str], ...] = (
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge": "", "code_challenge_method": ""}, "invalid_request"),
    ({"resource": ""}, "invalid_target"),
    ({"resource": f"{RESOURCE}/"}, "invalid_target"),
    ({"scope": "operations"}, "invalid_scope"),
    ({"request": "x.y.z"}, "invalid_request"),
    ({"acr_values": "urn:strong"}, "unmet_authentication_requirements"),
    ({"max_age": "0"}, "unmet_authentication_requirements"),
)


def test_what_can_not_be_answered_is_told_to_the_client_with_who_says_so(one: Holding) -> None:
    clerk = Clerk(one)
    for changes, error in TOLD:
        told = sent(clerk.browser.get(f"/oauth/authorize?{clerk.query(**changes)}"))
        assert (told["error"], told["iss"], told["state"]) == (error, ISSUER, "x y&z"), changes
        assert "code" not in told


ELSEWHERE = (
    ("POST", "/oauth/authorize", 405),
    ("HEAD", "/oauth/authorize/ask_1", 405),
    ("GET", "/oauth/authorize/", 404),
    ("GET", "/oauth/authorize/ask_1/other", 404),
    ("GET", "/oauth/authorize/ASK_1", 404),
)


def test_there_is_no_other_way_to_a_page_and_what_one_is_counted_as_is_nobodys_choice(one: Holding) -> None:
    for verb, target, status in ELSEWHERE:
        assert one.say(verb, target).status == status, (verb, target)
    for number in range(3):
        one.say("GET", f"/oauth/authorize/ask_{number}")
    text = one.say("GET", "/metrics").body.decode()
    assert "/oauth/authorize/{asked}" in text
    assert "ask_1" not in text


def test_a_request_that_is_loaded_again_begins_no_second_one_and_ends_when_its_time_is_over(
    one: Holding,
) -> None:
    clerk = Clerk(one)
    page = clerk.begin()
    assert clerk.typed(page) == clerk.typed(page)
    with one.world.store.read() as snapshot:
        assert snapshot.authorizations.count_asked("default", clerk.task.started) == 1
    one.world.clock.advance(300)
    over = clerk.browser.get(page)
    assert (over.status, b"not-asked" in over.body) == (403, True)


def test_whoever_floods_the_page_is_told_to_come_again_later(one: Holding) -> None:
    clerk = Clerk(one)
    for _ in range(64):
        clerk.begin()
    full = clerk.browser.get(f"/oauth/authorize?{clerk.query()}")
    assert (full.status, b"too-many-asked" in full.body) == (503, True)
    assert "location" not in full.headers


def test_a_name_with_marks_of_html_is_text(one: Holding) -> None:
    clerk = Clerk(one)
    name = "\"><script src='/x'></script>&amp;"
    adapters = one.world.adapters
    add_client(adapters, "default", "odd", shown=name, redirects=(CALLBACK,), actor=ANN, owns=True)
    answer = clerk.browser.get(clerk.begin(client_id="odd"))
    assert name in words(answer)
    assert answer.body.count(b"<script") == 1


def test_a148_a_client_is_known_by_its_document_and_a_request_that_can_not_be_answered_fetches_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = believed(tmp_path, monkeypatch)

    async def story(one: Holding, clerk: Clerk) -> None:
        async with RawHttp(context=context) as there:
            maker = Maker(there)
            one.place.daemon.network.descriptions = maker.descriptions
            told = {"client_id": maker.id().text}
            wrong = await asyncio.to_thread(
                clerk.browser.get, f"/oauth/authorize?{clerk.query(**told, scope='all')}"
            )
            assert b"<code>[bad-client-request]</code>" in wrong.body
            assert there.asked == []
            for more in ({"acr_values": "urn:strong"}, {"state": "x" * 1025}):
                nowhere = await asyncio.to_thread(
                    clerk.browser.get, f"/oauth/authorize?{clerk.query(**told | more)}"
                )
                assert b"<code>[bad-client-request]</code>" in nowhere.body, more
                assert "location" not in nowhere.headers
            page = await asyncio.to_thread(partial(clerk.begin, **told))
            shown = words(await asyncio.to_thread(clerk.browser.get, page))
            for what in (HOST, maker.id().text, "Desk", "its own word"):
                assert what in shown
            clerk.consent(await asyncio.to_thread(clerk.typed, page))
            assert "code" in sent(await asyncio.to_thread(clerk.browser.get, page))
            elsewhere = clerk.query(**told, redirect_uri="http://127.0.0.1/elsewhere")
            other = await asyncio.to_thread(clerk.browser.get, f"/oauth/authorize?{elsewhere}")
            assert b"<code>[bad-redirect]</code>" in other.body
            assert len(there.asked) == 1

    with held(tmp_path) as one:
        asyncio.run(story(one, Clerk(one)))


def test_a_browser_that_came_by_another_name_is_sent_to_the_one_whose_cookies_are_ours(
    one: Holding,
) -> None:
    clerk = Clerk(one)
    target = f"/oauth/authorize?{clerk.query()}"
    answer = clerk.browser.get(target, Host=one.there.host)
    assert (answer.status, answer.headers["location"]) == (303, f"{ISSUER}{target}")
    assert "set-cookie" not in answer.headers
    wrong = clerk.browser.get("/oauth/authorize?a=%zz", Host=one.there.host)
    assert (wrong.status, "location" in wrong.headers) == (400, False)


@pytest.mark.parametrize("told", ["consent", "deny"])
def test_a_sign_in_that_ends_while_an_answer_waits_for_its_turn_gives_nothing(
    one: Holding, told: str
) -> None:
    clerk, adapters, daemon = Clerk(one), one.world.adapters, one.place.daemon
    corp = parse_identity_issuer(
        "default", "corp", issuer="https://corp.example", audience="us", use="people"
    )
    add_identity_issuer(adapters, corp, actor=ANN, owns=True)
    link_account(adapters, "default", "ann", issuer="corp", subject="s-ann", actor=ANN, owns=True)
    session = signed_in(one, "s" * 43)
    page = clerk.begin()
    (known,) = clerk.browser.cookies.values()
    form = {
        "form": form_secret(known.partition(".")[0], session.id),
        "answer": told,
        "choice": f"task:{clerk.task.id}",
    }
    authorize = daemon.authority.authorize

    async def meanwhile(principal: Principal, operation: str, message: object) -> None:
        await authorize(principal, operation, message)
        if operation == f"token:{told}":
            end_session(adapters, "default", session.id, actor=ANN, owns=True)

    daemon.authority.authorize = meanwhile  # type: ignore[method-assign] # another daemon is quicker
    answer = one.there.ask(
        "POST",
        page,
        urlencode(form).encode(),
        Host=HERE,
        Origin=ISSUER,
        Content_Type="application/x-www-form-urlencoded",
        Cookie=f"{clerk.browser.shown(page)}; __Host-taskbound-session=default.{'s' * 43}",
    )
    assert (answer.status, b"<code>[not-signed-in]</code>" in answer.body) == (403, True), answer.body
    with one.world.store.read() as seen:
        asked = seen.authorizations.asked("default", page.rpartition("/")[2])
    assert asked is not None
    assert asked.state is ConsentState.OPEN


def signed_in(one: Holding, secret: str) -> Session:
    """Ann's session in a browser that holds this secret."""
    now = one.world.clock.now()
    session = Session(
        namespace="default",
        id="ses_1",
        secret=session_digest(secret),
        person="ann",
        issuer="corp",
        subject="s-ann",
        authenticated=now,
        acr="",
        began=now,
        until=Instant(now + LASTS),
    )
    one.world.store.write(lambda tx: tx.accounts.put_session(session))
    return session
