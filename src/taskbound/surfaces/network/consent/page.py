"""The consent page and how it is served.

Of `page`:
1. Foreign text is escaped, invisible characters are written out, its direction is isolated, and its source is
   named. It never appears in a script, style, address or attribute.
2. Only the page's own script and style run; no framing, caching, referrers or opener. A page with a form
   sends its origin as referrer, because browsers otherwise omit `Origin`.
3. Without script the page reloads itself and has a button.
4. A person signed in as the client requires chooses a task; no choice is preset, so one click admits no
   client.
5. A client that asks to act as the person is shown as such: its rights, duration, and that no task limits it.
   Consent needs a checkbox.
Of `serving`:
1. An error before client and redirect URI are known is shown only; the daemon alone names the redirect URI.
2. A browser at another name than the API's is redirected to that first, because cookies belong to a name. A
   request begins with a redirect to its own page, so that a reload does not begin another.
3. Every answer here is a page, also a refusal.
4. A form's content goes to the daemon whole, which checks sign-in and form. A refused person can return to
   the page; a second submit leads to the first one's result, so that the client receives it.
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
    """Returns the headers of a page (rule 2); `posts` for one with a form."""
    return (*_SAID, ("Referrer-Policy", "same-origin" if posts else "no-referrer"))


HEADERS: Final = headers_of()
"""Those of a page without a form."""


def asking_page(asking: Asking, choosing: Choosing, path: str) -> bytes:
    """Returns the page of a waiting request; `choosing` has what the page offers, `path` is its own."""
    stands_for = (
        f"<bdi>{_text(asking.host)}</bdi>, whose document at <bdi>{_text(asking.client)}</bdi> describes it"
        if asking.host
        else f"the operator of this Taskbound: it is registered here as <bdi>{_text(asking.client)}</bdi>"
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
        f"{'' if choosing.person else again}"  # a page in use is never reloaded
        f'<script src="{SCRIPT}" type="module"></script>'
    )
    return _page(body, refresh)


def answered_page(path: str) -> bytes:
    """Returns the page that continues by itself after a form was taken.

    A redirect would fall under `form-action`, and the client is another origin.
    """
    body = f"""
<main>
<h1>You have answered</h1>
<p><a href="{_text(path)}">Go on</a></p>
</main>"""
    return _page(body, _at_once(path))


def _at_once(path: str) -> str:
    return f'<meta http-equiv="refresh" content="0; url={_text(path)}">'


def _what(asking: Asking) -> str:
    if asking.agent:
        return f"<dt>The agent that it wants to act as</dt><dd><bdi>{_text(asking.agent)}</bdi></dd>"
    return f"""<dt>As whom it wants to act</dt><dd><strong>As you.</strong> It may do whatever you may do over
this API, in your name. No task bounds that.</dd>
<dt>How long</dt><dd>{LONGEST // 60} minutes from when it fetches its token, and not longer than you stay
signed in here</dd>"""


def _in_a_terminal(asking: Asking) -> str:
    there = "There you choose the task in which it may act," if asking.agent else "There you say yes to that,"
    return f"""
<p>To answer, type this in a terminal of your own. {there}
or say no:</p>
<pre>taskbound token consent {_text(asking.typed)}</pre>
<p><strong>Type it only if it was you who just started this, in this browser.</strong> Anyone who sends you
such a code, or asks you for it, wants to act in your name.</p>"""


def _signed_in(asking: Asking, choosing: Choosing, path: str) -> str:
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
    return f"""
<form method="post" action="{_text(path)}">
<input type="hidden" name="form" value="{_text(choosing.form)}">
<label><input type="checkbox" name="choice" value="person:" required>
I started this just now in this browser, and it may act as <bdi>{_text(choosing.person)}</bdi>.</label>
<button name="answer" value="consent">Let it act as me</button>
<button name="answer" value="deny" formnovalidate>No, it may not act</button>
</form>"""


def _unmet(choosing: Choosing, path: str) -> str:
    return f"""
<form method="post" action="{_text(path)}">
<input type="hidden" name="form" value="{_text(choosing.form)}">
<button name="answer" value="unmet">I can not sign in so: tell the program</button>
</form>"""


def problem_page(problem: Problem, *, path: str = "", answered: bool = False) -> bytes:
    """Returns the page of a refusal.

    `path` is the page to return to, empty for none; `answered` continues there to the earlier result.
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
    return escape(escape_text(words), quote=True)


_log = logging.getLogger(__name__)
FILES: Final = {SCRIPT: "text/javascript; charset=utf-8", STYLE: "text/css; charset=utf-8"}
"""The files that the pages load, with their media types."""
_PATIENCE: Final = 15.0
_ON: Final = 303
_ANSWERS: Final[Mapping[str, Literal["consent", "deny", "unmet"]]] = {
    "consent": "consent",
    "deny": "deny",
    "unmet": "unmet",
}


def label_of(path: str) -> str:
    """Returns the metrics label of a page, free of the browser's input."""
    asked, state = name_of(path)
    return f"{ASK}/{{asked}}{'/state' if state else ''}" if asked else path


class ConsentPages:
    """Serves the pages in one process."""

    methods_of = staticmethod(methods_of)

    def __init__(self, link: Link, origin: str) -> None:
        self._link = link
        self._origin, self._host = origin, origin.partition("://")[2]
        self._cookies = Cookies(origin)
        self._secured = origin.startswith("https://")
        here = files("taskbound.surfaces.network.consent")
        self.files = {path: here.joinpath(path.rpartition("/")[2]).read_bytes() for path in FILES}

    async def serve(self, head: Head, body: bytes, reply: Reply) -> None:
        """Answers a request for a page (rule 3)."""
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
        look = LookInPage(namespace=_space(ask.browser), asked=ask.asked, browser=_secret(ask.browser))
        answer = await self._link.ask(look, self._shown(head, reply), patience=_PATIENCE)
        if isinstance(answer, Choosing):
            page = asking_page(asking, answer, head.path)
            reply.give(page, kind=KIND, headers=headers_of(posts=b"<form " in page))
        else:
            _show(_fault(answer), reply)

    async def _answer(self, asked: str, head: Head, body: bytes, reply: Reply) -> None:
        require_posted(head.headers, self._origin)
        known = read_browser(head.headers, secured=self._secured)
        form = read_form(head.headers, dict(read_pairs(head.said)), body)
        kind, _, name = form.pop("choice", "").partition(":")
        told = _ANSWERS.get(form.pop("answer", ""))
        if told is None or kind not in {"", "task", "template", "person"}:
            raise BadFormError("the form is not one of this page")
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
            raise BadFormError("the form has an unknown field")
        answer = await self._link.ask(ask, self._shown(head, reply), patience=_PATIENCE)
        if isinstance(answer, Done):
            reply.give(answered_page(head.path), kind=KIND, headers=HEADERS)
        else:
            _show(_fault(answer), reply, path=head.path)

    def _shown(self, head: Head, reply: Reply) -> Shown:
        return Shown(
            method=head.verb,
            uri=self._origin + head.path,
            address=reply.address,
            browser=self._cookies.read(head.headers, "session"),
        )

    async def _state(self, asked: str, head: Head, reply: Reply) -> None:
        ask = AwaitConsent(asked=asked, browser=read_browser(head.headers, secured=self._secured))
        answer = await self._link.ask(ask, None, patience=_PATIENCE)
        if isinstance(answer, Asking):
            reply.give(msgspec.json.encode({"answered": answer.answered}))
        else:
            reply.refuse(_fault(answer))


def _secret(known: str) -> str:
    return known.partition(".")[0]


def _space(known: str) -> str:
    return known.partition(".")[2]


def _go(there: str, reply: Reply, *headers: tuple[str, str]) -> None:
    reply.give(b"", kind=KIND, status=_ON, headers=(("Location", there), *HEADERS, *headers))


def _show(error: TaskboundError | Fault, reply: Reply, *, path: str = "") -> None:
    """`path` is the page whose form was refused (rule 4)."""
    refusal = problem_of(error, "")
    told = [one for one in refusal.headers if one[0] != "WWW-Authenticate"]
    answered = path != "" and error.code == AnsweredError.code
    body = problem_page(refusal.problem, path=path, answered=answered)
    reply.give(body, kind=KIND, status=refusal.problem.status, headers=(*told, *HEADERS))


def _fault(answer: object) -> TaskboundError | Fault:
    return answer if isinstance(answer, Fault) else TaskboundError("the daemon said something else")
