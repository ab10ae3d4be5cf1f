"""Serves the page of consent: a request begins, its browser waits, and goes on to the client.

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
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.core.errors import TaskboundError
from taskbound.core.token.authorization.errors import AnsweredError
from taskbound.surfaces.network.browser import Cookies, require_posted
from taskbound.surfaces.network.consent.browser import (
    ASK,
    cookie,
    methods_of,
    name_of,
    read_browser,
    require_navigated,
    require_own_script,
)
from taskbound.surfaces.network.consent.page import (
    HEADERS,
    KIND,
    SCRIPT,
    STYLE,
    answered_page,
    asking_page,
    headers_of,
    problem_page,
)
from taskbound.surfaces.network.form import BadFormError, read_form
from taskbound.surfaces.network.head import read_pairs
from taskbound.surfaces.network.problem import problem_of
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
    from taskbound.surfaces.network.link import Link


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
