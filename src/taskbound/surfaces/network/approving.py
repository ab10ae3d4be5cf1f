"""The page of a question: what is asked, what a key of whoever is signed in can sign, and where it goes.

1. Who is not signed in is led to where people sign in, and back; so is who has not signed in as the question
   needs it, with the way and the time that it needs (RFC 9470 §4 names them so for programs).
2. What a key has signed is posted by the page, and goes on whole, with what the browser showed: what it is
   worth the daemon finds out.
3. Everything that is shown here is a page, a refusal too. What stands in it is text, which was escaped.
4. There is no script: what is to be signed is a file that the page has within itself.
"""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.network.browser import Cookies, headers_of, require_posted
from taskbound.surfaces.network.consent.browser import require_navigated
from taskbound.surfaces.network.errors import BadQueryError
from taskbound.surfaces.network.form import BadFormError, read_form
from taskbound.surfaces.network.pages import render, space_of, text_of, why
from taskbound.surfaces.network.problem import problem_of
from taskbound.wire.approval import AnswerOnPage, ApprovalPage, ApprovalSaid, LookAtApproval
from taskbound.wire.connection import Fault
from taskbound.wire.network import Shown

if TYPE_CHECKING:
    from taskbound.surfaces.network.answer import Reply
    from taskbound.surfaces.network.head import Head
    from taskbound.surfaces.network.link import Link


_log = logging.getLogger(__name__)
_HTML: Final = "text/html; charset=utf-8"
_SEE: Final = 303
_MISSING: Final = 404
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_PATIENCE: Final = 15.0
_FIELDS: Final = frozenset({"statement", "signature"})
_SIGN: Final = "ssh-keygen -Y sign -n taskbound-approval -f KEYFILE answer"


class ApprovalPages:
    """Serves them in one process."""

    def __init__(self, link: Link, origin: str) -> None:
        """Ask the daemon through this link; the API is known by this origin."""
        self._link, self._origin = link, origin
        self._host = origin.partition("://")[2]
        self._cookies = Cookies(origin)

    async def serve(self, head: Head, approval: str, body: bytes, reply: Reply) -> None:
        """Answer a request for the page of this question (rule 3)."""
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
        """Bring what was signed (rule 2)."""
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
        """Where somebody signs in so, and comes back from (rule 1)."""
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
    """What the page had within itself.

    Raises:
        BadFormError: It is something else.
    """
    try:
        return b64decode(text.encode("ascii"), validate=True).decode("utf-8")
    except (Base64Error, UnicodeError) as error:
        raise BadFormError("`statement` is not what the page had") from error


def _ended(text: str) -> str:
    """A signature as its file has it, whatever of its end a person left out."""
    return text.strip("\n") + "\n"


def _go(url: str, reply: Reply) -> None:
    reply.give(b"", kind=_HTML, status=_SEE, headers=(("Location", url), *headers_of()))


def _refuse(error: TaskboundError | Fault, reply: Reply, again: str = "") -> None:
    status = problem_of(error, "").problem.status
    link = f'<p><a href="{escape(again)}">Sign in so, and come back</a></p>' if again else ""
    reply.give(
        render("That did not work", link + why(error)),
        kind=_HTML,
        status=_FORBIDDEN if status in {_MISSING, _UNAUTHORIZED} else status,
        headers=headers_of(),
    )


def _fault(answer: object) -> TaskboundError | Fault:
    return answer if isinstance(answer, Fault) else TaskboundError("this should not have happened")
