"""GitHub as a target: installation tokens.

1. A token is asked for with exactly the order's repositories and permissions, and believed where the answer
   says the same, and an end within `lasts`: every token that is asked for without them is for all there are.
   Reading metadata comes with each permission. Another one is given back, and refused; so is the App's own
   proof, which whoever answers was sent and could answer with.
2. It has no name of ours: it is ended by its value, which is kept (`ports.target.keeping`).
3. It is ended by itself (`DELETE /installation/token`), and is gone where GitHub then takes it no more: it
   answers 401 to the one question that any such token may ask. That shows that the token lets nobody in any
   more at this address; it shows nothing of what was begun with it, as a clone, which goes on. GitHub takes a
   new token for an unknown one until it is known everywhere there: where it says so instead of ending it,
   that counts once the token is `_KNOWN` old, and it is tried again until then.
4. No name can be looked for, nothing can be listed, and no end can be moved.
5. The App proves itself by a JWT of `RS256`, which lives for nine minutes and began a minute ago, for clocks
   that differ. No word of an answer is passed on.
6. A name leads to public addresses, unless the file says that it may lead to others (`private`): nobody who
   answers for it has the App's proof sent into the network that the broker is in. No redirect is followed.
"""

from __future__ import annotations

import re
import ssl
import time
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from taskbound.adapters.http import HttpAddress, HttpConnection, HttpLostError, HttpUnreachedError, look_up
from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.ports.target import (
    Gone,
    Left,
    Minted,
    RenewalUnsupportedError,
    Shown,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.adapters.http import HttpAnswer, LookUp
    from taskbound.core.action import JsonValue
    from taskbound.core.target import GithubAccess, GithubKind, GithubPlace
    from taskbound.ports.target import MintOrder


_GUIDE: Final = "see docs/guides/github.md"
_MOST: Final = 4 * 1024 * 1024
"""Bytes of an answer: it has each repository whole."""
_LIMITS: Final = Limits(size=_MOST)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]{8,4096}")
"""40 characters, or a JWT with what it is for in it, some 520; with more repositories more."""
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_HEADERS: Final = {
    "Accept": "application/vnd.github+json",
    "User-Agent": "taskbound",
    "X-GitHub-Api-Version": "2022-11-28",
}
_WHOSE: Final = "installation/repositories?per_page=1"
_KNOWN: Final = seconds(30)
"""GitHub's own clients try again for 5 seconds; its clock may be behind ours by the rest (rule 3)."""
_LASTS: Final = seconds(3_600)
"""From when a token is given until what it says of its end."""
_LEVEL: Final = {"read": 1, "write": 2}
_IMPLIED: Final = {"metadata": "read"}
_CREATED, _NO_CONTENT, _OK, _UNKNOWN, _FORBIDDEN = 201, 204, 200, 401, 403
_TOO_MANY, _FAULTY = 429, 500


class GithubTarget:
    """One installation of one App (`ports.target.Target`, `Keeps`)."""

    def __init__(self, place: GithubPlace, access: GithubAccess, *, look: LookUp = look_up) -> None:
        """Ask for this installation, as the App that has this key.

        Args:
            place: Where, and whose.
            access: The key.
            look: Finds a name's addresses (rule 6).

        Raises:
            TargetRefusedError: The key is none that can sign.
        """
        self._place, self._look = place, look
        try:
            self._key = RSAKey.import_key(access.key)
        except (JoseError, ValueError, TypeError):
            raise TargetRefusedError("the App's private key can't be read", remedy=_GUIDE) from None
        self._tls = ssl.create_default_context() if place.tls else None

    @property
    def lasts(self) -> int:
        """Seconds that a token lives at most."""
        return self._place.lasts

    def mint(self, order: MintOrder, kind: GithubKind, *, patience: float) -> Minted:
        """A token (rule 1)."""
        repositories = kind.asked(order.context)
        asked = canonical({"permissions": dict(kind.permissions), "repositories": list(repositories)})
        proof = self._proof()
        with self._linked(patience) as link:
            path = f"app/installations/{self._place.installation}/access_tokens"
            answer = link.ask("POST", path, proof, asked)
            if answer.status != _CREATED:
                raise _refusal(answer, "gives no token")
            found = _object(answer)
            token = found.get("token")
            if not isinstance(token, str) or _TOKEN.fullmatch(token) is None or proof in token:
                raise TargetUnavailableError("the answer of GitHub has no token")
            over = _instant(found.get("expires_at"))
            wrong = self._wrong(found, over, repositories, kind.permissions)
            if wrong or over is None:
                with suppress(TaskboundError):
                    link.ask("DELETE", "installation/token", token)
                raise TargetRefusedError(f"the token of GitHub's {wrong}", remedy=_GUIDE)
        kept = canonical({"ends": over, "token": token}).decode()
        return Minted(open={}, secret={kind.variable: token}, kept=kept)

    def use(self, minted: Minted, *, patience: float) -> None:
        """Ask with it what it is for."""
        (token,) = minted.secret.values()
        with self._linked(patience) as link:
            answer = link.ask("GET", _WHOSE, token)
        if answer.status != _OK:
            raise _refusal(answer, "does not take the token that it gave")

    def renew(self, name: str, ends: Instant, *, patience: float) -> None:  # noqa: ARG002 - nothing can be done
        """A token ends when it was given to end."""
        raise RenewalUnsupportedError("nobody moves the end of a token of GitHub's")

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | Left:  # noqa: ARG002 - it is shown
        """End it by itself, and see that it is taken no more (rule 3)."""
        token, over = _read(kept)
        with self._linked(patience) as link:
            ended = link.ask("DELETE", "installation/token", token)
            if ended.status not in {_NO_CONTENT, _UNKNOWN}:
                raise _refusal(ended, "does not end the token")
            if ended.status == _UNKNOWN and time.time() * 1_000_000 < over - _LASTS + _KNOWN:
                raise TargetUnavailableError(
                    "the token is unknown to GitHub, which gave it just now: it is over, or not known yet"
                )
            seen = link.ask("GET", _WHOSE, token)
        if seen.status == _OK:
            raise TargetUnavailableError("the token was ended by GitHub, which takes it still")
        if seen.status != _UNKNOWN or not isinstance(_object(seen).get("message"), str):
            raise _refusal(seen, "does not say that the token is over")
        return Gone(cut=0)

    def revoke(self, name: str, *, ends: Instant, patience: float) -> Left:  # noqa: ARG002 - no name is known there
        """Nothing is ended by a name (rule 4)."""
        return Left(until=ends)

    def look(self, name: str, *, patience: float) -> Shown:  # noqa: ARG002 - as above
        """Nothing is shown under a name (rule 4)."""
        raise TargetRefusedError("no name of a token is known to GitHub", remedy=_GUIDE)

    def sweep(self, prefix: str, *, patience: float) -> Iterator[str]:  # noqa: ARG002 - as above
        """Nothing can be listed (rule 4)."""
        return iter(())

    def _wrong(
        self,
        found: Mapping[str, JsonValue],
        over: Instant | None,
        repositories: tuple[str, ...],
        permissions: Mapping[str, str],
    ) -> str:
        """What of an answer is not what was asked for, in words; empty where nothing is (rule 1)."""
        if over is None:
            return "says no end that can be read"
        if over > time.time() * 1_000_000 + seconds(self._place.lasts):
            return f"lives for longer than {self._place.lasts} seconds"
        said = found.get("permissions")
        if not isinstance(said, dict) or not _within(said, {**_IMPLIED, **permissions}):
            return "has permissions that were not asked for"
        rows = found.get("repositories")
        names = [one.get("name") for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []
        if found.get("repository_selection") != "selected" or sorted(map(str, names)) != list(repositories):
            return "is for other repositories than those that were asked for"
        return ""

    def _proof(self) -> str:
        """What the App proves itself with (rule 5)."""
        now = int(time.time())
        claims = {"exp": now + 540, "iat": now - 60, "iss": self._place.app}
        try:
            return jwt.encode({"alg": "RS256", "typ": "JWT"}, claims, self._key, algorithms=["RS256"])
        except (JoseError, ValueError, TypeError):
            raise TargetRefusedError("the App's private key can't sign", remedy=_GUIDE) from None

    @contextmanager
    def _linked(self, patience: float) -> Iterator[_Link]:
        address = HttpAddress(host=self._place.host, port=self._place.port, tls=self._place.tls)
        try:
            with HttpConnection(
                address, self._tls, patience=patience, admits=self._place.admits, look=self._look
            ) as connection:
                yield _Link(connection, self._place)
        except HttpUnreachedError as error:
            raise TargetUnreachedError(
                f"nothing of GitHub's can be reached ({error})", remedy=_GUIDE
            ) from None
        except HttpLostError as error:
            raise TargetUnavailableError(f"the connection to GitHub was lost ({error})") from None


class _Link:
    """One call's connection."""

    def __init__(self, connection: HttpConnection, place: GithubPlace) -> None:
        self._connection = connection
        self._place = place

    def ask(self, method: str, path: str, token: str, body: bytes | None = None) -> HttpAnswer:
        """What is answered to whoever has this token."""
        headers = {**_HEADERS, "Host": self._place.authority, "Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._connection.ask(method, f"{self._place.path}{path}", body, headers=headers, most=_MOST)


def _within(said: Mapping[str, JsonValue], asked: Mapping[str, str]) -> bool:
    """Whether no permission is more than was asked for."""
    return all(
        _LEVEL.get(str(level), 9) <= _LEVEL.get(asked.get(name, ""), 0) for name, level in said.items()
    )


def _refusal(answer: HttpAnswer, what: str) -> TaskboundError:
    status = answer.status
    lasting = {_UNKNOWN, _FORBIDDEN, 404, 422}
    if status == _FORBIDDEN and answer.headers.get("x-ratelimit-remaining") == "0":
        lasting = set()
    if status in lasting:
        return TargetRefusedError(
            f"the API of GitHub {what}: HTTP status {status}",
            remedy="see that the App has this installation, these repositories and permissions, and that its"
            " key is one that GitHub knows: docs/guides/github.md",
        )
    return TargetUnavailableError(f"the API of GitHub {what}: HTTP status {status}")


def _object(answer: HttpAnswer) -> Mapping[str, JsonValue]:
    """The answer's members; none where it has none."""
    if answer.too_long:
        return {}
    try:
        return parse_object(answer.raw, limits=_LIMITS)
    except MalformedError:
        return {}


def _instant(said: JsonValue) -> Instant | None:
    if not isinstance(said, str) or _INSTANT.fullmatch(said) is None:
        return None
    try:
        return Instant(round(datetime.fromisoformat(said).timestamp()) * 1_000_000)
    except ValueError:
        return None


def _read(kept: str) -> tuple[str, int]:
    """The token that was kept, and when it is over, in microseconds.

    Raises:
        TargetRefusedError: It is none.
    """
    try:
        value = parse_object(kept.encode())
    except MalformedError:
        value = {}
    token, over = value.get("token"), value.get("ends")
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None or not isinstance(over, int):
        raise TargetRefusedError("what was kept of the token is none")
    return token, over
