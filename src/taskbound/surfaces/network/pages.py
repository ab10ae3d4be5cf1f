"""Pages on which people sign in and out: what a browser asks goes to the daemon, and its answer is a page.

1. A page is found by its path before anything else is; none is an operation of the routes' table. It is read
   with GET, and what changes something is posted.
2. What a browser showed goes to the daemon with the page's own message and with nothing else: who is signed
   in is found there.
3. Where a browser goes next is said by the daemon: an issuer's page, or one of ours.
4. Whatever stands in a page was written as text before: names, issuers and words of refusals alike.
5. A browser that came by another name than the API's own is sent to that one first: cookies are a name's.
"""

from __future__ import annotations

import logging
import re
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from taskbound.core.action import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.network.browser import Cookies, headers_of, require_posted
from taskbound.surfaces.network.consent.browser import require_navigated
from taskbound.surfaces.network.errors import BadQueryError
from taskbound.surfaces.network.form import read_form
from taskbound.surfaces.network.head import read_pairs
from taskbound.surfaces.network.problem import problem_of
from taskbound.wire.account import (
    BeginSignIn,
    EndSignIn,
    ShowSignIn,
    SignInBegun,
    SignInShown,
    SignInTaken,
    TakeSignIn,
)
from taskbound.wire.connection import Done, Fault
from taskbound.wire.network import Shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.surfaces.network.answer import Reply
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.link import Link
    from taskbound.wire.network import PageAsk


_log = logging.getLogger(__name__)
STYLE_PATH: Final = "/pages.css"
STYLE: Final = b"""\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 38rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem }
code { overflow-wrap: anywhere }
button { font: inherit; padding: .3rem .9rem }
.why { border-left: 4px solid #b00020; padding-left: .8rem }
"""
_HTML: Final = "text/html; charset=utf-8"
_SEE: Final = 303
_MISSING: Final = 404
_FORBIDDEN: Final = 403
_WAITS: Final = 60.0
"""Seconds that the daemon may take, where it waits for an issuer."""
_SOON: Final = 15.0
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_APPROVAL: Final = re.compile(r"apr_[a-z0-9_]{1,60}", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_-]{12}", re.ASCII)
_AGE: Final = re.compile(r"[0-9]{1,8}", re.ASCII)
_WANTED: Final = frozenset({"return", "namespace", "max_age", "acr"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page that a request asks for."""

    path: str
    """As `routes.PAGES` has it."""
    verb: str
    issuer: str = ""
    approval: str = ""


def find_page(path: str) -> Found | None:
    """The page at this path (rule 1); None where there is none."""
    match path.split("/"):
        case ["", "sign-in"]:
            return Found(path="/sign-in", verb="GET")
        case ["", "sign-out"]:
            return Found(path="/sign-out", verb="POST")
        case ["", "approvals", approval] if _APPROVAL.fullmatch(approval):
            return Found(path="/approvals/{approval}", verb="GET, POST", approval=approval)
        case ["", "sign-in", issuer] if _NAME.fullmatch(issuer):
            return Found(path="/sign-in/{issuer}", verb="GET", issuer=issuer)
        case ["", "sign-in", "callback", issuer] if _NAME.fullmatch(issuer):
            return Found(path="/sign-in/callback/{issuer}", verb="GET", issuer=issuer)
        case _:
            return None


class SignInPages:
    """Answers what browsers ask."""

    def __init__(self, link: Link, origin: str) -> None:
        """Ask the daemon through this link; the API is known by this origin."""
        self._link = link
        self._origin = origin
        self._host = urlsplit(origin).netloc
        self._cookies = Cookies(origin)

    async def serve(self, head: Head, found: Found, body: bytes, reply: Reply) -> None:
        """Answer one request; what is refused is a page too."""
        try:
            await self._serve(head, found, body, reply)
        except TaskboundError as error:
            self._refuse(error, reply)
        except Exception:  # noqa: BLE001 -- the surface's outermost edge
            _log.exception("a page could not be served")
            self._refuse(TaskboundError("this should not have happened"), reply)

    async def _serve(self, head: Head, found: Found, body: bytes, reply: Reply) -> None:
        require_navigated(head.headers)
        query = _query(head.said)
        if head.headers.get("host", "").lower() != self._host and found.verb == "GET":
            self._go(f"{self._origin}{head.path}{f'?{head.said}' if head.said else ''}", reply)  # 5
            return
        match found.path:
            case "/sign-in":
                await self._choose(head, query, reply)
            case "/sign-in/{issuer}":
                await self._begin(head, found.issuer, query, reply)
            case "/sign-in/callback/{issuer}":
                await self._take(head, found.issuer, query, reply)
            case _:
                await self._end(head, query, body, reply)

    async def _choose(self, head: Head, query: Mapping[str, str], reply: Reply) -> None:
        """Where people sign in, and who is signed in."""
        wanted = _wanted(query)
        namespace = wanted.get("namespace", "default")
        answer = await self._ask(ShowSignIn(namespace=namespace), head, reply, _SOON)
        if not isinstance(answer, SignInShown):
            self._refuse(_fault(answer), reply)
            return
        told = f"?{urlencode(wanted)}" if wanted else ""
        if "return" in wanted and len(answer.issuers) == 1:
            self._go(f"{self._origin}/sign-in/{answer.issuers[0]}{told}", reply)
            return
        parts = [_who(answer, namespace)] if answer.person else []
        if answer.issuers:
            links = (
                f'<li><a href="/sign-in/{escape(one)}{escape(told)}">{text_of(one)}</a></li>'
                for one in answer.issuers
            )
            parts.append(f"<p>Sign in at:</p><ul>{''.join(links)}</ul>")
        else:
            parts.append("<p>No issuer is known here at which people sign in.</p>")
        self._page("Sign in", "".join(parts), reply, posts=True)

    async def _begin(self, head: Head, issuer: str, query: Mapping[str, str], reply: Reply) -> None:
        """Send the browser to an issuer (rule 3)."""
        wanted = _wanted(query)
        age = wanted.get("max_age", "")
        ask = BeginSignIn(
            namespace=wanted.get("namespace", "default"),
            issuer=issuer,
            back=wanted.get("return", "/sign-in"),
            max_age=int(age) if age else -1,
            acr=wanted.get("acr", ""),
        )
        answer = await self._ask(ask, head, reply, _WAITS)
        if not isinstance(answer, SignInBegun):
            self._refuse(_fault(answer), reply)
            return
        held = self._cookies.write(_held(answer.state), answer.secret, answer.seconds)
        self._go(answer.url, reply, held)

    async def _take(self, head: Head, issuer: str, query: Mapping[str, str], reply: Reply) -> None:
        """Take a browser back from an issuer."""
        state = query.get("state", "")
        held = _held(state)
        ask = TakeSignIn(
            namespace=space_of(state),
            issuer=issuer,
            state=state,
            code=query.get("code", ""),
            iss=query.get("iss", ""),
            error=query.get("error", ""),
            secret=self._cookies.read(head.headers, held) if held else "",
        )
        answer = await self._ask(ask, head, reply, _WAITS)
        over = (self._cookies.write(held, "", 0),) if held else ()
        if isinstance(answer, SignInTaken):
            session = self._cookies.write("session", answer.secret, answer.seconds)
            self._go(f"{self._origin}{answer.back}", reply, session, *over)  # 3
        else:
            self._refuse(_fault(answer), reply, *over)

    async def _end(self, head: Head, query: Mapping[str, str], body: bytes, reply: Reply) -> None:
        """Sign whoever it is out of this browser."""
        require_posted(head.headers, self._origin)
        form = read_form(head.headers, query, body)
        namespace = space_of(self._cookies.read(head.headers, "session"))
        if set(form) - {"namespace"}:
            raise BadQueryError("the form has a field that nobody here reads")
        answer = await self._ask(EndSignIn(namespace=namespace), head, reply, _SOON)
        over = self._cookies.write("session", "", 0)
        if isinstance(answer, Done):
            self._go(f"{self._origin}/sign-in", reply, over)
        else:
            self._refuse(_fault(answer), reply, over)

    async def _ask(self, ask: PageAsk, head: Head, reply: Reply, patience: float) -> object:
        """The daemon's answer to what a page asks (rule 2)."""
        shown = Shown(
            method=head.verb,
            uri=self._origin + head.path,
            address=reply.address,
            browser=self._cookies.read(head.headers, "session"),
        )
        return await self._link.ask(ask, shown, patience=patience)  # type: ignore[arg-type] # each kind is one of `Ask`

    def _go(self, url: str, reply: Reply, *headers: tuple[str, str]) -> None:
        reply.give(b"", kind=_HTML, status=_SEE, headers=(("Location", url), *headers, *headers_of()))

    def _page(self, title: str, body: str, reply: Reply, *, posts: bool = False) -> None:
        reply.give(render(title, body), kind=_HTML, headers=headers_of(posts=posts))

    def _refuse(self, error: TaskboundError | Fault, reply: Reply, *headers: tuple[str, str]) -> None:
        status = problem_of(error, "").problem.status
        reply.give(
            render("That did not work", why(error)),
            kind=_HTML,
            status=_FORBIDDEN if status == _MISSING else status,
            headers=(*headers, *headers_of()),
        )


def render(title: str, body: str) -> bytes:
    """A page; the body is HTML already, in which every text was escaped."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{text_of(title)} · Taskbound</title><link rel="stylesheet" href="{STYLE_PATH}"></head>'
        f"<body><h1>{text_of(title)}</h1>{body}</body></html>\n"
    ).encode()


def text_of(text: str) -> str:
    """A text as it stands in a page (rule 4): what can't be seen is written out, then markup."""
    return escape(escape_text(text))


def why(error: TaskboundError | Fault) -> str:
    """What a page says of a refusal."""
    advice = f"<p>{text_of(error.advice)}</p>" if error.advice else ""
    return (
        f'<p class="why">{text_of(error.message)} <code>[{text_of(error.code)}]</code></p>{advice}'
        '<p><a href="/sign-in">Sign in</a></p>'
    )


def _who(shown: SignInShown, namespace: str) -> str:
    minutes = max(1, shown.seconds // 60)
    return (
        f"<p>You are signed in as <strong>{text_of(shown.person)}</strong> by {text_of(shown.issuer)},"
        f" for {minutes} minutes more.</p>"
        f'<form method="post" action="/sign-out"><input type="hidden" name="namespace"'
        f' value="{escape(namespace)}"><button>Sign out</button></form>'
    )


def _wanted(query: Mapping[str, str]) -> dict[str, str]:
    """What is wanted of a sign-in.

    Raises:
        BadQueryError: Something else is said, or in another form.
    """
    for name in query:
        if name not in _WANTED:
            raise BadQueryError("a sign-in takes `return`, `namespace`, `max_age` and `acr`")
    if query.get("max_age", "0") and _AGE.fullmatch(query.get("max_age", "0")) is None:
        raise BadQueryError("`max_age` is a whole number of seconds")
    return {name: value for name, value in query.items() if value}


def _query(text: str) -> dict[str, str]:
    """The parameters of a page.

    Raises:
        BadQueryError: They can't be read in one way, or one stands twice.
    """
    pairs = read_pairs(text)
    if len(dict(pairs)) != len(pairs):
        raise BadQueryError("a parameter of the query stands twice")
    return dict(pairs)


def _held(state: str) -> str:
    """The name of the cookie of a sign-in; empty where it can have none."""
    tag = state.partition(".")[2][:12]
    return f"began-{tag}" if _TAG.fullmatch(tag) else ""


def space_of(text: str) -> str:
    """The namespace that a browser's secret begins with; `default` without."""
    found = text.partition(".")[0]
    return found if _NAME.fullmatch(found) else "default"


def _fault(answer: object) -> TaskboundError | Fault:
    return answer if isinstance(answer, Fault) else TaskboundError("this should not have happened")
