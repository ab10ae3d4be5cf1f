"""A client's request that waits for a person, and the code that it gives.

Of `asked`:

1. It waits five minutes. One answer is the last one, whoever gives it; nothing moves backwards.
2. The browser that began it is known by a secret of its own, and the person by what they prove elsewhere.
   What ties the two is a code that the page shows and the person types: 43 bits, in letters of which no two
   are taken for each other, and no word comes of them (RFC 8628 §6.1).
3. The answer is for the browser that began it alone, and there is one code for one answer. What its
   person types is made of its secret: it can be shown there again, is kept nowhere, and says nothing of the
   secret, or of what is kept of it.
4. A form of its page is known by a value that is made of that secret and of the sign-in for which it was
   drawn: whoever has another browser, or is signed in otherwise by now, has none.
5. How well and how lately the person has to have signed in is looked at when they answer. What counts is
   whether it was so when the request began, in whole seconds: reading a page takes its time.
6. A code is used by whoever brings it, rightly or not: what was brought wrongly once is never right.
7. A request without an agent is one to act as the person themselves. It is answered with no task, and one
   about an agent with nothing else: neither answer is ever taken for the other.

Of `code`:

1. A code is 256 bits of chance, good for 60 seconds, for one use. Its SHA-256 is what is kept.
2. It is one client's, for one redirect URI, one verifier, one resource, one task or one person, and one DPoP
   key where the request named one; a person's is good for a client with a key alone. All of it is compared
   whole, and in constant time where it is secret.
3. A code that comes twice is in two hands. Whatever it brought is taken back (RFC 6749 §4.1.2), by whoever
   looks at the row: this module only says for what a code is good.
4. A verifier is 43 to 128 unreserved characters. No verifier is no proof, whatever was asked for.
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
    """What is kept of a code (rule 2)."""

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
    """Whether whoever brings it has to prove a key, whatever the request said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a client brings to exchange a code."""

    client: str
    redirect: str
    """The redirect URI, as it was in the request."""
    verifier: str
    resource: str = ""
    """What the token is to be for; empty where the client does not say."""
    jkt: str = ""
    """Thumbprint of the DPoP key that was proven; empty where none was."""

    def __repr__(self) -> str:
        """Without the verifier."""
        return f"Exchange(client={self.client!r}, resource={self.resource!r})"


def code_digest(code: str) -> str:
    """What is kept of a code (rule 1): its SHA-256, in hexadecimal.

    Raises:
        BadCodeError: It is none.
    """
    if _CODE.fullmatch(code) is None:
        raise BadCodeError("the code is none")
    return hashlib.sha256(code.encode("ascii")).hexdigest()


def require_code(code: Code, brought: Exchange, now: Instant) -> None:
    """Go on only when this is the exchange that the code is for (rule 2).

    Raises:
        BadCodeError: It is another's, for something else, or over.
        BadVerifierError: Who asks is not who asked for the code.
        UnboundTokenError: It is for a client that proves a key, and none was.
    """
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
    """Go on only when the challenge was made of this verifier (rule 4).

    Raises:
        BadVerifierError: It was not.
    """
    if _VERIFIER.fullmatch(verifier) is None:
        raise BadVerifierError("a verifier is 43 to 128 letters, digits and `-._~`")
    made = urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")
    if not compare_digest(made, challenge):
        raise BadVerifierError("the verifier is not the challenge's")


WAITS: Final = minutes(5)
"""How long a request waits for a person (rule 1)."""
NEVER: Final = Instant(0)
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH: Final = 10


class AskedState(Enum):
    """Where a request stands; the values are what rows hold."""

    OPEN = "open"
    CONSENTED = "consented"
    DENIED = "denied"
    CODED = "coded"
    """The browser has its code."""
    USED = "used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """How whoever answers had signed in, as far as anybody knows."""

    acr: str = ""
    """How well; empty where nobody knows."""
    authenticated: Instant = NEVER
    """When; 1970 where nobody knows."""
    session: str = ""
    """The sign-in that the answer rests on; empty for an answer in a terminal."""


UNSIGNED: Final = Signed()
"""Of whoever answered in a terminal, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that waits, and what became of it."""

    namespace: str
    id: str
    request: AuthorizationRequest
    shown: str
    """What the client calls itself."""
    host: str
    """Who answers for it; empty where a person registered it here."""
    agent: str
    """Whose the resource is; empty where the client asks to act as the person (rule 7)."""
    browser: str
    """SHA-256 of the secret of the browser that began it."""
    typed: str
    """SHA-256 of what the person types."""
    asked: Instant
    state: AskedState = AskedState.OPEN
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
        """Whether the client asks to act as the person (rule 7)."""
        return not self.agent

    @property
    def until(self) -> Instant:
        """When nobody can answer it any more."""
        return Instant(self.asked + WAITS)


def secret_digest(secret: str) -> str:
    """What is kept of a secret of 256 bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def typed_code(secret: str) -> str:
    """What a person types, made of the browser's secret (rules 2 and 3): ten letters, in two groups."""
    left = int.from_bytes(hashlib.sha256(f"typed {secret}".encode()).digest(), "big")
    letters = []
    for _ in range(_LENGTH):
        left, one = divmod(left, len(_LETTERS))
        letters.append(_LETTERS[one])
    return f"{''.join(letters[:5])}-{''.join(letters[5:])}"


def typed_digest(typed: str) -> str:
    """What is kept of what a person types, however they write its groups.

    Raises:
        NotAskedError: It is none.
    """
    letters = typed.upper().replace("-", "").replace(" ", "")
    if len(letters) != _LENGTH or any(one not in _LETTERS for one in letters):
        raise NotAskedError("a code of this page is ten letters, such as `BCDFG-HJKLM`")
    return secret_digest(letters)


def form_secret(secret: str, session: str) -> str:
    """What a form of the page proves itself with (rule 4); `session` is empty while nobody is signed in."""
    return hashlib.sha256(f"form {secret} {session}".encode("utf-8", "surrogatepass")).hexdigest()


def require_form(form: str, secret: str, session: str) -> None:
    """Go on only with a form of this browser's page, for this sign-in (rule 4).

    Raises:
        NotAskedError: It is none.
    """
    if not compare_digest(form.encode("utf-8", "surrogatepass"), form_secret(secret, session).encode()):
        raise NotAskedError(
            "the form is not of this browser's page", remedy="open the page anew, and answer there"
        )


def require_demands(asked: Asked, acr: str, authenticated: Instant) -> None:
    """Go on only for a person who signed in as the request wants (rule 5).

    Args:
        asked: The request.
        acr: How well; empty where nobody knows.
        authenticated: When; 1970 where nobody knows.

    Raises:
        SignInDemandedError: They did not.
    """
    request = asked.request
    if request.acr and acr not in request.acr:
        raise SignInDemandedError("the client asks for a sign-in of another kind than yours is")
    begun = asked.asked - asked.asked % seconds(1)
    if request.max_age is not None and authenticated + seconds(request.max_age) < begun:
        raise SignInDemandedError("the client asks for a sign-in that is not as old as yours is")


def require_open(asked: Asked | None, now: Instant) -> Asked:
    """Go on only with a request that waits (rule 1).

    Raises:
        NotAskedError: There is none, or its time is over.
        AnsweredError: Somebody has answered it.
    """
    if asked is None or (now >= asked.until and asked.state is AskedState.OPEN):
        raise NotAskedError("no request waits under this code")
    if asked.state is not AskedState.OPEN:
        raise AnsweredError("the request has been answered")
    return asked


def require_browser(asked: Asked | None, secret: str) -> Asked:
    """Go on only for the browser that began it (rule 3).

    Raises:
        NotAskedError: It began none.
    """
    if asked is None or not compare_digest(asked.browser, secret_digest(secret)):
        raise NotAskedError("this browser began no such request")
    return asked


def answered(asked: Asked | None, person: str, task: str, now: Instant) -> Asked:
    """The same, answered by this person: with a task, or with a no where there is none.

    Raises:
        NotAskedError: There is none, or its time is over.
        AnsweredError: Somebody has answered it (rule 1).
    """
    still = require_open(asked, now)
    state = AskedState.CONSENTED if task else AskedState.DENIED
    return replace(still, state=state, person=person, task=task, version=still.version + 1)


def answered_as_person(asked: Asked | None, person: str, signed: Signed, now: Instant) -> Asked:
    """The same, answered by this person with a yes to act as them.

    Raises:
        NotAskedError: There is none, its time is over, or it asks for something else (rule 7).
        AnsweredError: Somebody has answered it (rule 1).
    """
    still = require_open(asked, now)
    if not still.is_persons:
        raise NotAskedError("the client asks for an agent's task, and not to act as a person")
    return replace(still, state=AskedState.CONSENTED, person=person, signed=signed, version=still.version + 1)


def coded(asked: Asked, digest: str, now: Instant) -> Asked:
    """The same, its browser given a code (rule 3).

    Raises:
        NotAskedError: Nobody has consented, or too long ago.
        AnsweredError: It was given one before.
    """
    if asked.state in {AskedState.CODED, AskedState.USED}:
        raise AnsweredError("the client was sent its code")
    if asked.state is not AskedState.CONSENTED or now >= asked.until:
        raise NotAskedError("nobody has consented to this request in time")
    return replace(asked, state=AskedState.CODED, code=digest, coded=now, version=asked.version + 1)


def used(asked: Asked, admission: str) -> Asked:
    """The same, its code used (rule 6); `admission` is what it brought, empty for nothing."""
    return replace(asked, state=AskedState.USED, admission=admission, version=asked.version + 1)


def code_of(asked: Asked) -> Code:
    """What its code is good for."""
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
