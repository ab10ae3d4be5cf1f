"""GitHub as a target: installation tokens.

1. A token is requested with exactly the order's repositories and permissions (without them GitHub grants
   all), and accepted if the answer says the same and an end within `lasts`. Each permission implies
   reading metadata. A differing token is revoked and refused; so is the App's own proof, which the
   answering server received and could echo.
2. A token has no name of ours: it is revoked by its value, which is kept (`ports.target.Keeps`).
3. A token revokes itself (`DELETE /installation/token`) and counts as gone once GitHub answers 401 to the
   one question that any such token may ask. That shows that the token no longer authenticates at this
   address; an operation begun with it, such as a clone, may go on. GitHub answers as for an unknown token
   until a new one has spread: that answer counts once the token is `_KNOWN` old; until then we retry.
4. No token can be looked up by name, listed, or prolonged.
5. The App proves itself by an RS256 JWT with a lifetime of nine minutes, dated one minute back for clock
   skew. No text of an answer is passed on.
6. The host name must resolve to public addresses unless the file says `private`, so that the App's proof
   is not sent into the broker's network. Redirects are not followed.
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
from taskbound.adapters.targets.alone import Nameless, keep_token, read_token
from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import Limits, parse_object
from taskbound.core.clock import Instant, seconds
from taskbound.core.errors import MalformedError, TaskboundError
from taskbound.ports.target import (
    ExpiresAt,
    Gone,
    Minted,
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


class GithubTarget(Nameless):
    """One installation of one App (`ports.target.Target`, `Keeps`)."""

    _unrenewable = "the end of a GitHub token cannot be moved"
    _unnamed = "no name of a token is known to GitHub"
    _guide = _GUIDE

    def __init__(self, place: GithubPlace, access: GithubAccess, *, look: LookUp = look_up) -> None:
        """Raises TargetRefusedError if the key cannot sign; `look` resolves host names (rule 6)."""
        self._place, self._look = place, look
        try:
            self._key = RSAKey.import_key(access.key)
        except (JoseError, ValueError, TypeError):
            raise TargetRefusedError("the App's private key can't be read", remedy=_GUIDE) from None
        self._tls = ssl.create_default_context() if place.tls else None

    @property
    def lasts(self) -> int:
        """Returns the longest lifetime of a token, in seconds."""
        return self._place.lasts

    def mint(self, order: MintOrder, kind: GithubKind, *, patience: float) -> Minted:
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
        return Minted(open={}, secret={kind.variable: token}, kept=keep_token(token, over))

    def use(self, minted: Minted, *, patience: float) -> None:
        """Makes one request that the token must permit."""
        (token,) = minted.secret.values()
        with self._linked(patience) as link:
            answer = link.ask("GET", _WHOSE, token)
        if answer.status != _OK:
            raise _refusal(answer, "does not take the token that it gave")

    def end_kept(self, kept: str, *, ends: Instant, patience: float) -> Gone | ExpiresAt:  # noqa: ARG002 - it is shown
        """Revokes the token and checks that GitHub rejects it (rule 3)."""
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

    def _wrong(
        self,
        found: Mapping[str, JsonValue],
        over: Instant | None,
        repositories: tuple[str, ...],
        permissions: Mapping[str, str],
    ) -> str:
        """Returns how an answer differs from the request, as text; '' if it doesn't (rule 1)."""
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
    def __init__(self, connection: HttpConnection, place: GithubPlace) -> None:
        self._connection = connection
        self._place = place

    def ask(self, method: str, path: str, token: str, body: bytes | None = None) -> HttpAnswer:
        headers = {**_HEADERS, "Host": self._place.authority, "Authorization": f"Bearer {token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._connection.ask(method, f"{self._place.path}{path}", body, headers=headers, most=_MOST)


def _within(said: Mapping[str, JsonValue], asked: Mapping[str, str]) -> bool:
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


def _read(kept: str) -> tuple[str, Instant]:
    token, over = read_token(kept)
    if _TOKEN.fullmatch(token) is None:
        raise TargetRefusedError("the stored token cannot be read")
    return token, over
