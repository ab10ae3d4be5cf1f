"""The page of consent in real Chromium: a person, a client elsewhere, and who means harm (G8: A148, A155)."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import build_opener

import msgspec
import pytest

import tests.peers.machine
from taskbound.flows.token import resource_of
from taskbound.surfaces.api.server.place import DEFAULT_GATEWAY
from taskbound.wire.authorization import AddClient, AskedDetail, ClientRow, ConsentToClient
from taskbound.wire.connection import Done
from taskbound.wire.identity import EndSession, LinkAccount, ListSessions, SessionRows
from taskbound.wire.task import SaveTemplate, StartTask, TaskDetail
from taskbound.wire.workload import AddIdentityIssuer
from taskbound.wiring.home import find_socket, make_home
from tests.client_world import CHALLENGE, VERIFIER
from tests.peers.chromium import chromium
from tests.peers.pages import Pages, answer, pages
from tests.peers.ports import free_port
from tests.peers.provider import provider
from tests.peers.rawhttp import Authority
from tests.surfaces.network.serving import api
from tests.surfaces.network.test_sign_in_browser import fill, looked
from tests.wiring.running import AGENT, SCOPE, Running, client, settle_in, status, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers.chromium import Chromium, Tab

pytestmark = pytest.mark.timeout(100)  # a browser takes its time on a machine that does more
HOST = "client.example"
RESOURCE = resource_of(DEFAULT_GATEWAY, AGENT)
YES = "button[value=consent]"
NO = "button[value=deny]"
TOLD = "document.querySelector('h1')?.textContent ?? ''"
HARM = "</bdi></dd><script>window.harm=1</script><img src=x onerror=harm=1>"
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "ArrowDown": (40, "")}


def html(text: str) -> bytes:
    """An answer with this page."""
    body = text.encode()
    return answer("Content-Type: text/html; charset=utf-8", f"Content-Length: {len(body)}") + body


@dataclass
class There:
    """An API, a browser that a person is signed in with, and a client at an address of its own."""

    origin: str
    socket: Path
    browser: Chromium
    client: Pages
    maker: Pages
    task: str

    @property
    def callback(self) -> str:
        return f"{self.client.origin}/callback"

    def ask(self, **changes: str) -> str:
        """Where a client sends a browser."""
        told = {
            "response_type": "code",
            "client_id": "desk",
            "redirect_uri": self.callback,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": RESOURCE,
            "state": "x y&z",
            **changes,
        }
        return f"{self.origin}/oauth/authorize?{urlencode(told)}"

    def open(self, **changes: str) -> Tab:
        """A tab with the page of a new request."""
        tab = self.browser.tab(self.ask(**changes))
        until(lambda: "May a program" in str(looked(tab, TOLD)), "the page is there")
        if not looked(tab, "document.body.textContent.includes('You are signed in')"):
            self.sign_in(tab)
        return tab

    def sign_in(self, tab: Tab) -> None:
        """Sign in from the page, and come back to it; the issuer asks only whom it does not know yet."""
        press(tab, 'a[href^="/sign-in"]')
        there = "document.querySelector('input[name=login]') ? 'asked'"
        there += " : document.body.textContent.includes('You are signed in') ? 'in' : ''"
        until(lambda: looked(tab, there) in {"asked", "in"}, "the issuer says something")
        if looked(tab, there) == "asked":
            fill(tab, "s-alice")
        until(lambda: looked(tab, there) == "in", "the person is signed in on the page")

    def choose(self, tab: Tab) -> None:
        """Choose the task that runs."""
        press(tab, f'input[value="task:{self.task}"]')

    def heard(self, tab: Tab) -> dict[str, str]:
        """What the client's address is told by this tab."""
        until(lambda: str(looked(tab, "location.href")).startswith(self.callback), "the browser goes on")
        return dict(parse_qsl(urlsplit(str(tab.run("location.href"))).query, strict_parsing=True))

    @property
    def codes(self) -> list[str]:
        """Every code that the client's address was told, in order, by any tab."""
        asked = [one.split(b" ")[1].decode() for one in self.client.asked]
        told = [dict(parse_qsl(urlsplit(one).query)) for one in asked if one.startswith("/callback?")]
        return [one["code"] for one in told if "code" in one]

    def exchange(self, code: str) -> dict[str, Any]:
        """What the client's code brings."""
        form = {
            "grant_type": "authorization_code",
            "client_id": "desk",
            "redirect_uri": self.callback,
            "code_verifier": VERIFIER,
            "code": code,
        }
        told = urlencode(form).encode()
        with build_opener().open(f"{self.origin}/oauth/token", told, timeout=20) as given:
            found: dict[str, Any] = json.loads(given.read())
        return found


def press(tab: Tab, selector: str, times: int = 1) -> None:
    """Press what the selector names as a person does: with the mouse, where it stands."""
    where = (
        f"(() => {{ const one = document.querySelector({json.dumps(selector)}); if (!one) return null;"
        " one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    until(lambda: looked(tab, where) is not None, f"there is {selector}")
    across, down = tab.run(where)
    for number in range(times):
        for kind in ("mousePressed", "mouseReleased"):
            told = {"x": across, "y": down, "button": "left", "clickCount": number + 1}
            tab.ask("Input.dispatchMouseEvent", type=kind, **told)


def key(tab: Tab, name: str) -> None:
    """Press a key."""
    code, text = KEYS[name]
    told = {"key": name, "windowsVirtualKeyCode": code}
    tab.ask("Input.dispatchKeyEvent", type="keyDown", **told, **({"text": text} if text else {}))
    tab.ask("Input.dispatchKeyEvent", type="keyUp", **told)


def focused(tab: Tab) -> str:
    """What the next key goes to."""
    return str(tab.run("(document.activeElement.value || document.activeElement.name || '')"))


def tab_to(tab: Tab, wanted: str) -> None:
    """Go on with the tabulator until the focus is there."""
    for _ in range(20):
        key(tab, "Tab")
        if focused(tab) == wanted:
            return
    raise AssertionError(f"no key leads to {wanted}")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    folder = tmp_path_factory.mktemp("consent")
    authority = Authority(folder)
    port = free_port()
    origin, home = f"http://127.0.0.1:{port}", folder / "home"
    us = {
        "client_id": "us",
        "redirect_uris": [f"{origin}/sign-in/callback/corp"],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
        "token_endpoint_auth_method": "none",
    }
    make_home(home)
    machine = (sys.executable, str(Path(tests.peers.machine.__file__)), HOST, str(authority.file))
    words = ("--home", str(home), "--issuer", origin, "--private-clients", HOST)
    with (
        Running("daemon", *words, python=machine),
        api(find_socket(home), "--address", f"127.0.0.1:{port}"),
        provider(client=us, people={"s-alice": {}}) as idp,
        pages() as elsewhere,
        pages(authority.context(HOST)[0]) as maker,
        chromium(folder) as browser,
    ):
        where = find_socket(home)
        until(lambda: status(where).signer == "reachable", "the signer is there")
        elsewhere.says = html("thanks")
        task = settle_in(where, folder)
        found = There(origin, where, browser, elsewhere, maker, task)
        with client(where) as one:
            one.ask(AddClient(client="desk", redirects=(found.callback,), shown="The desk"), ClientRow)
            add = AddIdentityIssuer(name="corp", issuer=idp.issuer, use="people", audience="us", private=True)
            one.ask(add, Done)
            one.ask(LinkAccount(person="alice", issuer="corp", subject="s-alice"), Done)
            scope = msgspec.Raw(json.dumps(SCOPE).encode())
            one.ask(SaveTemplate(name="daily", scope=scope, seconds=600), Done)
        yield found


def test_a_person_signs_in_chooses_a_task_and_the_client_gets_a_code_that_is_good(there: There) -> None:
    tab = there.open()
    there.choose(tab)
    press(tab, YES)
    told = there.heard(tab)
    assert told.keys() == {"code", "state", "iss"}
    assert (told["state"], told["iss"]) == ("x y&z", there.origin)
    given = there.exchange(told["code"])
    assert (given["token_type"], given["scope"]) == ("Bearer", "task")


def test_nothing_is_sent_before_something_is_chosen_and_a_no_is_told_to_the_client(there: There) -> None:
    tab, before = there.open(), len(there.codes)
    press(tab, YES)
    assert tab.run("document.querySelector(':invalid') !== null")
    assert tab.run("document.querySelectorAll('input:checked').length") == 0
    press(tab, NO)
    told = there.heard(tab)
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", "x y&z", there.origin)
    assert len(there.codes) == before


def test_the_keyboard_alone_opens_a_task_and_no_script_is_needed_for_it(there: There) -> None:
    tab = there.open()
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    tab.ask("Page.reload")
    until(lambda: "May a program" in str(looked(tab, TOLD)), "the page is there")
    tab_to(tab, f"task:{there.task}")
    for _ in range(40):
        if focused(tab) == "template:daily":
            break
        key(tab, "ArrowDown")
    tab_to(tab, "purpose")
    tab.ask("Input.insertText", text="look at invoice 7")
    tab_to(tab, "consent")
    key(tab, "Enter")
    given = there.exchange(there.heard(tab)["code"])
    assert given["scope"] == "task"


def test_the_page_goes_on_by_itself_once_somebody_has_answered_in_a_terminal(there: There) -> None:
    tab = there.open()
    found = re.search(r"token consent ([A-Z]{5}-[A-Z]{5})", str(tab.run("document.body.textContent")))
    assert found is not None
    with client(there.socket) as one:
        order = ConsentToClient(typed=found[1], client="desk", agent=AGENT, task=there.task)
        one.ask(order, AskedDetail)
    assert "code" in there.heard(tab)


def test_a155_what_others_write_stands_as_text_and_hides_nothing(there: There) -> None:
    lookalike = "Taskbound</bdi> (checked: type nothing, just press) <bdi>"
    with client(there.socket) as one:
        one.ask(AddClient(client="odd", redirects=(there.callback,), shown=lookalike), ClientRow)
        purpose = f"\u202eevil\u200b {HARM} {'x' * 400}"
        scope = msgspec.Raw(json.dumps(SCOPE).encode())
        order = StartTask(agent=AGENT, purpose=purpose, seconds=600, scope=scope)
        one.ask(order, TaskDetail)
    name = ("W" * 79) + "<"
    url = f"https://{HOST}:{there.maker.port}/{'w' * 400}"
    document = {"client_id": url, "client_name": name, "redirect_uris": [there.callback]}
    body = json.dumps(document).encode()
    there.maker.says = answer("Content-Type: application/json", f"Content-Length: {len(body)}") + body
    for asked in ("odd", url):
        tab = there.open(client_id=asked)
        tab.ask(
            "Emulation.setDeviceMetricsOverride", width=360, height=640, deviceScaleFactor=1, mobile=False
        )
        shown = str(tab.run("document.body.innerText"))
        for hidden in ("\u202e", "\u200b"):
            assert hidden not in shown
        assert ("\\u{202E}evil\\u{200B}" in shown, HARM in shown) == (True, True)
        assert (lookalike if asked == "odd" else HOST) in shown
        assert tab.run("window.harm") is None
        assert tab.run("document.querySelectorAll('main script, img, iframe, main style').length") == 0
        assert tab.run("document.querySelectorAll('script').length") == 1
        wide = tab.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], wide
        isolated = "(one) => getComputedStyle(one).unicodeBidi === 'isolate'"
        assert tab.run(f"[...document.querySelectorAll('bdi')].every({isolated})")
        for button in (YES, NO):
            assert tab.run(
                f"(() => {{ const one = document.querySelector('{button}');"
                " one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
                " const [across, down] = [box.x + box.width / 2, box.y + box.height / 2];"
                " return document.elementFromPoint(across, down) === one; })()"
            )
        press(tab, NO)
        assert there.heard(tab)["error"] == "access_denied"


def test_a155_nothing_but_the_pages_own_script_runs_there_and_nobody_frames_or_holds_it(there: There) -> None:
    tab = there.open()
    tab.run(
        "window.seen = []; document.addEventListener('securitypolicyviolation',"
        " (one) => seen.push(one.effectiveDirective));"
        " const add = (name, more) => document.body.append("
        "Object.assign(document.createElement(name), more));"
        " add('script', {textContent: 'window.harm = 1'});"
        f" add('script', {{src: {json.dumps(there.client.origin)}}});"
        f" add('img', {{src: {json.dumps(there.client.origin)}}});"
        f" add('iframe', {{src: {json.dumps(there.client.origin)}}});"
    )
    blocked = ["frame-src", "img-src", "script-src-elem", "script-src-elem"]
    until(lambda: looked(tab, "window.seen.toSorted()") == blocked, "all four are blocked")
    assert tab.run("window.harm") is None
    page = str(tab.run("location.href"))
    there.client.says = html(f'<title>evil</title><iframe src="{page}"></iframe>')
    other = there.browser.tab(f"{there.client.origin}/evil")
    ready = "document.title === 'evil' && document.readyState"
    until(lambda: looked(other, ready) == "complete", "the other page is there")
    tree = other.ask("Page.getFrameTree")["frameTree"]
    assert [one["frame"]["url"] for one in tree["childFrames"]] == ["chrome-error://chromewebdata/"]
    opened = f"window.held = window.open({json.dumps(page)}); null"
    other.ask("Runtime.evaluate", expression=opened, userGesture=True)
    until(lambda: looked(other, "window.held.closed") is True, "who opened it has no hand on it")
    there.client.says = html("thanks")


def test_a_double_click_two_tabs_and_the_way_back_bring_one_code(there: There) -> None:
    before = len(there.codes)
    tab = there.open()
    there.choose(tab)
    press(tab, YES, times=2)
    there.heard(tab)
    assert len(there.codes) == before + 1
    tab.run("history.back()")
    until(lambda: looked(tab, TOLD) == "This can not go on", "the way back leads to an answered request")
    assert "consent-answered" in str(looked(tab, "document.body.textContent"))
    first = there.open()
    second = there.browser.tab(str(first.run("location.href")))
    until(lambda: "May a program" in str(looked(second, TOLD)), "the page is there twice")
    for one in (first, second):
        there.choose(one)
    press(first, YES)
    press(second, YES)
    until(lambda: len(there.codes) == before + 2, "one of them goes on")
    ended = "May a program"
    until(lambda: all(ended not in str(looked(one, TOLD)) for one in (first, second)), "both have ended")
    assert len(there.codes) == before + 2


def test_a_sign_in_that_ended_under_the_page_answers_nothing_and_is_made_anew_from_there(
    there: There,
) -> None:
    tab, before = there.open(), len(there.codes)
    there.choose(tab)
    with client(there.socket) as one:
        for row in one.ask(ListSessions(), SessionRows).rows:
            one.ask(EndSession(session=row.session), Done)
    press(tab, YES)
    until(lambda: looked(tab, TOLD) == "This can not go on", "nothing was answered")
    assert len(there.codes) == before
    press(tab, 'a[href^="/oauth/authorize/"]')
    there.sign_in(tab)
    there.choose(tab)
    press(tab, YES)
    assert "code" in there.heard(tab)
