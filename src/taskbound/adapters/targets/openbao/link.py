"""Connections to an OpenBao target, and the reach of its policies.

Of `link`:

1. A call uses one connection with the call's patience (`adapters.openbao`), kept for later calls. A
   failure before the connection stands proves that nothing was sent; a later one doesn't. Nothing is
   sent twice.
2. An answer that is not OpenBao's (no object, no `errors` on a refusal) counts as not reached, whatever
   its status.
3. If the token is refused, the error names the missing policy line; OpenBao answers an unknown token in
   the same way.
4. No text of an answer is passed on, as it may quote a secret; known reasons have texts of our own.

Of `reaching`:

1. A policy that allows writing policies, login roles, entities or auth methods, or creating tokens with
   any policy, reaches everything. Other rights on system paths, or reads everywhere, reach beyond data.
2. A policy text that is too long or holds no rule is not read; the reach is then reported as unknown.
3. `deny` is ignored: the reported reach may be too large, never too small.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from taskbound.adapters.http import HttpAddress, HttpLostError, HttpUnreachedError
from taskbound.adapters.openbao import BaoConnection
from taskbound.core.target.kind import Reach
from taskbound.ports.target import (
    NameTakenError,
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from taskbound.adapters.http import HttpPool
    from taskbound.adapters.openbao import BaoAnswer
    from taskbound.core.action import JsonValue
    from taskbound.core.target import OpenbaoAccess, OpenbaoPlace


_LISTED: Final = 16_777_216
"""Bytes of a list: 50,000 names are 2.5 million."""
_REST: Final = 35
"""Characters of a name that are one credential's alone (`core.credential.name`)."""
_WHY: Final[Mapping[int, str]] = {
    307: "the OpenBao that answers is not the active one",
    412: "the OpenBao is behind the active one",
    429: "the OpenBao has too much to do",
    472: "the OpenBao that answers is not the active one",
    473: "the OpenBao that answers is not the active one",
    501: "the OpenBao was never initialized",
    503: "the OpenBao is sealed, or at work on itself",
}
_UNREACHED: Final[Mapping[str, str]] = {
    "ConnectionRefusedError": "no server answers at that address",
    "SSLCertVerificationError": "the server's certificate does not prove that it is the host that was named",
    "TimeoutError": "no server answers at that address in time",
    "gaierror": "no such host is known",
}
_ENGINE: Final = (
    ("is not an allowed role", "the engine's connection does not allow the copies (`allowed_roles`)"),
    ("sqlstate 42501", "the engine's own user lacks a right in the database"),
    ("sqlstate 28", "the engine's own user is not let into the database"),
)
"""What stands in an engine's failure, in lower case, and what we say then; the first that fits."""
_TAKEN: Final = ("sqlstate 42710", "sqlstate 23505")
_OK: Final = frozenset({200, 204})
_BAD, _FORBIDDEN, _NOT_FOUND, _FAILED = 400, 403, 404, 500


class Link:
    """One call's connection."""

    def __init__(self, connection: BaoConnection) -> None:
        self._connection = connection

    @property
    def left(self) -> float:
        """Returns the seconds that the call has left; raises TargetUnavailableError if none."""
        left = self._connection.left
        if left <= 0:
            raise TargetUnavailableError("the OpenBao took longer than the call may take")
        return left

    def read(self, path: str) -> Mapping[str, JsonValue] | None:
        answer = self._connection.ask("GET", path)
        return None if _is_nothing(answer) else _data(_granted(answer, path, "read"))

    def names(self, path: str, *, sudo: bool = False, marked: bool = False) -> tuple[str, ...]:
        """Lists the path; `marked` keeps the trailing `/` of folders."""
        answer = self._connection.ask("LIST", path, most=_LISTED)
        if _is_nothing(answer):
            return ()
        keys = _data(_granted(answer, path, *("list", *(("sudo",) if sudo else ())))).get("keys")
        if not isinstance(keys, list):
            raise TargetUnavailableError("the answer of OpenBao to a list request holds no list")
        return tuple(one if marked else one.removesuffix("/") for one in keys if isinstance(one, str))

    def look_up(self, path: str, body: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """Looks up an object that the body identifies, such as an accessor."""
        return _data(_granted(self._connection.ask("POST", path, body), path, "update"))

    def write(self, path: str, body: Mapping[str, JsonValue]) -> None:
        _granted(self._connection.ask("POST", path, body), path, "create", "update")

    def drop(self, path: str) -> None:
        _granted(self._connection.ask("DELETE", path), path, "delete")

    def give(self, path: str) -> Mapping[str, JsonValue]:
        """Requests a dynamic secret with its lease; raises NameTakenError if the database has the login."""
        answer = self._connection.ask("GET", path)
        if answer.status in {_BAD, _FAILED} and answer.errors:
            said = " ".join(answer.errors).lower()
            if any(one in said for one in _TAKEN):
                raise NameTakenError("where the engine makes logins there is one of the name")
            known = next((ours for theirs, ours in _ENGINE if theirs in said), None)
            if known is not None:
                raise TargetRefusedError(known, remedy="see docs/guides/openbao.md")
            raise TargetUnavailableError(f"the engine gives nothing: it failed (status {answer.status})")  # 4
        found = _granted(answer, path, "read").members
        if found is None:
            raise TargetUnavailableError("the engine gives nothing")
        return found

    def end_leases(self, prefix: str) -> bool:
        """Revokes all leases below this path synchronously; returns whether all were revoked."""
        path = f"sys/leases/revoke-prefix/{prefix}"
        answer = self._connection.ask("PUT", path, {"sync": True})
        if answer.status in {_BAD, _FAILED} and answer.errors:
            return False
        _granted(answer, path, "update", "sudo")
        return True

    def renew_token(self) -> None:
        """Renews the admin's token if it is renewable."""
        path = "auth/token/renew-self"
        answer = self._connection.ask("POST", path, {})
        if answer.status == _BAD and answer.errors:
            return  # one that has no end, or an end that can't be moved
        _granted(answer, path, "update")


@contextmanager
def linked(
    place: OpenbaoPlace,
    tls: ssl.SSLContext | None,
    access: OpenbaoAccess,
    *,
    patience: float,
    kept: HttpPool,
) -> Iterator[Link]:
    """Yields a connection for one call; raises TargetUnreachedError only if the call sent nothing."""
    address = HttpAddress(host=place.host, port=place.port, tls=place.tls)
    try:
        with BaoConnection(
            address, tls, token=access.token, namespace=place.namespace, patience=patience, kept=kept
        ) as connection:
            yield Link(connection)
    except HttpUnreachedError as error:
        raise TargetUnreachedError(
            _UNREACHED.get(str(error), f"the OpenBao can't be reached ({error})")
        ) from None
    except HttpLostError as error:
        late = str(error) == "TimeoutError"
        raise TargetUnavailableError(
            "the OpenBao took longer than the call may take"
            if late
            else f"the connection to the OpenBao was lost ({error})"
        ) from None


def _is_nothing(answer: BaoAnswer) -> bool:
    """Returns whether the path is valid and empty: OpenBao then answers with an empty list of errors."""
    return answer.status == _NOT_FOUND and answer.errors == ()


def _granted(answer: BaoAnswer, path: str, *capabilities: str) -> BaoAnswer:
    if answer.status in _OK:
        if answer.too_long or (answer.members is None and answer.status != 204):  # noqa: PLR2004 - HTTP's own
            raise TargetUnavailableError("what answers is no OpenBao, or answers too much")
        return answer
    if answer.errors is None and answer.status not in _WHY:
        raise TargetUnavailableError(f"what answers is no OpenBao (status {answer.status})")  # 2
    if answer.status == _FORBIDDEN:
        words = ", ".join(f'"{one}"' for one in capabilities)
        raise TargetRefusedError(
            f"the OpenBao refuses the admin's token: it has expired, or lacks `{capabilities[0]}` on"
            f" `{_general(path)}`",
            remedy=f'give its policy `path "{_general(path)}" {{ capabilities = [{words}] }}`, or'
            " another token: `taskbound target admin FILE --admin-stdin`",
        )  # 3
    if answer.status == _NOT_FOUND:
        raise TargetRefusedError(
            f"the OpenBao has nothing at `{_general(path)}`",
            remedy="correct mount, `roles`, `creds` or the namespace in the target's file",
        )
    if answer.status == _BAD:
        raise TargetRefusedError(f"the OpenBao does not take what was asked at `{_general(path)}`")  # 4
    raise TargetUnavailableError(_WHY.get(answer.status, f"the OpenBao failed (status {answer.status})"))


def _general(path: str) -> str:
    *before, last = path.split("/")
    return "/".join([*before, f"{last[:-_REST]}*" if last.startswith("tb_") else last])


def _data(answer: BaoAnswer) -> Mapping[str, JsonValue]:
    found = answer.members.get("data") if answer.members is not None else None
    return found if isinstance(found, dict) else {}


_MOST: Final = 65_536
"""Characters of a policy that are read."""
_RULE: Final = re.compile(r'path\s*"([^"]*)"\s*\{')
_CAPABILITIES: Final = re.compile(r"\"?capabilities\"?\s*[=:]\s*\[([^\]]*)\]")
_SHORT: Final = re.compile(r'policy\s*=\s*"(\w+)"')
_SHORTS: Final = {"write": {"create", "read", "update"}, "sudo": {"create", "read", "update", "sudo"}}
_WRITES: Final = frozenset({"create", "patch", "sudo", "update"})
_WRITTEN: Final = (
    "auth/x/certs/x",
    "auth/x/role/x",
    "auth/x/users/x",
    "auth/token/roles/x",
    "identity/entity",
    "identity/entity/id/x",
    "identity/group",
    "identity/group/id/x",
    "sys/auth/x",
    "sys/policies/acl/x",
    "sys/policy/x",
)
"""Where something is written that lets its writer become anybody (rule 1)."""
_MADE: Final = ("auth/token/create", "auth/token/create-orphan")
"""Where `sudo` makes tokens of any policy."""
_SERVERS: Final = ("auth/", "identity/", "sys/")
_OWN: Final = re.compile(
    r"auth/token/(?:lookup|renew|revoke)-self|identity/oidc/provider/\+/authorize|sys/renew"
    r"|sys/(?:capabilities-self|control-group/request|internal/ui/.*|leases/.*|tools/.*|wrapping/.*)"
)
"""What a token does with itself, or with what it was given: most of what the policy `default` permits."""


def reach_of(text: str) -> Reach | None:
    """Returns the reach of a policy text; None if it is unknown (rule 2)."""
    rules = list(_rules(text)) if len(text) <= _MOST else []
    if not rules:
        return None
    reaches = [_reach(path, words) for path, words in rules]
    return min(reaches, key=tuple(Reach).index)


def _reach(path: str, words: set[str]) -> Reach:
    fits = _pattern(path)
    if words & _WRITES and any(fits.fullmatch(one) for one in _WRITTEN):
        return Reach.ALL
    if "sudo" in words and any(fits.fullmatch(one) for one in _MADE):
        return Reach.ALL
    servers = path.startswith(_SERVERS) and not _OWN.fullmatch(path)
    anywhere = path.lstrip("+/") == "*" and bool(words - {"deny"})
    return Reach.BEYOND if anywhere or (servers and words & _WRITES) else Reach.DATA


def _pattern(path: str) -> re.Pattern[str]:
    parts = ["[^/]+" if one == "+" else re.escape(one) for one in path.removesuffix("*").split("/")]
    return re.compile("/".join(parts) + (".*" if path.endswith("*") else ""))


def _rules(text: str) -> Iterator[tuple[str, set[str]]]:
    try:
        found = json.loads(text).get("path", {})
    except (ValueError, RecursionError, AttributeError):
        found = None
    if isinstance(found, dict):
        for path, rule in found.items():
            told = rule.get("capabilities") if isinstance(rule, dict) else None
            yield path, {one for one in told if isinstance(one, str)} if isinstance(told, list) else set()
        return
    heads = list(_RULE.finditer(text))
    ends = [*(one.start() for one in heads), len(text)][1:]
    for head, end in zip(heads, ends, strict=True):
        body = text[head.end() : end]
        words = {one.strip().strip('"') for told in _CAPABILITIES.findall(body) for one in told.split(",")}
        for short in _SHORT.findall(body):
            words |= _SHORTS.get(short, {short})
        yield head[1].removeprefix("/"), words - {""}
