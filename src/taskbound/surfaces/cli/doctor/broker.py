"""Findings about the broker and its targets, the egress, and slots that credentials fill.

1. The broker's account is that of the socket's peer, or of its owner where this account may not connect.
2. Protection against tracers doesn't cover the broker's key file. One shared account is never a boundary.
3. Without targets nothing is reported, and looking starts no broker.
4. The broker reaches hosts with this machine's `ssh`.
5. Targets whose credentials can't be revoked are reported with their number.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.dataclass import dataclass
from taskbound.core.errors import TaskboundError
from taskbound.core.scope import parse_scope, tools_of
from taskbound.core.target.systems import OPENSSH
from taskbound.core.tool import parse_slot
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.target.preflight import tell_lasting
from taskbound.wire.target import ListTargets, TargetRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.core.tool import Source
    from taskbound.sdk.client import Client
    from taskbound.wire.connection import StatusReport
    from taskbound.wire.target import TargetRow
    from taskbound.wire.tool import UpstreamRow


_CREDENTIALS: Final = struct.Struct("3i")
_PATIENCE: Final = 2.0
_OTHERS: Final = 0o077
_OWN: Final = (
    "the broker runs under your own account: any program of yours, an agent with a shell included, can read"
    " its key, and with that the admin access of every target"
)
_HIDDEN: Final = {
    True: "; its memory is kept from tracers, which helps against none that reads the key",
    False: "; and its memory can be read by tracers",
    None: "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerView:
    """A broker as seen from outside."""

    uid: int = -1
    """Whose it is; -1 where that is not known."""
    hidden: bool | None = None
    """Whether no tracer of its account reads its memory; None where the system doesn't tell."""
    trouble: str = ""
    """Why nothing is seen."""


def look_at_broker(
    client: Client, status: StatusReport, place: Path | None, home: Path
) -> Iterator[tuple[str, str, str, str]]:
    if not status.targets:
        return  # 3
    yield from tell_broker(see_broker(place), home / "broker", os.geteuid())
    rows = client.ask(ListTargets(), TargetRows).rows
    yield from tell_targets(rows, status)
    yield from tell_hosts(rows, client_is_there=shutil.which("ssh") is not None)
    yield from tell_lasting(rows)  # 5


def see_broker(place: Path | None) -> BrokerView:
    if place is None:
        return BrokerView(trouble="its address is unknown")
    try:
        owner = place.stat().st_uid
    except OSError as error:
        return BrokerView(trouble=error.strerror or type(error).__name__)
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return BrokerView(uid=owner)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.settimeout(_PATIENCE)
            one.connect(str(place))
            raw = one.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    except PermissionError:
        return BrokerView(uid=owner)
    except OSError as error:
        return BrokerView(trouble=error.strerror or type(error).__name__)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return BrokerView(uid=uid, hidden=is_hidden(Path(f"/proc/{pid}/environ"), uid))


def is_hidden(environ: Path, uid: int) -> bool | None:
    """Return whether root owns this `/proc` file of a process of `uid`; None if `uid` is root."""
    if sys.platform != "linux" or uid == 0:
        return None
    try:
        return environ.stat().st_uid != uid
    except OSError:
        return None


def tell_broker(seen: BrokerView, keys: Path, own: int) -> Iterator[tuple[str, str, str, str]]:
    """Yield findings; `keys` is its key folder under this account, `own` this account."""
    if seen.trouble:
        text = f"the broker is not seen: {seen.trouble}; nothing is minted, and nothing is revoked"
        advice = "it is started with `taskbound serve`, or by its service: see the daemon's log"
        yield "bad", "broker", text, advice
    elif seen.uid == own:
        text = _OWN + _HIDDEN[seen.hidden]  # 2
        yield "warn", "broker-account", text, "install it under an account of its own: see `deploy/README.md`"
        yield from _key_directory(keys)
    else:
        who = _name(seen.uid)
        text = f"the broker runs under the account of {who}: yours reads neither its key nor its memory"
        yield "ok", "broker-account", text, ""


def _key_directory(keys: Path) -> Iterator[tuple[str, str, str, str]]:
    try:
        mode = stat.S_IMODE(keys.stat().st_mode)
    except OSError:
        return  # it has another one, which only its own command line names
    closed = not mode & _OTHERS
    text = f"the broker's key is in a directory of mode {mode:04o}, " + (
        "which no other account can enter" if closed else "which other accounts can enter"
    )
    advice = (
        ""
        if closed
        else f"close it with `chmod 700 {shown(str(keys))}`, after a look at who may have read it"
    )
    yield "ok" if closed else "bad", "broker-key", text, advice


def tell_targets(rows: Sequence[TargetRow], status: StatusReport) -> Iterator[tuple[str, str, str, str]]:
    waits = status.revoking_credentials
    if status.brokers:
        yield "ok", "broker-connected", "a broker is connected to the daemon", ""
    else:
        text = f"no broker is connected to the daemon: nothing is minted, nor revoked ({waits} should be)"
        advice = (
            "see the logs of the daemon and of the broker: whether it reads the database, and its version"
        )
        yield "bad", "broker-connected", text, advice
    if status.doubted:
        text = (
            f"nothing is minted since {moment(status.doubted)}: {shown(status.doubt)} (epoch"
            f" {status.epoch}); targets where something may be left: {status.doubted_targets}"
        )
        advice = (
            "wait until nothing of before is left in any of them; the broker's log says what is in the way"
        )
        yield "bad", "store-restored", text, advice
    age = status.oldest_revocation
    if status.overdue_credentials:
        text = (
            f"{status.overdue_credentials} revocations are overdue, the oldest for {age} s: what is to be"
            " revoked may still open its target"
        )
        yield "bad", "overdue", text, "see `taskbound credential overdue`"
    for row in rows:
        name, why = shown(row.name), f": {shown(Words(row.trouble))}" if row.trouble else ""
        look = f"see `taskbound target show {name}`, and test it with `taskbound target test {name}`"
        if row.state == "refused":
            yield "warn", "target-refused", f"target `{name}` gives nothing: its test failed{why}", look
        elif row.state == "untested":
            yield "warn", "target-untested", f"target `{name}` gives nothing: its test was never over", look
        elif row.trouble:
            yield "warn", "target-trouble", f"the last test of target `{name}` failed{why}", look


def tell_hosts(rows: Sequence[TargetRow], *, client_is_there: bool) -> Iterator[tuple[str, str, str, str]]:
    hosts = [row for row in rows if row.kind == OPENSSH]
    names = ", ".join(f"`{shown(row.name)}`" for row in hosts)
    if hosts and not client_is_there:
        text = (
            f"there is no `ssh` here: the broker comes to no host, and mints and revokes nothing in {names}"
        )
        yield "bad", "ssh-client", text, "install OpenSSH's client on this machine"


def _name(uid: int) -> str:
    try:
        return f"`{shown(pwd.getpwuid(uid).pw_name)}`"
    except KeyError:
        return f"account {uid}"


_DOCTOR_EGRESS_OWN: Final = (
    "the egress runs under your own account: any program of yours, an agent with a shell included, can read"
    " its key, and in /proc what its servers were started with"
)


def look_at_egress(
    servers: Iterable[UpstreamRow], socket: Path | None
) -> Iterator[tuple[str, str, str, str]]:
    rows = [row for row in servers if row.spec.slots]
    if not rows:
        return
    yield _account(socket)
    for row in rows:
        for one in row.secrets:
            if not one.filled and parse_slot(one.slot).source is None:
                name = shown(row.spec.name)
                text = f"server `{name}`: {shown(one.slot)} is empty, and so it is not started"
                advice = f"fill it with `taskbound upstream secret {name} {shown(one.slot)}`"
                yield "warn", "empty-slot", text, advice


def _account(socket: Path | None) -> tuple[str, str, str, str]:
    try:
        owner = socket.stat().st_uid if socket is not None else -1
    except OSError as error:
        text = f"the egress is not seen: {error.strerror}; servers with secrets can't be used"
        advice = "it is started with `taskbound serve`, or by its service: see the daemon's log"
        return "bad", "egress", text, advice
    if owner == os.geteuid():
        advice = "install it under an account of its own: see `deploy/README.md` in Taskbound's source tree"
        return "warn", "egress-account", _DOCTOR_EGRESS_OWN, advice
    text = f"the egress runs under the account of {_name(owner)}: yours reads neither its key nor a secret"
    return "ok", "egress-account", text, ""


_NAME = "minted-slot"


def look_at_minted(
    client: Client, servers: Iterable[UpstreamRow], ceilings: Mapping[str, JsonValue]
) -> Iterator[tuple[str, str, str, str]]:
    rows = [row for row in servers if _sources(row)]
    if rows:
        targets = client.ask(ListTargets(), TargetRows).rows
        yield from tell_minted(rows, targets, ceilings)


def tell_minted(
    servers: Iterable[UpstreamRow], targets: Iterable[TargetRow], ceilings: Mapping[str, JsonValue]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield these findings from known rows; each credential of each server once."""
    known = {one.name: one for one in targets}
    for row in servers:
        name = shown(row.spec.name)
        for source in _sources(row):
            trouble = _trouble(source, known.get(source.target))
            if trouble:
                text = f"server `{name}` is not started: {trouble[0]}"
                yield ("warn", _NAME, text, trouble[1])
            for agent in sorted(ceilings):
                if row.agents and agent not in row.agents:
                    continue
                if source.tool not in _granted(ceilings[agent]):
                    who = f"server `{name}` is not started for agent `{shown(agent)}`"
                    why = f"its ceiling has no grant for `{source.tool}`, which fills slots of it"
                    advice = (
                        f"grant `{source.tool}` in its ceiling and its tasks' scopes, where that is meant"
                    )
                    yield ("warn", _NAME, f"{who}: {why}", advice)


def _sources(row: UpstreamRow) -> list[Source]:
    slots = (parse_slot(one) for one in row.spec.slots)
    return list({one.source.credential: one.source for one in slots if one.source is not None}.values())


def _trouble(source: Source, target: TargetRow | None) -> tuple[str, str] | None:
    if target is None:
        return f"no target is named `{source.target}`", "add it with `taskbound target add`"
    if target.state != "ready":
        return (
            f"the target `{source.target}` is not ready ({target.state})",
            f"test it with `taskbound target test {source.target}`",
        )
    kind = next((one for one in target.kinds if one.name == source.kind), None)
    if kind is None:
        return (
            f"the target `{source.target}` has no kind `{source.kind}`",
            "see its kinds with `taskbound target list`, and pin the server with one of them",
        )
    if set(kind.parameters) != source.given.keys():
        wanted = ", ".join(kind.parameters) or "no parameters"
        return (
            f"`{source.tool}` wants {wanted}, and its slots say something else",
            "pin the server anew, with `?name=value` behind the kind for each of them",
        )
    return None


def _granted(ceiling: JsonValue) -> frozenset[str]:
    try:
        return frozenset(tools_of(parse_scope(ceiling)))
    except TaskboundError:
        return frozenset()
