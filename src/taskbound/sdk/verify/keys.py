"""The issuer's published keys, content digests, and the content of transaction tokens.

* Keys are read at the first token, when a minute old, and for an unknown key id, by one thread, and not
  within ten seconds after the last reading ended, even a failed one. Only without valid keys do callers
  wait for it: an unknown key is refused as *not read*, since attackers can invent any number. A forked
  child reads by itself.
* An unpublished key is invalid from the next reading; until then the status check reports it as revoked.
  Keys read more than five minutes ago are invalid, and nothing is done (law 10).
* A repeated algorithm makes `Content-Digest` unreadable: some readers keep the first. Only `sha-256`, 32
  bytes in canonical base64, counts and must match the received bytes; without it the field says nothing.
* Known members of `tctx` are required and typed; `txn` and `scope` must equal the token's. Names are
  `agent:NAME` in namespace `default`, `agent:NAMESPACE/NAME` elsewhere. Authority depends on everything
  that the feed can revoke. `cnf` names one key: `jkt` or `x5t#S256`; others, or two, are refused.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from base64 import b64decode, b64encode
from binascii import Error
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from taskbound.core.clock import Duration, minutes, seconds
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.revocation import About, Thing
from taskbound.core.token import name_of
from taskbound.sdk.verify.errors import BadContentDigestError, BadTokenContextError, KeysUnreadError
from taskbound.wire.jose import parse_jwks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.core.token import Claim
    from taskbound.core.token.shared import Beginning, ServedAnswer, Serving
    from taskbound.wire.jose import Claims as TokenClaims
    from taskbound.wire.jose import Jwk, UnverifiedJws


T = TypeVar("T", bound=object)


def anew_in_children(owner: T, anew: Callable[[T], None]) -> None:
    """Calls `anew` with the owner in each forked child while the owner lives."""
    there = weakref.ref(owner)

    def in_child() -> None:
        if (found := there()) is not None:
            anew(found)

    if hasattr(os, "register_at_fork"):  # where there are forks
        os.register_at_fork(after_in_child=in_child)


KEYS_AGAIN: Final = seconds(10)
"""How long at least between two readings."""
KEYS_FRESH: Final = minutes(1)
KEYS_STALE: Final = minutes(5)


class IssuerKeys:
    """The keys of one issuer; thread-safe."""

    def __init__(self, fetch: Callable[[], bytes], clock: Callable[[], Instant]) -> None:
        """`fetch` returns the issuer's JWK set within seconds, or raises OSError or a TaskboundError."""
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[Jwk, ...] = ()
        self._read: Instant | None = None
        self._tried: Instant | None = None
        anew_in_children(self, IssuerKeys.begin_anew)

    def keys(self, kid: str) -> tuple[Jwk, ...]:
        """Returns all valid keys; raises KeysUnreadError."""
        keys = self._known(kid)
        if keys is not None:
            return keys
        lock = self._lock
        if not lock.acquire(blocking=not self._believed()):  # 1: another thread is reading them
            if any(one.kid == kid for one in self._keys):
                return self._keys
            raise KeysUnreadError("the issuer's keys are being read, and this one is not known yet")
        try:
            keys = self._known(kid)
            if keys is not None:  # who waited for the lock waited for this
                return keys
            failure = self._read_anew()
            if not self._believed():
                raise KeysUnreadError("the issuer's keys can't be read") from failure
            return self._keys
        finally:
            lock.release()

    def begin_anew(self) -> None:
        """Resets the reading lock in a forked child."""
        self._lock = threading.Lock()

    def _believed(self) -> bool:
        return self._read is not None and self._since(self._read) < KEYS_STALE

    def _known(self, kid: str) -> tuple[Jwk, ...] | None:
        read, tried = self._read, self._tried
        if read is not None and self._since(read) < KEYS_FRESH and any(one.kid == kid for one in self._keys):
            return self._keys
        if tried is None or self._since(tried) >= KEYS_AGAIN:
            return None
        if not self._believed():
            raise KeysUnreadError("the issuer's keys can't be read, and were asked for just now")  # 1, 3
        return self._keys

    def _read_anew(self) -> Exception | None:
        began = self._clock()
        try:
            self._keys = parse_jwks(self._fetch())
            self._read = began
        except (OSError, TaskboundError) as error:
            return error
        else:
            return None
        finally:
            self._tried = self._clock()  # who hangs for long is not asked again at once

    def _since(self, then: Instant) -> Duration:
        return Duration(self._clock() - then)


class Claims(Protocol):
    """Remembers requests durably; MUST be thread-safe and shared by all processes of the service."""

    def begin(self, serving: Serving, now: Instant) -> Beginning:
        """MUST return `Begun` to only one caller of all threads and processes, and only when durable.

        MUST raise `OtherRequestError` for another request of the same transaction, `ServedForgottenError`
        where it may have been forgotten, and `ClaimsUnavailableError` where it can't be written.
        """

    def answer(self, serving: Serving, answer: ServedAnswer) -> None:
        """Keeps an answer; after `ClaimsUnavailableError` (not written) the outcome is unknown."""

    def lose(self, serving: Serving) -> None:
        """Marks what was begun here as unknown; raises as `answer`."""

    def use(self, claim: Claim, now: Instant) -> None:
        """MUST raise `ReplayedError` if it was used or may have been; `ClaimsUnavailableError` as `begin`."""

    def close(self) -> None:
        """Releases everything; unanswered requests are unknown from now on."""


ALGORITHM: Final = "sha-256"
_SIZE: Final = 32
_LONGEST: Final = 2_048
_MEMBER: Final = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):", re.ASCII)
_BETWEEN: Final = re.compile(r"[ \t]*,[ \t]*", re.ASCII)


def content_digest(body: bytes) -> str:
    return f"{ALGORITHM}=:{b64encode(sha256(body).digest()).decode('ascii')}:"


def parse_content_digest(values: Sequence[str]) -> bytes | None:
    """Returns the field's SHA-256, or None; raises BadContentDigestError."""
    text = ", ".join(values).strip(" ")
    if len(text) > _LONGEST:
        raise BadContentDigestError("`Content-Digest` is too long", where="content-digest")
    found: dict[str, str] = {}
    at, first = 0, True
    while at < len(text):
        if not first:
            between = _BETWEEN.match(text, at)
            if between is None:
                raise BadContentDigestError("`Content-Digest` is no dictionary", where="content-digest")
            at = between.end()
        member = _MEMBER.match(text, at)
        if member is None or member[1] in found:
            raise BadContentDigestError(
                "`Content-Digest` is no dictionary of byte sequences, or says an algorithm twice",
                where="content-digest",
            )  # 1, 2
        found[member[1]] = member[2]
        at, first = member.end(), False
    if values and not found:
        raise BadContentDigestError("`Content-Digest` is empty", where="content-digest")
    return _bytes(found[ALGORITHM]) if ALGORITHM in found else None


def require_digest(values: Sequence[str], body: bytes) -> None:
    """Raises BadContentDigestError if the field doesn't match these bytes."""
    said = parse_content_digest(values)
    if said is not None and said != sha256(body).digest():
        raise BadContentDigestError(
            "`Content-Digest` is of other bytes than those that came", where="content-digest"
        )


def _bytes(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except Error:
        raw = b""
    if len(raw) != _SIZE or b64encode(raw).decode("ascii") != text:
        raise BadContentDigestError("`sha-256` is no digest in base64", where="content-digest")
    return raw


_SAID_LONGEST: Final = 512
_KEYS: Final = frozenset({"jkt", "x5t#S256"})
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MOST_ABOVE: Final = 16
_MOST_ACTORS: Final = 16
_MOST_APPROVERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The content of a token."""

    txn: str
    """The action that was permitted."""
    token: str
    """Its `jti`."""
    key: str
    """The `kid` that it was signed with."""
    subject: str
    """For whom, as tokens call them: `person:NAME`, or `agent:NAME`."""
    holder: str
    """`req_wl`: the workload that asked for it."""
    confirmed: str
    """The showing of the key that it was asked with (`holder`); empty where it names none."""
    agent: str
    """The plain name of the agent that it is of."""
    agents: tuple[str, ...]
    """Everybody who acts by plain name, the present one first."""
    namespace: str
    task: str
    ancestors: tuple[str, ...]
    """The tasks above it."""
    tool: str
    target: str
    """The digest of the server's pinned identity."""
    action_digest: str
    content_digest: str
    """Of the one request that it is for; empty where it names none."""
    definition: str
    """The digest of the tool's pinned definition; empty where it is not said."""
    approval: str
    """Empty if no approval was required."""
    approvers: tuple[str, ...]
    admission: str
    """Of a client that people use; empty for any other."""
    session: str
    """The sign-in on which that rests; empty where it rests on none."""
    expires: Instant

    def things(self) -> tuple[Thing, ...]:
        """Returns everything that its authority depends on."""
        space = self.namespace
        found = [Thing(namespace=space, about=About.NAMESPACE, id="")]
        found += [Thing(namespace=space, about=About.TASK, id=one) for one in (self.task, *self.ancestors)]
        found += [Thing(namespace=space, about=About.AGENT, id=one) for one in self.agents]
        person = _plain("person", space, self.subject)
        beside = (
            (About.PERSON, person or ""),
            (About.ADMISSION, self.admission),
            (About.SESSION, self.session),
            (About.TOKEN, self.token),
        )
        found += [Thing(namespace=space, about=about, id=one) for about, one in beside if one]
        found.append(Thing(namespace="", about=About.KEY, id=self.key))
        return tuple(found)


def parse_said(jws: UnverifiedJws) -> Said:
    """Returns the token's content, not yet verified; raises BadTokenContextError."""
    claims = jws.claimed
    context = claims.rest.get("tctx")
    if not isinstance(context, dict):
        raise BadTokenContextError("`tctx` is no object", where="tctx")
    holder = _text(claims.rest, "req_wl")
    space = _text(context, "namespace")
    said = Said(
        txn=_text(claims.rest, "txn"),
        token=claims.id,
        key=jws.header.kid,
        subject=claims.subject,
        holder=holder,
        confirmed=_confirmed(claims),
        agent=_agent(space, holder),
        agents=_actors(claims, space, holder),
        namespace=space,
        task=_text(context, "task"),
        ancestors=_texts(context, "ancestors", _MOST_ABOVE, needed=True),
        tool=_text(context, "tool"),
        target=_text(context, "target"),
        action_digest=_text(context, "action_digest"),
        content_digest=_text(context, "content_digest", needed=False),
        definition=_text(context, "definition", needed=False),
        approval=_text(context, "approval", needed=False),
        approvers=_texts(context, "approver", _MOST_APPROVERS),
        admission=_text(context, "admission", needed=False),
        session=_text(context, "session", needed=False),
        expires=claims.expires,
    )
    if (said.txn, said.tool) != (_text(context, "action"), _text(claims.rest, "scope")):
        raise BadTokenContextError("`tctx` speaks of another action than the token", where="tctx")
    return said


def _confirmed(claims: TokenClaims) -> str:
    if "cnf" not in claims.rest:
        return ""
    named = claims.rest["cnf"]
    found = list(named.items()) if isinstance(named, dict) else []
    if len(found) != 1 or found[0][0] not in _KEYS:
        raise BadTokenContextError("`cnf` names no one key", where="cnf")
    kind, thumbprint = found[0]
    if not isinstance(thumbprint, str) or _THUMBPRINT.fullmatch(thumbprint) is None:
        raise BadTokenContextError("`cnf` names no key by its thumbprint", where="cnf")
    return f"{kind}:{thumbprint}"


def _actors(claims: TokenClaims, space: str, holder: str) -> tuple[str, ...]:
    """Returns the actors, the present one first (RFC 8693 §4.1); by default the holder."""
    found: list[str] = []
    at = claims.rest.get("act")
    while at is not None:
        if not isinstance(at, dict) or len(found) == _MOST_ACTORS:
            raise BadTokenContextError("`act` can't be read", where="act")
        found.append(_agent(space, _text(at, "sub")))
        at = at.get("act")
    own = _agent(space, holder)
    if found and found[0] != own:
        raise BadTokenContextError("who acts is not who asked for the token", where="act")
    return tuple(found) or (own,)


def _agent(space: str, name: str) -> str:
    plain = _plain("agent", space, name)
    if plain is None:
        raise BadTokenContextError("an agent is not of the namespace that `tctx` has", where="tctx")
    return plain


def _plain(kind: str, space: str, name: str) -> str | None:
    head = name_of(kind, space, "")
    plain = name.removeprefix(head)
    return plain if name.startswith(head) and plain and "/" not in plain and ":" not in plain else None


def _text(members: Mapping[str, JsonValue], name: str, *, needed: bool = True) -> str:
    if name not in members and not needed:
        return ""
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _SAID_LONGEST:
        raise BadTokenContextError(f"`{name}` is no text, or not there", where=name)
    return value


def _texts(
    members: Mapping[str, JsonValue], name: str, most: int, *, needed: bool = False
) -> tuple[str, ...]:
    value = members.get(name, None if needed else [])
    if not isinstance(value, list) or len(value) > most:
        raise BadTokenContextError(f"`{name}` is no list of texts", where=name)
    return tuple(_text({name: one}, name) for one in value)
