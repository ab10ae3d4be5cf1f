"""The page of consent and how it is served.

Of `page`:

1. All that is not ours stands in it as text: escaped, what a reader would not see of it written out, isolated
   from the direction of what is around it, and marked as whose word it is. Nothing of it is in a script, a
   style, an address or an attribute.
2. Nothing runs but the page's own script, nothing is loaded but its own style, nobody frames it, keeps it, or
   hears where it was left for. Who opened it has no hand on it.
   A page with a form tells its own origin where it was left from: without that, browsers send no `Origin`.
3. It works without its script: then it looks again by itself, and there is something to press.
4. Whoever is signed in as the client wants chooses a task on the page. Nothing is chosen beforehand, so that
   no single press lets anybody in.
5. A client that asks to act as the person is told of as just that: what it may then, for how long, and that
   no task bounds it. Whoever says yes ticks that they mean it.

Of `serving`:

1. What is wrong before client and redirect URI are known is shown, and sent nowhere. What can be told to the
   client is told at its redirect URI: the daemon alone says where that is.
2. A browser that came by another name than the API's own is sent to that one first: cookies are a name's. A
   request begins by being sent on to a page of its own, which is as good when it is loaded again: none
   begins a second time by that.
3. Everything that is shown here is a page, a refusal too.
4. What is answered on a page is posted by that page, and goes on whole; who answers, and whether it is their
   page's form, the daemon finds out. Who is refused can go back to the page. Who answered before, and presses
   twice, is led to what came of it: else the client would never hear of the first time.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.core.action import escape_text
from taskbound.core.errors import TaskboundError
from taskbound.core.token.authorization.errors import AnsweredError
from taskbound.core.token.values import LONGEST
from taskbound.surfaces.network.consent.browser import (
    ASK,
    cookie,
    methods_of,
    name_of,
    read_browser,
    require_navigated,
    require_own_script,
)
from taskbound.surfaces.network.head import read_pairs
from taskbound.surfaces.network.pages import Cookies, require_posted
from taskbound.surfaces.network.problem import BadFormError, problem_of, read_form
from taskbound.wire.authorization import (
    AnswerInPage,
    AskConsent,
    Asking,
    AwaitConsent,
    Choosing,
    LookInPage,
    Onward,
)
from taskbound.wire.connection import Done, Fault
from taskbound.wire.network import Shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.surfaces.network.answer import Reply
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.problem import Link, Problem


KIND: Final = "text/html; charset=utf-8"
SCRIPT: Final = "/oauth/consent.js"
STYLE: Final = "/oauth/consent.css"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
_SAID: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_AGAIN: Final = 5
"""Seconds between two looks of a page without its script (rule 3)."""


def headers_of(*, posts: bool = False) -> tuple[tuple[str, str], ...]:
    """What a page says of itself (rule 2); `posts` for one with a form."""
    return (*_SAID, ("Referrer-Policy", "same-origin" if posts else "no-referrer"))


HEADERS: Final = headers_of()
"""Those of a page without a form."""


def asking_page(asking: Asking, choosing: Choosing, path: str) -> bytes:
    """The page of a request that waits.

    Args:
        asking: The request.
        choosing: What the page offers besides.
        path: The page's own path.
    """
    stands_for = (
        f"<bdi>{_text(asking.host)}</bdi>, whose document at <bdi>{_text(asking.client)}</bdi> describes it"
        if asking.host
        else f"whoever runs this Taskbound: it is registered here as <bdi>{_text(asking.client)}</bdi>"
    )
    here = " (a program on the computer of this browser)" if asking.redirect in _HERE else ""
    goes_to = f"<bdi>{_text(asking.redirect)}</bdi>{here}"
    until = datetime.fromtimestamp(asking.until // 1_000_000, tz=UTC).strftime("%H:%M:%S UTC")
    body = f"""
<main data-asked="{_text(path)}">
<h1>{"May a program act as an agent?" if asking.agent else "May a program act as you?"}</h1>
<dl>
<dt>The program calls itself</dt><dd><bdi>{_text(asking.shown)}</bdi> (its own word)</dd>
<dt>Who answers for it</dt><dd>{stands_for}</dd>
<dt>Your answer goes to</dt><dd>{goes_to}</dd>
{_what(asking)}
<dt>Where it wants to act</dt><dd><bdi>{_text(asking.resource)}</bdi></dd>
</dl>
{_signed_in(asking, choosing, path)}{_in_a_terminal(asking) if choosing.terminal else ""}
<p id="said" role="status">It waits until {until}. This page goes on by itself once you have answered.</p>
<p><a href="{_text(path)}">I have answered: go on</a></p>
</main>"""
    again = f'<noscript><meta http-equiv="refresh" content="{_AGAIN}; url={_text(path)}"></noscript>\n'
    refresh = (
        f"{'' if choosing.person else again}"  # nobody's page is loaded anew under their hands
        f'<script src="{SCRIPT}" type="module"></script>'
    )
    return _page(body, refresh)


def answered_page(path: str) -> bytes:
    """The page that goes on by itself from a form that was taken.

    It is no redirection: browsers hold all that follows a form to `form-action`, and the client is elsewhere.
    """
    body = f"""
<main>
<h1>You have answered</h1>
<p><a href="{_text(path)}">Go on</a></p>
</main>"""
    return _page(body, _at_once(path))


def _at_once(path: str) -> str:
    """What has a page go on by itself."""
    return f'<meta http-equiv="refresh" content="0; url={_text(path)}">'


def _what(asking: Asking) -> str:
    """What it asks for (rule 5)."""
    if asking.agent:
        return f"<dt>The agent that it wants to act as</dt><dd><bdi>{_text(asking.agent)}</bdi></dd>"
    return f"""<dt>As whom it wants to act</dt><dd><strong>As you.</strong> It may do whatever you may do over
this API, in your name. No task bounds that.</dd>
<dt>How long</dt><dd>{LONGEST // 60} minutes from when it fetches its token, and not longer than you stay
signed in here</dd>"""


def _in_a_terminal(asking: Asking) -> str:
    """How the request is answered in a terminal."""
    there = "There you choose the task in which it may act," if asking.agent else "There you say yes to that,"
    return f"""
<p>To answer, type this in a terminal of your own. {there}
or say no:</p>
<pre>taskbound token consent {_text(asking.typed)}</pre>
<p><strong>Type it only if it was you who just started this, in this browser.</strong> Whoever sends you
such a code, or asks you for it, wants to act in your name.</p>"""


def _signed_in(asking: Asking, choosing: Choosing, path: str) -> str:
    """How the request is answered on the page, or where to sign in for that (rules 4 and 5)."""
    if not choosing.sign_in:
        return ""
    link = f'<a href="{_text(choosing.sign_in)}">'
    if not choosing.person:
        wanted = "" if choosing.terminal else _unmet(choosing, path)
        return f"<p>{link}Sign in</a> to answer here.</p>{wanted}"
    who = f"<p>You are signed in as <bdi>{_text(choosing.person)}</bdi>.</p>"
    if not choosing.met:
        words = "The program asks for another sign-in than that."
        return f"{who}<p>{words} {link}Sign in anew</a>.</p>{_unmet(choosing, path)}"
    if not asking.agent:
        return who + _as_you(choosing, path)
    tasks = [
        (f"task:{one.task}", f"In the task that runs: {one.purpose} ({one.task})") for one in choosing.tasks
    ]
    fresh = [
        (f"template:{one.template}", f"In a new task, made of the template {one.template}")
        for one in choosing.templates
    ]
    rows = "\n".join(
        f'<label><input type="radio" name="choice" value="{_text(value)}" required>'
        f" <bdi>{_text(words)}</bdi></label>"
        for value, words in [*tasks, *fresh]
    )
    purpose = (
        '<label>Why a new task is started: <input name="purpose" maxlength="500" size="50"></label>'
        if fresh
        else ""
    )
    let_in = '<button name="answer" value="consent">Let it act in this task</button>\n' if rows else ""
    none = "" if rows else "<p>You have no task of this agent that runs, and there is no template.</p>"
    return f"""{who}
<form method="post" action="{_text(path)}">
<input type="hidden" name="form" value="{_text(choosing.form)}">
<fieldset><legend>Where may it act?</legend>
{rows}{none}
{purpose}
</fieldset>
{let_in}<button name="answer" value="deny" formnovalidate>No, it may not act</button>
</form>"""


def _as_you(choosing: Choosing, path: str) -> str:
    """How somebody says yes to a client that asks to act as them (rule 5)."""
    return f"""
<form method="post" action="{_text(path)}">
<input type="hidden" name="form" value="{_text(choosing.form)}">
<label><input type="checkbox" name="choice" value="person:" required>
I started this just now in this browser, and it may act as <bdi>{_text(choosing.person)}</bdi>.</label>
<button name="answer" value="consent">Let it act as me</button>
<button name="answer" value="deny" formnovalidate>No, it may not act</button>
</form>"""


def _unmet(choosing: Choosing, path: str) -> str:
    """Something to press for whoever can't sign in as the client wants."""
    return f"""
<form method="post" action="{_text(path)}">
<input type="hidden" name="form" value="{_text(choosing.form)}">
<button name="answer" value="unmet">I can not sign in so: tell the program</button>
</form>"""


def problem_page(problem: Problem, *, path: str = "", answered: bool = False) -> bytes:
    """The page that says why nothing is asked, or nothing was answered.

    Args:
        problem: Why.
        path: The page that the person came from, and can go back to; empty where there is none.
        answered: Whether that one was answered before: then it goes on there by itself, to what came of it.
    """
    advice = f"\n<p>{_text(problem.advice)}</p>" if problem.advice else ""
    back = f'\n<p><a href="{_text(path)}">Back to what is asked</a></p>' if path else ""
    return _page(
        f"\n<main>\n<h1>{'This was answered before' if answered else 'This can not go on'}</h1>\n"
        f"<p>{_text(problem.detail)}</p>{advice}{back}\n"
        f"<p><code>[{_text(problem.code)}]</code></p>\n</main>",
        _at_once(path) if answered else "",
    )


def _page(body: str, more: str = "") -> bytes:
    return f"""<!doctype html>
<html lang="en" dir="ltr" translate="no">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Taskbound</title>
<link rel="stylesheet" href="{STYLE}">
{more}
</head>
<body>{body}
</body>
</html>
""".encode("utf-8", "replace")


def _text(words: str) -> str:
    """Foreign words as nothing but text (rule 1)."""
    return escape(escape_text(words), quote=True)


_log = logging.getLogger(__name__)
FILES: Final = {SCRIPT: "text/javascript; charset=utf-8", STYLE: "text/css; charset=utf-8"}
"""What the pages load, and of which kind it is."""
_PATIENCE: Final = 15.0
_ON: Final = 303
_ANSWERS: Final[Mapping[str, Literal["consent", "deny", "unmet"]]] = {
    "consent": "consent",
    "deny": "deny",
    "unmet": "unmet",
}


def label_of(path: str) -> str:
    """What a page is counted as: nothing of it is the browser's own choice."""
    asked, state = name_of(path)
    return f"{ASK}/{{asked}}{'/state' if state else ''}" if asked else path


class ConsentPages:
    """Serves them in one process."""

    methods_of = staticmethod(methods_of)

    def __init__(self, link: Link, origin: str) -> None:
        """Ask the daemon through this; `origin` is how the process is known."""
        self._link = link
        self._origin, self._host = origin, origin.partition("://")[2]
        self._cookies = Cookies(origin)
        self._secured = origin.startswith("https://")
        here = files("taskbound.surfaces.network.consent")
        self.files = {path: here.joinpath(path.rpartition("/")[2]).read_bytes() for path in FILES}

    async def serve(self, head: Head, body: bytes, reply: Reply) -> None:
        """Answer a request for a page (rule 3)."""
        try:
            await self._serve(head, body, reply)
        except TaskboundError as error:
            _show(error, reply)
        except Exception:  # noqa: BLE001 -- the surface's outermost edge
            _log.exception("a page could not be served")
            _show(TaskboundError("this should not have happened"), reply)

    async def _serve(self, head: Head, body: bytes, reply: Reply) -> None:
        asked, state = name_of(head.path)
        if not asked:
            require_navigated(head.headers)
            read_pairs(head.said)
            if head.headers.get("host", "").lower() != self._host:
                _go(f"{self._origin}{head.path}?{head.said}", reply)  # 2
                return
            await self._begin(head, reply)
        elif head.verb == "POST":
            require_navigated(head.headers)
            await self._answer(asked, head, body, reply)
        elif state:
            require_own_script(head.headers)
            await self._state(asked, head, reply)
        else:
            require_navigated(head.headers)
            await self._wait(asked, head, reply)

    async def _begin(self, head: Head, reply: Reply) -> None:
        """Have a request wait, and send its browser to its page (rules 1 and 2)."""
        ask = AskConsent(parameters=tuple(read_pairs(head.said)), address=reply.address)
        answer = await self._link.ask(ask, None, patience=_PATIENCE)
        match answer:
            case Asking():
                known = cookie(answer.asked, answer.browser, secured=self._secured)
                _go(f"{ASK}/{answer.asked}", reply, known)
            case Onward():
                _go(answer.to, reply)
            case _:
                _show(_fault(answer), reply)

    async def _wait(self, asked: str, head: Head, reply: Reply) -> None:
        """The page of a request, or the way on from it."""
        ask = AwaitConsent(asked=asked, browser=read_browser(head.headers, secured=self._secured), take=True)
        answer = await self._link.ask(ask, None, patience=_PATIENCE)
        match answer:
            case Asking():
                await self._show(answer, ask, head, reply)
            case Onward():
                _go(answer.to, reply)
            case _:
                _show(_fault(answer), reply)

    async def _show(self, asking: Asking, ask: AwaitConsent, head: Head, reply: Reply) -> None:
        """The page of a request that waits, with what whoever is signed in can answer there."""
        look = LookInPage(namespace=_space(ask.browser), asked=ask.asked, browser=_secret(ask.browser))
        answer = await self._link.ask(look, self._shown(head, reply), patience=_PATIENCE)
        if isinstance(answer, Choosing):
            page = asking_page(asking, answer, head.path)
            reply.give(page, kind=KIND, headers=headers_of(posts=b"<form " in page))
        else:
            _show(_fault(answer), reply)

    async def _answer(self, asked: str, head: Head, body: bytes, reply: Reply) -> None:
        """Take what a form of the page says (rule 4)."""
        require_posted(head.headers, self._origin)
        known = read_browser(head.headers, secured=self._secured)
        form = read_form(head.headers, dict(read_pairs(head.said)), body)
        kind, _, name = form.pop("choice", "").partition(":")
        told = _ANSWERS.get(form.pop("answer", ""))
        if told is None or kind not in {"", "task", "template", "person"}:
            raise BadFormError("the form is none of this page's")
        ask = AnswerInPage(
            namespace=_space(known),
            asked=asked,
            browser=_secret(known),
            form=form.pop("form", ""),
            answer=told,
            task=name if kind == "task" else "",
            template=name if kind == "template" else "",
            purpose=form.pop("purpose", ""),
            person=kind == "person",
        )
        if form:
            raise BadFormError("the form has a field that nobody here reads")
        answer = await self._link.ask(ask, self._shown(head, reply), patience=_PATIENCE)
        if isinstance(answer, Done):
            reply.give(answered_page(head.path), kind=KIND, headers=HEADERS)
        else:
            _show(_fault(answer), reply, path=head.path)

    def _shown(self, head: Head, reply: Reply) -> Shown:
        """What a browser showed, with who is signed in there."""
        return Shown(
            method=head.verb,
            uri=self._origin + head.path,
            address=reply.address,
            browser=self._cookies.read(head.headers, "session"),
        )

    async def _state(self, asked: str, head: Head, reply: Reply) -> None:
        """Whether a request was answered; the answer stays where it is."""
        ask = AwaitConsent(asked=asked, browser=read_browser(head.headers, secured=self._secured))
        answer = await self._link.ask(ask, None, patience=_PATIENCE)
        if isinstance(answer, Asking):
            reply.give(msgspec.json.encode({"answered": answer.answered}))
        else:
            reply.refuse(_fault(answer))


def _secret(known: str) -> str:
    """The secret of what a browser is known by."""
    return known.partition(".")[0]


def _space(known: str) -> str:
    """The namespace of what a browser is known by."""
    return known.partition(".")[2]


def _go(there: str, reply: Reply, *headers: tuple[str, str]) -> None:
    reply.give(b"", kind=KIND, status=_ON, headers=(("Location", there), *HEADERS, *headers))


def _show(error: TaskboundError | Fault, reply: Reply, *, path: str = "") -> None:
    """Show a refusal; `path` is the page whose form was refused (rule 4)."""
    refusal = problem_of(error, "")
    told = [one for one in refusal.headers if one[0] != "WWW-Authenticate"]
    answered = path != "" and error.code == AnsweredError.code
    body = problem_page(refusal.problem, path=path, answered=answered)
    reply.give(body, kind=KIND, status=refusal.problem.status, headers=(*told, *HEADERS))


def _fault(answer: object) -> TaskboundError | Fault:
    return answer if isinstance(answer, Fault) else TaskboundError("the daemon said something else")
