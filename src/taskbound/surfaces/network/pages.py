"""Browser pages for sign-in and approvals, and the checks of browser requests.

Of `pages`:
1. A page is found by its path first and is no operation of the routes. GET reads; changes are posted.
2. What a browser showed goes to the daemon with the page's own message only; the daemon finds the sign-in.
3. The daemon names the browser's next address: an issuer's page or one of ours.
4. Every text in a page is escaped: names, issuers and refusals.
5. A browser at another name than the API's is redirected to that first, because cookies belong to a name.
Of `approving`:
1. A person who is not signed in, or not as strongly or recently as the question needs, is sent to sign in and
   back (RFC 9470 §4 has this for programs).
2. A posted signature goes to the daemon whole, with what the browser showed; the daemon verifies it.
3. Every answer is a page, also a refusal; its text is escaped.
4. There is no script: the page contains the statement to sign as a file.
Of `browser`:
1. A change is posted by a page of exactly this origin: `Origin` is required, and the site must match where
   stated.
2. A cookie counts only under its whole name and once. Over TLS the name begins with `__Host-`, so no other
   host and no plain connection can have set it. Not all browsers accept that without TLS, so on loopback the
   name is plain; there another local server can read and set it, because cookies ignore ports.
3. Answers forbid scripts, frames, other sources and caching, and send no referrer; a page with a form sends
   its origin, because browsers otherwise omit `Origin`.
"""

from __future__ import annotations

import logging
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from taskbound.core.action import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.surfaces.http.errors import ForeignOriginError
from taskbound.surfaces.network.consent.browser import require_navigated
from taskbound.surfaces.network.errors import BadQueryError
from taskbound.surfaces.network.head import read_pairs
from taskbound.surfaces.network.problem import BadFormError, problem_of, read_form
from taskbound.wire.approval import AnswerOnPage, ApprovalPage, ApprovalSaid, LookAtApproval
from taskbound.wire.connection import Done, Fault
from taskbound.wire.identity import (
    BeginSignIn,
    EndSignIn,
    ShowSignIn,
    SignInBegun,
    SignInShown,
    SignInTaken,
    TakeSignIn,
)
from taskbound.wire.network import Shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.surfaces.network.answer import Reply
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.problem import Link
    from taskbound.wire.network import PageAsk


_VALUE: Final = re.compile(r"[A-Za-z0-9._~-]{1,512}", re.ASCII)
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FORBIDDEN: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


def require_posted(headers: Mapping[str, str], origin: str) -> None:
    """Raises ForeignOriginError unless a page of ours posted the request (rule 1)."""
    if headers.get("origin") != origin or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise ForeignOriginError("what is posted here comes from a page of ours")


class Cookies:
    """Reads and writes cookies of one origin (rule 2)."""

    def __init__(self, origin: str) -> None:
        self._secured = origin.startswith("https://")
        self._prefix = "__Host-taskbound-" if self._secured else "taskbound-"

    def read(self, headers: Mapping[str, str], name: str) -> str:
        """Returns the value of a cookie; empty if it is missing or repeated."""
        wanted = self._prefix + name
        parts = (one.strip(" \t").partition("=") for one in headers.get("cookie", "").split(";"))
        found = [value for own, _, value in parts if own == wanted]
        return found[0] if len(found) == 1 and _VALUE.fullmatch(found[0]) else ""

    def write(self, name: str, value: str, seconds: int) -> tuple[str, str]:
        """Returns the header that sets a cookie for so many seconds; 0 removes it."""
        secured = "; Secure" if self._secured else ""
        told = f"{self._prefix}{name}={value}; Path=/; Max-Age={seconds}{secured}; HttpOnly; SameSite=Lax"
        return "Set-Cookie", told


def headers_of(*, posts: bool = False) -> tuple[tuple[str, str], ...]:
    """Returns the headers of a page (rule 3); `posts` for one with a form."""
    return (*_FORBIDDEN, ("Referrer-Policy", "same-origin" if posts else "no-referrer"))


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
_PAGES_FORBIDDEN: Final = 403
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
    """The page that a request asks for."""

    path: str
    """As `routes.PAGES` has it."""
    verb: str
    issuer: str = ""
    approval: str = ""


def find_page(path: str) -> Found | None:
    """Returns the page at this path (rule 1), or None."""
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
    """Serves the sign-in pages."""

    def __init__(self, link: Link, origin: str) -> None:
        self._link = link
        self._origin = origin
        self._host = urlsplit(origin).netloc
        self._cookies = Cookies(origin)

    async def serve(self, head: Head, found: Found, body: bytes, reply: Reply) -> None:
        """Answers one request; a refusal is a page too."""
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
        require_posted(head.headers, self._origin)
        form = read_form(head.headers, query, body)
        namespace = space_of(self._cookies.read(head.headers, "session"))
        if set(form) - {"namespace"}:
            raise BadQueryError("the form has an unknown field")
        answer = await self._ask(EndSignIn(namespace=namespace), head, reply, _SOON)
        over = self._cookies.write("session", "", 0)
        if isinstance(answer, Done):
            self._go(f"{self._origin}/sign-in", reply, over)
        else:
            self._refuse(_fault(answer), reply, over)

    async def _ask(self, ask: PageAsk, head: Head, reply: Reply, patience: float) -> object:
        shown = Shown(
            method=head.verb,
            uri=self._origin + head.path,
            address=reply.address,
            browser=self._cookies.read(head.headers, "session"),
        )
        return await self._link.ask(ask, shown, patience=patience)

    def _go(self, url: str, reply: Reply, *headers: tuple[str, str]) -> None:
        reply.give(b"", kind=_HTML, status=_SEE, headers=(("Location", url), *headers, *headers_of()))

    def _page(self, title: str, body: str, reply: Reply, *, posts: bool = False) -> None:
        reply.give(render(title, body), kind=_HTML, headers=headers_of(posts=posts))

    def _refuse(self, error: TaskboundError | Fault, reply: Reply, *headers: tuple[str, str]) -> None:
        status = problem_of(error, "").problem.status
        reply.give(
            render("That did not work", why(error)),
            kind=_HTML,
            status=_PAGES_FORBIDDEN if status == _MISSING else status,
            headers=(*headers, *headers_of()),
        )


def render(title: str, body: str) -> bytes:
    """Returns a page; `body` is HTML with all text escaped."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{text_of(title)} · Taskbound</title><link rel="stylesheet" href="{STYLE_PATH}"></head>'
        f"<body><h1>{text_of(title)}</h1>{body}</body></html>\n"
    ).encode()


def text_of(text: str) -> str:
    """Returns escaped text, with invisible characters written out (rule 4)."""
    return escape(escape_text(text))


def why(error: TaskboundError | Fault) -> str:
    """Returns the text of a refusal for a page."""
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
    for name in query:
        if name not in _WANTED:
            raise BadQueryError("a sign-in takes `return`, `namespace`, `max_age` and `acr`")
    if query.get("max_age", "0") and _AGE.fullmatch(query.get("max_age", "0")) is None:
        raise BadQueryError("`max_age` is a whole number of seconds")
    return {name: value for name, value in query.items() if value}


def _query(text: str) -> dict[str, str]:
    pairs = read_pairs(text)
    if len(dict(pairs)) != len(pairs):
        raise BadQueryError("a parameter of the query stands twice")
    return dict(pairs)


def _held(state: str) -> str:
    tag = state.partition(".")[2][:12]
    return f"began-{tag}" if _TAG.fullmatch(tag) else ""


def space_of(text: str) -> str:
    """Returns the namespace prefix of a browser's secret; `default` without one."""
    found = text.partition(".")[0]
    return found if _NAME.fullmatch(found) else "default"


def _fault(answer: object) -> TaskboundError | Fault:
    return answer if isinstance(answer, Fault) else TaskboundError("this should not have happened")


_UNAUTHORIZED: Final = 401
_APPROVING_FORBIDDEN: Final = 403
_PATIENCE: Final = 15.0
_FIELDS: Final = frozenset({"statement", "signature"})
_SIGN: Final = "ssh-keygen -Y sign -n taskbound-approval -f KEYFILE answer"


class ApprovalPages:
    """Serves the approval pages in one process."""

    def __init__(self, link: Link, origin: str) -> None:
        self._link, self._origin = link, origin
        self._host = origin.partition("://")[2]
        self._cookies = Cookies(origin)

    async def serve(self, head: Head, approval: str, body: bytes, reply: Reply) -> None:
        """Answers a request for the page of this question (rule 3)."""
        try:
            await self._serve(head, approval, body, reply)
        except TaskboundError as error:
            _refuse(error, reply)
        except Exception:  # noqa: BLE001 -- the surface's outermost edge
            _log.exception("the page of a question could not be served")
            _refuse(TaskboundError("this should not have happened"), reply)

    async def _serve(self, head: Head, approval: str, body: bytes, reply: Reply) -> None:
        require_navigated(head.headers)
        if head.said:
            raise BadQueryError("the page of a question takes nothing from its URL")
        session = self._cookies.read(head.headers, "session")
        namespace = space_of(session)
        shown = Shown(method=head.verb, uri=self._origin + head.path, address=reply.address, browser=session)
        if head.verb == "POST":
            require_posted(head.headers, self._origin)
            form = read_form(head.headers, {}, body, lined="signature")
            if set(form) != _FIELDS:
                raise BadFormError("the form has `statement` and `signature`, and nothing else")
            ask = AnswerOnPage(
                namespace=namespace,
                statement=_statement(form["statement"]),
                signature=_ended(form["signature"]),
            )
            await self._answer(approval, ask, shown, reply)
            return
        if head.headers.get("host", "").lower() != self._host:
            _go(f"{self._origin}{head.path}", reply)
            return
        answer = await self._link.ask(
            LookAtApproval(namespace=namespace, approval=approval), shown, patience=_PATIENCE
        )
        if not isinstance(answer, ApprovalPage):
            _refuse(_fault(answer), reply)
        elif not answer.person:
            _go(self._sign_in(approval, namespace), reply)  # 1
        else:
            again = "" if answer.met else self._sign_in(approval, namespace, answer.acr, answer.within)
            reply.give(
                render("A question about a call", _body(answer, approval, again)),
                kind=_HTML,
                headers=headers_of(posts=True),
            )

    async def _answer(self, approval: str, ask: AnswerOnPage, shown: Shown, reply: Reply) -> None:
        answer = await self._link.ask(ask, shown, patience=_PATIENCE)
        if isinstance(answer, ApprovalSaid):
            what = f"<p>{text_of(answer.approval)} is {text_of(answer.state)}.</p>"
            missing = f"<p>Missing still: {text_of(answer.missing)}</p>" if answer.missing else ""
            reply.give(render("Taken", what + missing), kind=_HTML, headers=headers_of())
        elif isinstance(answer, Fault) and answer.code == "step-up":
            ways = answer.acr.split(" ")
            _refuse(answer, reply, self._sign_in(approval, ask.namespace, ways[0], answer.within))
        else:
            _refuse(_fault(answer), reply)

    def _sign_in(self, approval: str, namespace: str, acr: str = "", within: int = 0) -> str:
        wanted = {"return": f"/approvals/{approval}", "namespace": namespace}
        wanted |= {"acr": acr} if acr else {}
        wanted |= {"max_age": str(within)} if within else {}
        return f"{self._origin}/sign-in?{urlencode(wanted)}"


def _body(page: ApprovalPage, approval: str, again: str) -> str:
    parts = [f"<p>You are signed in as <strong>{text_of(page.person)}</strong>.</p>"]
    parts.append(f"<pre>{escape(page.sheet)}</pre>")
    parts.append(f"<p>It is {text_of(page.state)}{_missing(page)}.</p>")
    if again:
        how = [f"as <code>{text_of(page.acr)}</code>"] if page.acr else []
        how += [f"at most {page.within} seconds ago"] if page.within else []
        link = f'<a href="{escape(again)}">Sign in so</a>'
        parts.append(f'<p class="why">A yes to this needs you to have signed in {", ".join(how)}. {link}</p>')
    for one in page.statements:
        written = b64encode(one.text.encode()).decode("ascii")
        parts.append(
            f"<h2>Yes, with key {text_of(one.key)}</h2><pre>{escape(one.text)}</pre>"
            f'<p>Save <a download="answer" href="data:text/plain;base64,{written}">these lines</a> as'
            f" <code>answer</code>, run <code>{escape(_SIGN)}</code>, and put what is in"
            " <code>answer.sig</code> here.</p>"
            f'<form method="post" action="/approvals/{escape(approval)}">'
            f'<input type="hidden" name="statement" value="{written}">'
            '<p><textarea name="signature" rows="8" cols="72" required></textarea></p>'
            "<button>Say yes</button></form>"
        )
    return "".join(parts)


def _missing(page: ApprovalPage) -> str:
    return f"; missing: {text_of(page.missing)}" if page.missing else ""


def _statement(text: str) -> str:
    try:
        return b64decode(text.encode("ascii"), validate=True).decode("utf-8")
    except (Base64Error, UnicodeError) as error:
        raise BadFormError("`statement` is not what the page had") from error


def _ended(text: str) -> str:
    """Restores the line end of an armored signature that was pasted without it."""
    return text.strip("\n") + "\n"


def _go(url: str, reply: Reply) -> None:
    reply.give(b"", kind=_HTML, status=_SEE, headers=(("Location", url), *headers_of()))


def _refuse(error: TaskboundError | Fault, reply: Reply, again: str = "") -> None:
    status = problem_of(error, "").problem.status
    link = f'<p><a href="{escape(again)}">Sign in so, and come back</a></p>' if again else ""
    reply.give(
        render("That did not work", link + why(error)),
        kind=_HTML,
        status=_APPROVING_FORBIDDEN if status in {_MISSING, _UNAUTHORIZED} else status,
        headers=headers_of(),
    )
