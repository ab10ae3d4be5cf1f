"""The guard's configuration file: service, proxy, and the tool of each endpoint.

1. Keys are known, unique and typed. A key has no default where a default could let a request pass.
2. A file that others can write is refused. Paths are absolute.
3. If the sender of a request is not authenticated, the file must say so (`holding`).
4. nginx `auth_request` passes no body, so an endpoint behind nginx can't have body arguments: they would not
   be checked.
5. The guard listens on this machine only, because requests carry tokens.
6. Claims are a local file, or shared by all guards of the service, as the file says. With a local file each,
   two guards would each admit the same request once.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.identity.selector import parse_trust_domain
from taskbound.sdk.verify import WHOEVER_HAS_IT, Body, Endpoint, Endpoints, Holders
from taskbound.surfaces.proxied.proxy import Proxy
from taskbound.wiring.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskbound.sdk.verify.holder import Holding


_WRITABLE_BY_OTHERS: Final = 0o022
_MOST: Final = 262_144
"""Bytes of the file."""
_HOST: Final = re.compile(r"[a-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9a-f:]{2,39}\](?::[0-9]{1,5})?", re.ASCII)
_TEXTS: Final = ("name", "issuer", "domain", "claims", "key", "listen", "proxy")
_KNOWN: Final = frozenset(
    {*_TEXTS, "authorities", "endpoints", "group", "holders", "holding", "hosts", "namespace", "public"}
)
_OF_ENDPOINT: Final = frozenset({"tool", "body", "definition"})
_OF_HOLDERS: Final = frozenset({"shown_by", "carriers", "origin"})
_NONE: Final = "none"
_SHARED: Final = "shared"
"""Claims that the daemon keeps (rule 6)."""
T = TypeVar("T")


class BadGuardFileError(MalformedError):
    """The guard's file is unreadable or incomplete."""

    code = "bad-guard-file"
    remedy = "see docs/guides/proxies.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFile:
    """The parsed guard file."""

    proxy: Proxy
    listen: Path | tuple[str, int]
    """A socket's path, or an address of the loopback and a port."""
    group: str
    """Whose members may ask at the socket, beside this account; empty for nobody."""
    name: str
    """The service's, as it is registered."""
    issuer: str
    domain: str
    namespace: str
    claims: Path | None
    """The file of what was done; None where the daemon keeps it for all guards of the service."""
    key: Path
    """The service's own, PEM."""
    authorities: Path | None
    """Whom the issuer's certificate is believed by, PEM; the system's where there is none."""
    hosts: frozenset[str]
    endpoints: Endpoints
    tools: Mapping[str, str]
    """The tool of each endpoint, for a person to see."""
    public: tuple[str, ...]
    holding: Holding


def read_file(path: Path) -> GuardFile:
    """Parses the file."""
    told = _parsed(path)
    _require_known(told, _KNOWN, "")
    texts = {name: _text(told, name) for name in _TEXTS}
    proxy = _proxy(texts["proxy"])
    parse_trust_domain(texts["domain"])
    tools = _table(told, "endpoints")
    if not tools:
        raise BadGuardFileError("no endpoint is declared", where="endpoints")
    declared = {name: _endpoint(name, one, proxy) for name, one in tools.items()}
    public = _list(told, "public")
    return GuardFile(
        proxy=proxy,
        listen=_listen(texts["listen"]),
        group=_text(told, "group", needed=False),
        name=texts["name"],
        issuer=texts["issuer"],
        domain=texts["domain"],
        namespace=_text(told, "namespace", needed=False) or "default",
        claims=None if texts["claims"] == _SHARED else _absolute(texts["claims"], "claims"),
        key=_absolute(texts["key"], "key"),
        authorities=_absolute(text, "authorities")
        if (text := _text(told, "authorities", needed=False))
        else None,
        hosts=_hosts(told),
        endpoints=Endpoints(declared, public=public),
        tools={name: one.tool for name, one in declared.items()},
        public=public,
        holding=_holding(told),
    )


def _parsed(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as stream:
            seen = os.fstat(stream.fileno())
            if seen.st_mode & _WRITABLE_BY_OTHERS or seen.st_uid not in {os.geteuid(), 0}:
                raise BadGuardFileError(
                    f"others can write `{path}` (mode {stat.S_IMODE(seen.st_mode):04o})",
                    remedy="chmod 640 it, and have it belong to root or to this account",
                )
            text = stream.read(_MOST + 1)
        if len(text) > _MOST:
            raise BadGuardFileError(f"`{path}` has more than {_MOST} bytes")
        return tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise BadGuardFileError(f"`{path}` can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadGuardFileError(f"`{path}` is no TOML: {error}") from error


def _require_known(told: Mapping[str, object], known: frozenset[str], where: str) -> None:
    for key in told:
        if key not in known:
            raise BadGuardFileError(
                f"there is no key `{key}`" + (f" of `{where}`" if where else ""),
                where=f"{where}.{key}" if where else key,
                remedy=f"the keys are {', '.join(sorted(known))}",
            )


def _typed(told: Mapping[str, object], name: str, kind: type[T], words: str, where: str) -> T:
    value = told[name]
    if not isinstance(value, kind):
        raise BadGuardFileError(f"`{name}` is {words}", where=where)
    return value


def _text(told: Mapping[str, object], name: str, *, needed: bool = True, within: str = "") -> str:
    where = f"{within}.{name}" if within else name
    if name not in told:
        if needed:
            raise BadGuardFileError(f"`{name}` is missing", where=where)
        return ""
    text = _typed(told, name, str, "a text", where)
    if not text:
        raise BadGuardFileError(f"`{name}` is empty", where=where)
    return text


def _list(told: Mapping[str, object], name: str, *, within: str = "") -> tuple[str, ...]:
    where = f"{within}.{name}" if within else name
    if name not in told:
        return ()
    found: list[object] = _typed(told, name, list, "a list of texts", where)
    texts = [one for one in found if isinstance(one, str) and one]
    if len(texts) != len(found):
        raise BadGuardFileError(f"`{name}` is a list of texts", where=where)
    return tuple(texts)


def _table(told: Mapping[str, object], name: str, *, within: str = "") -> dict[str, object]:
    where = f"{within}.{name}" if within else name
    if name not in told:
        return {}
    return _typed(told, name, dict, "a table", where)


def _absolute(text: str, where: str) -> Path:
    if not os.path.isabs(text) or "\0" in text:  # noqa: PTH117 -- a question about the text as it was written
        raise BadGuardFileError(f"`{where}` is an absolute path, not `{text}`", where=where)  # 2
    return Path(text)


def _listen(text: str) -> Path | tuple[str, int]:
    if text.startswith("/"):
        return _absolute(text, "listen")
    address, port = parse_address(text, where="listen")
    if not ip_address(address).is_loopback:
        raise BadGuardFileError(
            f"`{address}` is not of the loopback",
            where="listen",
            remedy="name a socket's path, or an address of the loopback; the guard runs beside its proxy",
        )
    return address, port


def _proxy(text: str) -> Proxy:
    known = {one.value: one for one in Proxy}
    if text not in known:
        raise BadGuardFileError(f"`proxy` is one of {', '.join(sorted(known))}, not `{text}`", where="proxy")
    return known[text]


def _hosts(told: Mapping[str, object]) -> frozenset[str]:
    hosts = _list(told, "hosts")
    if not hosts:
        raise BadGuardFileError("no host is named, so none is the service's", where="hosts")
    for one in hosts:
        if _HOST.fullmatch(one) is None:
            raise BadGuardFileError(
                f"`{one}` is no host; write it in small letters, with its port where clients say one",
                where="hosts",
            )
    return frozenset(hosts)


def _endpoint(name: str, told: object, proxy: Proxy) -> Endpoint:
    where = f"endpoints.{name}"
    if isinstance(told, str):
        told = {"tool": told}
    if not isinstance(told, dict):
        raise BadGuardFileError(f"`{name}` is a tool, or a table", where=where)
    _require_known(told, _OF_ENDPOINT, where)
    body = _text(told, "body", needed=False, within=where) or Body.CONTENT.value
    if body not in {Body.CONTENT.value, Body.ARGUMENTS.value, _NONE}:
        raise BadGuardFileError(
            f"`body` is `content`, `arguments` or `none`, not `{body}`", where=f"{where}.body"
        )
    if proxy is Proxy.AUTH_REQUEST and body != _NONE:
        raise BadGuardFileError(
            f"`auth_request` shows no body, so `{name}` can't have one",
            where=f"{where}.body",
            remedy='say `body = "none"` of it, or `proxy = "nginx"`, where nginx shows whole requests',
        )
    return Endpoint(
        tool=_text(told, "tool", within=where),
        body=Body.ARGUMENTS if body == Body.ARGUMENTS.value else Body.CONTENT,
        definition=_text(told, "definition", needed=False, within=where),
        content_type="" if body == _NONE else "application/json",
    )


def _holding(told: Mapping[str, object]) -> Holding:
    if ("holding" in told) is ("holders" in told):
        raise BadGuardFileError(
            "who holds a token is said by `[holders]`, or given up by a word",
            where="holding",
            remedy=f'write `[holders]`, or `holding = "{WHOEVER_HAS_IT}"` where nobody can be known',
        )
    if "holding" in told:
        if _text(told, "holding") != WHOEVER_HAS_IT:
            raise BadGuardFileError(f"`holding` is `{WHOEVER_HAS_IT}`, or left out", where="holding")
        return WHOEVER_HAS_IT
    holders = _table(told, "holders")
    _require_known(holders, _OF_HOLDERS, "holders")
    shown = _table(holders, "shown_by", within="holders")
    return Holders(
        shown_by={name: _list(shown, name, within="holders.shown_by") for name in shown},
        carriers=_list(holders, "carriers", within="holders"),
        origin=_text(holders, "origin", needed=False, within="holders"),
    )
