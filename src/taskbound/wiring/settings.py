"""The settings of an installation: `taskbound.toml` in the data directory and `TASKBOUND_…` variables.

1. The command line overrides the environment, the environment the file, the file the default.
2. Unknown or duplicate keys and values of the wrong type are errors.
3. A file that others can write is refused.
4. No setting contains a secret: settings are displayed and appear in command lines.
5. If another account owns the directory, the error says so.
"""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.wiring.address import parse_hosts, parse_networks, parse_origin
from taskbound.wiring.home import require_reachable_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


FILE: Final = "taskbound.toml"
PREFIX: Final = "TASKBOUND_"
_COUNTS: Final = frozenset({"refusals_burst", "refusals_rate", "hold_seconds", "asks_burst", "asks_rate"})
_TLS: Final = ("tls_certificate", "tls_key", "client_roots")
_OWN: Final = ("socket", "egress", "broker")
_PATHS: Final = (*_OWN, *(f"{one}_{name}" for one in ("api", "gateway") for name in _TLS))
_MOST: Final = 100_000
_MOST_WAIT: Final = 600
"""Seconds; the daemon lets nobody wait for longer."""
_LEVELS: Final = ("debug", "info", "warning", "error")
_WRITABLE_BY_OTHERS: Final = 0o022
_DEVELOPMENT: Final = frozenset({"TASKBOUND_HOME", "TASKBOUND_VENV", "TASKBOUND_PYTHON", "TASKBOUND_SHARED"})
_TOLD: Final = frozenset({"TASKBOUND_TASK"})
"""What `taskbound run` tells its command."""


class BadSettingError(MalformedError):
    """An unknown setting or an invalid value."""

    code = "bad-setting"
    remedy = "see docs/reference/settings.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default."""

    namespace: str = "default"
    """The namespace that commands work in."""
    agent: str = ""
    """The agent that `run` and `task start` mean when none is named."""
    template: str = ""
    """The template that `run` and `task start` mean when neither template nor scope is given."""
    autostart: bool = True
    """Whether a command may start the daemon."""
    log_level: str = "info"
    """How much the daemon writes to its log: debug, info, warning or error."""
    socket: str = ""
    """The socket of a daemon that another account runs, absolute (see `deploy/`); then none is started."""
    refusals_burst: int = 100
    """How many refusals of one agent the daemon records one by one at once; the rest are counted."""
    refusals_rate: int = 5
    """How many refusals of one agent a second it records one by one after that."""
    asks_burst: int = 200
    """How many requests one person or agent may make over the network at once."""
    asks_rate: int = 100
    """How many requests a second they may make after that."""
    hold_seconds: int = 45
    """How many seconds a call through a gateway waits for people; most clients give up after 60."""
    egress: str = ""
    """The socket of an egress that another account runs, absolute (see `deploy/`)."""
    broker: str = ""
    """The socket of a broker that another account runs, absolute (see `deploy/`)."""
    api_address: str = ""
    """Where the API listens, `ADDRESS:PORT`; without it only `taskbound serve` has one, on 127.0.0.1:8700."""
    api_origin: str = ""
    """How the API is known outside, `https://HOST[:PORT]`; needed off the loopback and behind a proxy."""
    api_tls_certificate: str = ""
    """The certificate chain that the API shows, PEM, absolute; off the loopback there is no API without."""
    api_tls_key: str = ""
    """The key of that certificate, PEM, absolute."""
    api_client_roots: str = ""
    """Authorities of client certificates, PEM, absolute; those of believed trust domains are taken anyway."""
    api_proxies: str = ""
    """Proxies whose `X-Forwarded-For` the API believes: addresses or networks, with a space between two."""
    traces: str = ""
    """Where spans of requests are sent by OTLP/HTTP, `http://HOST:PORT` or `https://…`; nowhere if empty."""
    gateway_origin: str = "http://127.0.0.1:8701"
    """How the gateway over HTTP is known outside, `https://HOST[:PORT]`: tokens for it name it."""
    trust_domain: str = ""
    """For whom transaction tokens are, such as `corp.example`; the host of the API's name if empty."""
    private_clients: str = ""
    """Hosts, with a space between two, whose documents of clients may be at addresses of your own network."""
    gateway_tls_certificate: str = ""
    """The certificate chain that the gateway over HTTP shows, PEM, absolute; needed off the loopback."""
    gateway_tls_key: str = ""
    """The key of that certificate, PEM, absolute."""
    gateway_client_roots: str = ""
    """More authorities of client certificates than those of trust domains, PEM, absolute."""
    store: str = ""
    """A PostgreSQL database, `postgresql://…` without a password, instead of SQLite in the data directory."""


def read_settings(home: Path, environ: Mapping[str, str]) -> Settings:
    """Returns the settings of this data directory (rule 1)."""
    told: dict[str, object] = dict(_from_file(home / FILE))
    for field in fields(Settings):
        text = environ.get(PREFIX + field.name.upper())
        if text is not None:
            told[field.name] = _from_text(field.name, text)
    told = {one.name: told.get(one.name, one.default) for one in fields(Settings)}
    autostart = told["autostart"]
    if not isinstance(autostart, bool):
        raise BadSettingError(f"`autostart` is true or false, not `{autostart}`", where="autostart")
    texts = {name: value for name, value in told.items() if name != "autostart" and name not in _COUNTS}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise BadSettingError(f"`{name}` is a text, not `{value}`", where=name)
    words = {name: str(value) for name, value in texts.items()}
    if words["log_level"] not in _LEVELS:
        raise BadSettingError(
            f"`log_level` is one of {', '.join(_LEVELS)}, not `{words['log_level']}`", where="log_level"
        )
    for name in _PATHS:
        path = words[name]
        if path and not os.path.isabs(path):  # noqa: PTH117 -- a question about the text as it was written
            raise BadSettingError(f"`{name}` is an absolute path, not `{path}`", where=name)
    if words["store"]:
        require_store(words["store"])
    if words["trust_domain"]:
        from taskbound.core.identity.selector import parse_trust_domain  # noqa: PLC0415  # a gateway loads none

        parse_trust_domain(words["trust_domain"])
    parse_networks(words["api_proxies"], where="api_proxies")
    words["private_clients"] = " ".join(parse_hosts(words["private_clients"], where="private_clients"))
    if words["traces"]:
        words["traces"] = parse_origin(words["traces"], secured=False, where="traces")
    words["gateway_origin"] = parse_origin(words["gateway_origin"], secured=False, where="gateway_origin")
    return Settings(
        autostart=autostart,
        refusals_burst=_count("refusals_burst", told["refusals_burst"]),
        refusals_rate=_count("refusals_rate", told["refusals_rate"]),
        asks_burst=_count("asks_burst", told["asks_burst"]),
        asks_rate=_count("asks_rate", told["asks_rate"]),
        hold_seconds=_count("hold_seconds", told["hold_seconds"], least=0, most=_MOST_WAIT),
        **words,
    )


def _count(name: str, told: object, *, least: int = 1, most: int = _MOST) -> int:
    if not isinstance(told, int) or isinstance(told, bool) or not least <= told <= most:
        raise BadSettingError(f"`{name}` is a whole number from {least} to {most}, not `{told}`", where=name)
    return told


def require_store(text: str) -> None:
    """Raises BadSettingError unless this is a database address without a password (rule 4)."""
    try:
        seen = urlsplit(text)
        secret = seen.password is not None or "password" in parse_qs(seen.query)
    except ValueError as error:
        raise BadSettingError("`store` can't be read as an address", where="store") from error
    if seen.scheme not in {"postgresql", "postgres"}:
        raise BadSettingError(
            "`store` begins with `postgresql://`", where="store", remedy="leave it out for SQLite"
        )
    if secret:
        raise BadSettingError(
            "`store` holds a password",
            where="store",
            remedy="leave it out: let the database know the account (`peer`), or use ~/.pgpass",
        )


def unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the `TASKBOUND_…` variables that are no setting, to detect misspellings."""
    known = _DEVELOPMENT | _TOLD | {PREFIX + field.name.upper() for field in fields(Settings)}
    return tuple(sorted(name for name in environ if name.startswith(PREFIX) and name not in known))


def _from_file(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as stream:
            seen = os.fstat(stream.fileno())
            if seen.st_mode & _WRITABLE_BY_OTHERS or seen.st_uid not in {os.geteuid(), 0}:  # 3.
                raise BadSettingError(
                    f"others can write `{path}` (mode {stat.S_IMODE(seen.st_mode):04o})",
                    remedy="chmod 600 it",
                )
            told = tomllib.load(stream)
    except FileNotFoundError:
        return {}
    except OSError as error:
        if isinstance(error, PermissionError):
            require_reachable_home(path.parent)  # 5
        raise BadSettingError(f"`{path}` can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:  # 2.: TOML refuses a key that stands twice
        raise BadSettingError(f"`{path}` is no TOML: {error}") from error
    known = {field.name for field in fields(Settings)}
    for key in told:
        if key not in known:
            raise BadSettingError(
                f"`{path}` has no setting `{key}`",
                where=key,
                remedy=f"the settings are {', '.join(sorted(known))}",
            )
    return told


def _from_text(name: str, text: str) -> object:
    if name in _COUNTS and text.isascii() and text.isdigit():
        return int(text)
    if name != "autostart":
        return text
    if text not in {"true", "false"}:
        raise BadSettingError(f"`{PREFIX}{name.upper()}` is `true` or `false`, not `{text}`", where=name)
    return text == "true"
