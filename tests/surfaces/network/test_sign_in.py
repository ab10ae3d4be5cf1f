from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from taskbound.wire.audit import ExportAudit, ExportPage
from taskbound.wire.connection import Done
from taskbound.wire.identity import (
    AccountRows,
    EndSession,
    LeavePerson,
    ListAccounts,
    ListSessions,
    SessionRows,
    UnlinkAccount,
)
from tests.surfaces.network.signing_in import PEOPLE, SECRET, SignIns, signing_in
from tests.token_world import ISSUER
from tests.wiring.running import client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.peers.browsing import Browser, Page

SESSION = "__Host-taskbound-session"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignIns]:
    with signing_in(tmp_path_factory.mktemp("signing")) as found:
        yield found


def signed_in(browser: Browser) -> str:
    """Who is signed in with this browser, as our own page says."""
    page = browser.open(f"{ISSUER}/sign-in")
    assert page.status == 200, page.text
    return page.text.partition("<strong>")[2].partition("</strong>")[0]


def refused(there: SignIns, act: Callable[[], Page], code: str) -> Page:
    """The page, after one refusal and one record of it."""
    before = len(there.events("sign-in-refused"))
    page = act()
    assert (page.status, page.code) == (403, code), page.text
    found = there.events("sign-in-refused")[before:]
    assert [one["code"] for one in found] == [code]
    return page


def test_a_person_signs_in_at_their_issuer_and_out_again_with_a_record_of_each(there: SignIns) -> None:
    browser = there.browser()
    page = there.sign_in(browser)
    assert (page.status, page.url) == (200, f"{ISSUER}/sign-in")
    assert signed_in(browser) == "alice"
    record = there.events("person-signed-in")[-1]
    assert (record["person"], record["issuer"], record["subject"]) == ("alice", "corp", "subject-of-alice")
    assert record["authenticated"] == 0
    url, form = page.form()
    assert browser.open(url, form).status == 200
    assert signed_in(browser) == ""
    assert there.events("session-ended")[-1]["session"] == record["session"]
    assert SESSION not in browser.jar["as.example"]


def test_what_a_browser_holds_is_for_our_host_alone_and_for_no_script(there: SignIns) -> None:
    browser = there.browser()
    begun = browser.ask(f"{ISSUER}/sign-in/corp")
    taken = browser.ask(there.come_back(browser, browser.open(begun.headers["location"])))
    cookies = [one for one in (*begun.cookies, *taken.cookies) if "Max-Age=0" not in one]
    assert [one.partition("=")[0] for one in cookies if "began" not in one] == [SESSION]
    assert len(cookies) == 2
    for one in cookies:
        name, *rest = one.split("; ")
        assert name.startswith("__Host-taskbound-")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(rest)
    assert (
        int(next(one for one in cookies if SESSION in one).partition("Max-Age=")[2].partition(";")[0])
        <= 28_800
    )


@pytest.mark.parametrize(
    "path", ["/sign-in", "/sign-in/corp", "/sign-in/callback/corp?state=x", "/sign-in?a=b"]
)
def test_every_page_forbids_scripts_frames_and_being_kept(there: SignIns, path: str) -> None:
    page = there.browser().ask(f"{ISSUER}{path}")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["referrer-policy"] in {"no-referrer", "same-origin"}
    assert page.headers["x-content-type-options"] == "nosniff"


def test_where_a_browser_goes_then_is_one_of_our_pages_and_no_other(there: SignIns) -> None:
    browser = there.browser()
    page = there.sign_in(browser, "?return=%2Foauth%2Fauthorize%3Fclient_id%3Da%26state%3Db")
    assert page.url == f"{ISSUER}/oauth/authorize?client_id=a&state=b"
    for back in (
        *("https://evil.example", "//evil.example", "/v1/persons", "/sign-in/../evil", "/sign-in?x"),
        *("\\\\evil", "/oauth/authorize\\", "/oauth/authorize?<", "/oauth/authorize/x"),
    ):
        page = browser.ask(f"{ISSUER}/sign-in/corp?{urlencode({'return': back})}")
        assert (page.status, page.code) == (400, "bad-sign-in"), back
        assert "location" not in page.headers


def test_one_issuer_is_chosen_by_itself_where_a_page_wants_somebody(there: SignIns) -> None:
    page = there.browser().ask(f"{ISSUER}/sign-in?return=%2Foauth%2Fauthorize")
    assert page.status == 303
    assert page.headers["location"] == f"{ISSUER}/sign-in/corp?return=%2Foauth%2Fauthorize"


def test_a_browser_that_signs_in_anew_holds_one_session_and_the_one_before_is_over(there: SignIns) -> None:
    browser, thief = there.browser(), there.browser()
    there.sign_in(browser)
    thief.jar = {host: dict(jar) for host, jar in browser.jar.items()}
    assert signed_in(thief) == "alice"
    there.sign_in(browser)
    assert (signed_in(browser), signed_in(thief)) == ("alice", "")
    assert there.events("session-ended")[-1]["reason"] == "signed in anew"


def test_a_session_that_stands_beside_another_is_nobodys(there: SignIns) -> None:
    browser, other = there.browser(), there.browser()
    there.sign_in(browser)
    there.sign_in(other)
    pairs = [f"{SESSION}={one.jar['as.example'][SESSION][0]}" for one in (browser, other)]
    for cookie, signed in ((pairs[0], True), ("; ".join(pairs), False), (f"{pairs[0]}; {pairs[0]}", False)):
        page = browser.ask(f"{ISSUER}/sign-in", headers={"Cookie": cookie})
        assert (page.status, "<strong>alice</strong>" in page.text) == (200, signed)


def test_an_answer_that_comes_twice_signs_nobody_in(there: SignIns) -> None:
    browser = there.browser()
    back = there.come_back(browser, there.begin(browser))
    held = {host: dict(jar) for host, jar in browser.jar.items()}
    assert browser.open(back).status == 200
    browser.jar = held
    refused(there, lambda: browser.ask(back), "unknown-sign-in")
    assert signed_in(browser) == ""


def test_another_browser_finishes_nothing_and_uses_the_answer_up(there: SignIns) -> None:
    browser, other = there.browser(), there.browser()
    back = there.come_back(browser, there.begin(browser))
    there.begin(other)  # it has begun one of its own
    page = refused(there, lambda: other.ask(back), "sign-in-elsewhere")
    assert not any(SESSION in one for one in page.cookies)
    refused(there, lambda: browser.ask(back), "unknown-sign-in")


@pytest.mark.parametrize("iss", ["", "https://evil.example"])
def test_an_answer_that_is_not_the_issuers_own_is_refused_before_its_code_goes_anywhere(
    there: SignIns, iss: str
) -> None:
    browser = there.browser()
    back = there.come_back(browser, there.begin(browser))
    told = parse_qs(urlsplit(back).query)
    assert told["iss"] == [there.provider.issuer]
    before = there.provider.count("/token")
    other = f"{ISSUER}/sign-in/callback/corp?code={told['code'][0]}&state={told['state'][0]}" + (
        f"&iss={iss.replace(':', '%3A').replace('/', '%2F')}" if iss else ""
    )
    refused(there, lambda: browser.ask(other), "sign-in-another-issuer")
    assert there.provider.count("/token") == before


def test_what_comes_back_at_another_issuers_address_is_refused(there: SignIns) -> None:
    browser = there.browser()
    back = there.come_back(browser, there.begin(browser))
    refused(
        there,
        lambda: browser.ask(back.replace("/callback/corp", "/callback/other")),
        "sign-in-another-issuer",
    )


def test_a_code_of_another_sign_in_is_no_use(there: SignIns) -> None:
    mine, theirs = there.browser(), there.browser()
    own = parse_qs(urlsplit(there.come_back(mine, there.begin(mine))).query)
    stolen = parse_qs(urlsplit(there.come_back(theirs, there.begin(theirs))).query)
    injected = (
        f"{ISSUER}/sign-in/callback/corp?code={stolen['code'][0]}&state={own['state'][0]}"
        f"&iss={there.provider.issuer.replace(':', '%3A').replace('/', '%2F')}"
    )
    page = refused(there, lambda: mine.ask(injected), "sign-in-denied")
    assert "invalid_grant" in page.text


def test_whoever_says_no_at_the_issuer_is_not_signed_in(there: SignIns) -> None:
    browser = there.browser()
    page = browser.ask(f"{ISSUER}/sign-in/corp")
    state = parse_qs(urlsplit(page.headers["location"]).query)["state"][0]
    iss = there.provider.issuer.replace(":", "%3A").replace("/", "%2F")
    back = f"{ISSUER}/sign-in/callback/corp?error=access_denied&state={state}&iss={iss}"
    assert "access_denied" in refused(there, lambda: browser.ask(back), "sign-in-denied").text


def test_an_account_that_nobody_linked_signs_nobody_in_and_says_whose_it_is(there: SignIns) -> None:
    browser = there.browser()
    page = refused(there, lambda: there.sign_in(browser, subject="subject-of-nobody"), "unknown-account")
    assert "subject-of-nobody" in page.text
    assert there.events("sign-in-refused")[-1]["subject"] == "subject-of-nobody"
    assert signed_in(browser) == ""


def test_a_hostile_subject_is_text_in_the_page(there: SignIns) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e"
    there.provider.have({**PEOPLE, hostile: {}})
    page = there.sign_in(there.browser(), subject=hostile)
    assert page.code == "unknown-account"
    assert "<img" not in page.text
    assert "&lt;img" in page.text
    assert "\u202e" not in page.text


def test_step_up_has_the_issuer_ask_again_and_say_when(there: SignIns) -> None:
    browser = there.browser()
    there.sign_in(browser)
    page = browser.open(f"{ISSUER}/sign-in/corp?max_age=0")
    assert 'name="login"' in page.text  # the provider asks again though it knows who it is
    browser.open(there.come_back(browser, page))
    record = there.events("person-signed-in")[-1]
    assert record["authenticated"] > 0


def test_a_strength_that_the_issuer_does_not_say_is_not_there(there: SignIns) -> None:
    refused(there, lambda: there.sign_in(there.browser(), "?acr=urn%3Atwo-factors"), "sign-in-not-strong")


def test_signing_out_is_asked_by_our_own_page_alone(there: SignIns) -> None:
    browser = there.browser()
    there.sign_in(browser)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        page = browser.ask(f"{ISSUER}/sign-out", {"namespace": "default"}, headers=headers)
        assert page.status == 403
    assert browser.ask(f"{ISSUER}/sign-out").status == 405
    assert signed_in(browser) == "alice"


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Dest": "iframe"}, {"Sec-Fetch-Dest": "image"}, {"Sec-Purpose": "prefetch"}]
)
def test_a_page_is_for_a_window_and_not_ahead_of_time(there: SignIns, headers: dict[str, str]) -> None:
    page = there.browser().ask(f"{ISSUER}/sign-in/corp", headers=headers)
    assert (page.status, page.code) == (403, "not-navigated")
    assert page.cookies == ()


def test_a_browser_at_another_of_our_names_is_sent_to_the_one_that_cookies_are_for(there: SignIns) -> None:
    page = there.browser().ask(
        f"{ISSUER}/sign-in/corp?return=%2Fsign-in", headers={"Host": there.asking.there.host}
    )
    assert page.status == 303
    assert page.headers["location"] == f"{ISSUER}/sign-in/corp?return=%2Fsign-in"
    assert page.cookies == ()


def test_a_session_proves_nobody_to_the_api_and_to_no_endpoint_of_oauth(there: SignIns) -> None:
    browser = there.browser()
    there.sign_in(browser)
    page = browser.ask(f"{ISSUER}/v1/persons")
    assert page.status == 401
    page = browser.ask(f"{ISSUER}/oauth/token", {"grant_type": "refresh_token"})
    assert page.status == 401 or "invalid" in page.text
    assert "alice" not in page.text


Ending: TypeAlias = "UnlinkAccount | EndSession | LeavePerson"


def ending(how: str, session: str) -> Ending:
    match how:
        case "unlinked":
            return UnlinkAccount(person="alice", issuer="corp", subject="subject-of-alice")
        case "an administrator":
            return EndSession(session=session)
        case _:
            return LeavePerson(name="bob")


@pytest.mark.parametrize("how", ["unlinked", "an administrator", "left"])
def test_a_session_ends_with_what_it_rests_on(there: SignIns, how: str) -> None:
    person = "bob" if how == "left" else "alice"
    if how == "left":
        there.provider.have({**PEOPLE, "subject-of-bob": {}})
        there.link("bob", "subject-of-bob")
    browser = there.browser()
    there.sign_in(browser, subject=f"subject-of-{person}")
    assert signed_in(browser) == person
    with client(there.asking.socket) as one:
        rows = one.ask(ListSessions(person=person), SessionRows).rows
        one.ask(ending(how, rows[-1].session), Done)
    assert signed_in(browser) == ""
    assert there.events("session-ended")[-1]["person"] == person
    if how == "unlinked":
        with client(there.asking.socket) as one:
            assert one.ask(ListAccounts(person="alice"), AccountRows).rows == ()
        there.link()
        assert signed_in(browser) == ""  # and does not come back with it


def test_no_secret_of_a_sign_in_is_in_any_record_or_log(there: SignIns) -> None:
    browser = there.browser()
    page = there.sign_in(browser)
    held = browser.jar["as.example"][SESSION][0].partition(".")[2]
    assert page.status == 200
    with client(there.asking.socket) as one:
        records = str(one.ask(ExportAudit(limit=5000), ExportPage).records)
    logs = there.asking.process.words + there.asking.there.process.words
    for secret in (held, SECRET):
        assert secret not in records
        assert secret not in logs
