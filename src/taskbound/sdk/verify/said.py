"""What a transaction token says, typed: of which action, for whom, and what its authority rests on.

1. `tctx` is what the issuer wrote: each member that is known has its type, and what has to be there is. It
   says once more what the token says beside it (`txn`, `scope`), and both are equal. Further members mean
   nothing here.
2. Names are of the namespace that `tctx` has: `agent:NAME` in `default`, `agent:NAMESPACE/NAME` elsewhere.
3. What authority rests on is all that an entry of the revocation feed may name: the namespace, the task and
   those above it, everybody who acts, the person for whom, the admission and the sign-in of a client, the
   token itself and its key.
4. `cnf` names one key: by its thumbprint (`jkt`, RFC 9449), or that of a certificate (`x5t#S256`, RFC 8705).
   What names another, or two, is no token that can be held to anybody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.revocation.feed import About, Thing
from taskbound.core.token import name_of
from taskbound.sdk.verify.errors import BadTokenContextError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.core.action import JsonValue
    from taskbound.core.clock import Instant
    from taskbound.wire.jose import Claims, UnverifiedJws


_LONGEST: Final = 512
_KEYS: Final = frozenset({"jkt", "x5t#S256"})
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MOST_ABOVE: Final = 16
_MOST_ACTORS: Final = 16
_MOST_APPROVERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a token says."""

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
    """Empty where nobody had to say yes."""
    approvers: tuple[str, ...]
    admission: str
    """Of a client that people use; empty for any other."""
    session: str
    """The sign-in on which that rests; empty where it rests on none."""
    expires: Instant

    def things(self) -> tuple[Thing, ...]:
        """What its authority rests on (rule 3)."""
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
    """What a token says (rules 1 and 2); whether it is so is another matter.

    Raises:
        BadTokenContextError: It can't be read.
    """
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
        raise BadTokenContextError("`tctx` speaks of another action than the token", where="tctx")  # 1
    return said


def _confirmed(claims: Claims) -> str:
    """The showing of the key that the token names (rule 4)."""
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


def _actors(claims: Claims, space: str, holder: str) -> tuple[str, ...]:
    """Who acts, the present one first (RFC 8693 §4.1); the holder alone where nobody is named."""
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
        raise BadTokenContextError("an agent is not of the namespace that `tctx` has", where="tctx")  # 2
    return plain


def _plain(kind: str, space: str, name: str) -> str | None:
    """The plain name of one of this kind and namespace; None where it is another's (rule 2)."""
    head = name_of(kind, space, "")
    plain = name.removeprefix(head)
    return plain if name.startswith(head) and plain and "/" not in plain and ":" not in plain else None


def _text(members: Mapping[str, JsonValue], name: str, *, needed: bool = True) -> str:
    if name not in members and not needed:
        return ""
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        raise BadTokenContextError(f"`{name}` is no text, or not there", where=name)
    return value


def _texts(
    members: Mapping[str, JsonValue], name: str, most: int, *, needed: bool = False
) -> tuple[str, ...]:
    value = members.get(name, None if needed else [])
    if not isinstance(value, list) or len(value) > most:
        raise BadTokenContextError(f"`{name}` is no list of texts", where=name)
    return tuple(_text({name: one}, name) for one in value)
