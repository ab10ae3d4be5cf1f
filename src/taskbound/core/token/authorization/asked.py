"""A client's request that awaits a person's answer, and the authorization code that follows.

`asked`: A request waits five minutes and is answered once. The page shows a code that the person types
after authenticating elsewhere: 43 bits in unambiguous consonants (RFC 8628 §6.1). It links browser and
person. Only the browser that began the request gets the answer, and one code per answer. The typed code
derives from the browser's secret and reveals neither it nor its stored digest. A form token derives from
that secret and the sign-in, so other browsers and sign-ins have none (CSRF). Freshness and strength of the
sign-in are checked at the answer, relative to the start of the request, in whole seconds. A code is
consumed by the first exchange, valid or not. A request without an agent asks to act as the person; it is
answered without a task, a request about an agent only with one.

`code`: A code is 256 random bits, valid for 60 seconds and one use; its SHA-256 is stored. It is bound to
client, redirect URI, verifier, resource, task or person, and DPoP key if requested; a person's code needs
a key. Secrets are compared in constant time. A second use means a leak: the caller revokes what the first
use gave (RFC 6749 §4.1.2). A verifier has 43 to 128 unreserved characters and is always required.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import replace
from enum import Enum
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from taskbound.core.clock import Instant, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.token.authorization.errors import (
    AnsweredError,
    BadCodeError,
    BadVerifierError,
    NotAskedError,
    SignInDemandedError,
)
from taskbound.core.token.errors import UnboundTokenError

if TYPE_CHECKING:
    from taskbound.core.token.authorization.request import AuthorizationRequest


CODE_LIFETIME: Final = seconds(60)
"""How long a code is good for (RFC 6749 §4.1.2 allows ten minutes; A146 asks for one)."""
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The stored facts about a code."""

    namespace: str
    digest: str
    client: str
    redirect: str
    challenge: str
    resource: str
    task: str
    person: str
    """Who consented."""
    expires: Instant
    jkt: str = ""
    bound: bool = False
    """True if the exchange needs a key even if the request named none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A client's request to exchange a code; its repr omits the verifier."""

    client: str
    redirect: str
    """The redirect URI, as it was in the request."""
    verifier: str
    resource: str = ""
    """What the token is to be for; empty where the client does not say."""
    jkt: str = ""
    """Thumbprint of the DPoP key that was proven; empty where none was."""

    def __repr__(self) -> str:
        return f"Exchange(client={self.client!r}, resource={self.resource!r})"


def code_digest(code: str) -> str:
    if _CODE.fullmatch(code) is None:
        raise BadCodeError("the code is malformed")
    return hashlib.sha256(code.encode("ascii")).hexdigest()


def require_code(code: Code, brought: Exchange, now: Instant) -> None:
    if now >= code.expires:
        raise BadCodeError("the code is over")
    if brought.client != code.client:
        raise BadCodeError("the code is another client's")
    if brought.redirect != code.redirect:
        raise BadCodeError("the code was asked for at another redirect URI")
    if brought.resource and brought.resource != code.resource:
        raise BadCodeError("the code is for another resource")
    if code.jkt and brought.jkt != code.jkt:
        raise BadCodeError("the code is for another key")
    if code.bound and not brought.jkt:
        raise UnboundTokenError("a token to act as a person is bound to a key, and no DPoP proof was shown")
    require_verifier(brought.verifier, code.challenge)


def require_verifier(verifier: str, challenge: str) -> None:
    """Raises BadVerifierError unless the challenge belongs to this verifier."""
    if _VERIFIER.fullmatch(verifier) is None:
        raise BadVerifierError("a verifier is 43 to 128 letters, digits and `-._~`")
    made = urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")
    if not compare_digest(made, challenge):
        raise BadVerifierError("the verifier is not the challenge's")


WAITS: Final = minutes(5)
"""How long a request waits for a person."""
NEVER: Final = Instant(0)
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH: Final = 10


class ConsentState(Enum):
    """State of a request; rows hold these values."""

    OPEN = "open"
    CONSENTED = "consented"
    DENIED = "denied"
    CODED = "coded"
    """The browser has its code."""
    USED = "used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """The known sign-in of the answering person."""

    acr: str = ""
    """The strength of the sign-in; empty if unknown."""
    authenticated: Instant = NEVER
    """The time of the authentication; 1970 if unknown."""
    session: str = ""
    """The sign-in that the answer rests on; empty for an answer in a terminal."""


UNSIGNED: Final = Signed()
"""The sign-in of an answer in a terminal, or of a request without answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRequest:
    """A pending or answered request."""

    namespace: str
    id: str
    request: AuthorizationRequest
    shown: str
    """What the client calls itself."""
    host: str
    """Who answers for it; empty where a person registered it here."""
    agent: str
    """Whose the resource is; empty where the client asks to act as the person."""
    browser: str
    """SHA-256 of the secret of the browser that began it."""
    typed: str
    """SHA-256 of what the person types."""
    asked: Instant
    state: ConsentState = ConsentState.OPEN
    person: str = ""
    """Who answered."""
    task: str = ""
    """The task that they opened or chose."""
    code: str = ""
    """SHA-256 of the code that was given for it."""
    coded: Instant = NEVER
    """When that was."""
    admission: str = ""
    """What the code brought."""
    version: int = 1
    signed: Signed = UNSIGNED
    """Of an answer by which a client acts as the person: how they had signed in."""

    @property
    def is_persons(self) -> bool:
        return not self.agent

    @property
    def until(self) -> Instant:
        return Instant(self.asked + WAITS)


def secret_digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def typed_code(secret: str) -> str:
    """The code to type, derived from the browser's secret: ten letters in two groups."""
    left = int.from_bytes(hashlib.sha256(f"typed {secret}".encode()).digest(), "big")
    letters = []
    for _ in range(_LENGTH):
        left, one = divmod(left, len(_LETTERS))
        letters.append(_LETTERS[one])
    return f"{''.join(letters[:5])}-{''.join(letters[5:])}"


def typed_digest(typed: str) -> str:
    """The stored digest of a typed code, independent of its grouping; raises NotAskedError."""
    letters = typed.upper().replace("-", "").replace(" ", "")
    if len(letters) != _LENGTH or any(one not in _LETTERS for one in letters):
        raise NotAskedError("a code of this page is ten letters, such as `BCDFG-HJKLM`")
    return secret_digest(letters)


def form_secret(secret: str, session: str) -> str:
    """The form token of a page; `session` is empty without a sign-in."""
    return hashlib.sha256(f"form {secret} {session}".encode("utf-8", "surrogatepass")).hexdigest()


def require_form(form: str, secret: str, session: str) -> None:
    """Raises NotAskedError unless the form token is this browser's and sign-in's."""
    if not compare_digest(form.encode("utf-8", "surrogatepass"), form_secret(secret, session).encode()):
        raise NotAskedError(
            "the form is not of this browser's page", remedy="open the page anew, and answer there"
        )


def require_demands(asked: ConsentRequest, acr: str, authenticated: Instant) -> None:
    """Raises SignInDemandedError unless the sign-in suffices; '' and 1970 mean unknown."""
    request = asked.request
    if request.acr and acr not in request.acr:
        raise SignInDemandedError("the client asks for a sign-in of another kind than yours is")
    begun = asked.asked - asked.asked % seconds(1)
    if request.max_age is not None and authenticated + seconds(request.max_age) < begun:
        raise SignInDemandedError("the client asks for a sign-in that is not as old as yours is")


def require_open(asked: ConsentRequest | None, now: Instant) -> ConsentRequest:
    if asked is None or (now >= asked.until and asked.state is ConsentState.OPEN):
        raise NotAskedError("no request waits under this code")
    if asked.state is not ConsentState.OPEN:
        raise AnsweredError("the request has been answered")
    return asked


def require_browser(asked: ConsentRequest | None, secret: str) -> ConsentRequest:
    if asked is None or not compare_digest(asked.browser, secret_digest(secret)):
        raise NotAskedError("this browser began no such request")
    return asked


def answered(asked: ConsentRequest | None, person: str, task: str, now: Instant) -> ConsentRequest:
    """Answers the request, with a task or, if empty, a denial; raises NotAskedError or AnsweredError."""
    still = require_open(asked, now)
    state = ConsentState.CONSENTED if task else ConsentState.DENIED
    return replace(still, state=state, person=person, task=task, version=still.version + 1)


def answered_as_person(
    asked: ConsentRequest | None, person: str, signed: Signed, now: Instant
) -> ConsentRequest:
    still = require_open(asked, now)
    if not still.is_persons:
        raise NotAskedError("the client asks for an agent's task, and not to act as a person")
    return replace(
        still, state=ConsentState.CONSENTED, person=person, signed=signed, version=still.version + 1
    )


def coded(asked: ConsentRequest, digest: str, now: Instant) -> ConsentRequest:
    """Gives the browser its one code; raises NotAskedError or AnsweredError."""
    if asked.state in {ConsentState.CODED, ConsentState.USED}:
        raise AnsweredError("the client was sent its code")
    if asked.state is not ConsentState.CONSENTED or now >= asked.until:
        raise NotAskedError("no person consented to this request in time")
    return replace(asked, state=ConsentState.CODED, code=digest, coded=now, version=asked.version + 1)


def used(asked: ConsentRequest, admission: str) -> ConsentRequest:
    """Consumes the code; `admission` is empty if the exchange failed."""
    return replace(asked, state=ConsentState.USED, admission=admission, version=asked.version + 1)


def code_of(asked: ConsentRequest) -> Code:
    return Code(
        namespace=asked.namespace,
        digest=asked.code,
        client=asked.request.client,
        redirect=asked.request.redirect.text,
        challenge=asked.request.challenge,
        resource=asked.request.resource,
        task=asked.task,
        person=asked.person,
        expires=Instant(asked.coded + CODE_LIFETIME),
        jkt=asked.request.jkt,
        bound=asked.is_persons,
    )
