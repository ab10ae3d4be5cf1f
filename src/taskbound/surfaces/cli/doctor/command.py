"""`taskbound doctor`: which boundaries hold and what is broken; it starts nothing and changes nothing."""

from __future__ import annotations

import os
import pwd
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import typer

from taskbound.core.errors import TaskboundError
from taskbound.surfaces.cli.doctor.broker import look_at_broker, look_at_egress, look_at_minted
from taskbound.surfaces.cli.doctor.clients import look_at_clients
from taskbound.surfaces.cli.doctor.findings import Finding, finding, look_at_copies, look_at_variables
from taskbound.surfaces.cli.doctor.people import (
    look_at_people,
    look_at_stolen,
    look_at_token_keys,
    look_at_trusts,
)
from taskbound.surfaces.cli.doctor.processes import look_at_processes
from taskbound.surfaces.cli.errors import fault_of
from taskbound.surfaces.cli.pages import with_pages
from taskbound.surfaces.cli.screen import Words, moment, shown
from taskbound.surfaces.cli.session import Session, command
from taskbound.wire.connection import Status, StatusReport
from taskbound.wire.identity import AgentRows, ListAgents
from taskbound.wire.policy import BundleInForce
from taskbound.wire.tool import ListUpstreams, UpstreamRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.core.action.canonical import JsonValue
    from taskbound.sdk.client import Client
    from taskbound.wire.identity import AgentDetail
    from taskbound.wire.tool import ServerSpec, UpstreamRow


_SECOND: Final = 1_000_000
_STALE: Final = 60 * _SECOND
_OVERDUE: Final = 15 * 60 * _SECOND
_OTHERS: Final = 0o077
_WRITABLE: Final = 0o022
_DEPLOY: Final = "see `deploy/README.md` in Taskbound's source tree"


class DoctorReport(msgspec.Struct, frozen=True, kw_only=True, tag="doctor", tag_field="is"):
    """All findings."""

    home: str
    healthy: bool
    policy: BundleInForce | None
    """Under which rules calls are decided; nothing while no daemon answers."""
    findings: tuple[Finding, ...]


def add_doctor(app: typer.Typer) -> None:
    command(app, "doctor", examples="taskbound doctor\ntaskbound doctor --json")(doctor)


def doctor(session: Session) -> None:
    """Report what this installation protects, what it doesn't, and which clients bypass the gateway.

    The status is 0 if nothing is broken, and 1 otherwise. Warnings do not change it.
    """
    status, found = _look(session)
    report = DoctorReport(
        home=str(session.place.home),
        healthy=not any(one.level == "bad" for one in found),
        policy=status.policy if status is not None else None,
        findings=tuple(found),
    )
    session.screen.report(report)
    _show(session, report)
    if not report.healthy:
        raise typer.Exit(1)


def _show(session: Session, report: DoctorReport) -> None:
    titles = {
        "boundary": "What holds on this machine, and what does not",
        "daemon": "The daemon",
        "policy": "The rules in force",
        "audit": "The audit log",
        "copies": "Copies of the store",
        "agents": "Agents and servers",
        "targets": "Targets and their broker",
        "people": "People",
        "trust": "Trust domains",
        "clients": "MCP clients of this account",
        "processes": "What runs now",
    }
    session.screen.line(f"Installation: {shown(report.home)}")
    for about, title in titles.items():
        some = [one for one in report.findings if one.about == about]
        if some:
            session.screen.heading(title)
        for one in some:
            session.screen.status(one.level, Words(one.text), Words(with_pages(one.advice)))


def _look(session: Session) -> tuple[StatusReport | None, list[Finding]]:
    place, home, elsewhere = session.place, session.place.home, session.place.socket
    found = list(_boundaries(home, elsewhere))
    client: Client | None = None
    status: StatusReport | None = None
    ceilings: dict[str, JsonValue] | None = None
    pinned: tuple[ServerSpec, ...] = ()
    if elsewhere or home.is_dir():
        try:
            client = session.plugs.connect(replace(place, autostart=False), session.namespace, "cli")
        except TaskboundError as error:
            fault = fault_of(error)
            found.append(
                Finding(about="daemon", level="bad", name="daemon", text=fault.message, advice=fault.advice)
            )
    if client is not None:
        with client:
            status = client.ask(Status(), StatusReport)
            agents = client.ask(ListAgents(), AgentRows).rows
            ceilings = {one.name: msgspec.json.decode(bytes(one.ceiling)) for one in agents}
            rows = client.ask(ListUpstreams(), UpstreamRows).rows
            pinned = tuple(one.spec for one in rows)
            found += [*_daemon(status, home), *_agents(agents), *_servers(rows)]
            seen = (
                ("people", look_at_people(client)),
                ("trust", look_at_trusts(client)),
                ("daemon", look_at_token_keys(client, time.time_ns() // 1000)),
                ("boundary", [*look_at_stolen(client, status.fronts), *look_at_egress(rows, place.egress)]),
                ("targets", look_at_broker(client, status, place.broker, home)),
                ("targets", look_at_minted(client, rows, ceilings)),
            )
            found += [
                Finding(about=about, level=level, name=name, text=text, advice=advice)
                for about, some in seen
                for level, name, text, advice in some
            ]
    found += look_at_variables(place.unknown_variables)
    if home.is_dir() and not elsewhere:
        found += look_at_copies(session.plugs.copies(place), time.time_ns() // 1000)
    found += look_at_clients(
        home=home,
        person=Path.home(),
        folder=Path.cwd(),
        namespace=session.namespace,
        environ=session.plugs.environ,
        agents=ceilings,
        pinned=pinned,
        floating=session.plugs.floating,
    )
    return status, [*found, *look_at_processes(pinned)]


def _boundaries(home: Path, elsewhere: str) -> Iterator[Finding]:
    yield from _socket(Path(elsewhere)) if elsewhere else _modes(home)
    yield _not(
        "agent-tools", "what an agent does without MCP (its own shell, its own file tools) is not gated"
    )
    if sys.platform != "linux":
        yield _not("untested-system", "only Linux was tested for these boundaries")


def _socket(path: Path) -> Iterator[Finding]:
    """Check that no third account can own the socket of another account's daemon."""
    try:
        seen, around = path.stat(), path.parent.stat()
    except OSError as error:
        text = f"the daemon's socket `{shown(str(path))}` can't be seen: {error.strerror}"
        advice = "look with `id` whether you are in the group that may connect"
        yield finding("boundary", "bad", "socket", text, advice)
        return
    closed = around.st_uid in {0, seen.st_uid} and not around.st_mode & _WRITABLE
    text = (
        f"the daemon's socket belongs to {_account(seen.st_uid)}, mode {_mode(seen)}, in a folder of"
        f" {_account(around.st_uid)}, mode {_mode(around)}"
    )
    advice = "" if closed else f"another account could put a socket of its own there: {_DEPLOY}"
    yield finding("boundary", "ok" if closed else "bad", "socket", text, advice)


def _modes(home: Path) -> Iterator[Finding]:
    try:
        seen = home.stat()
    except OSError as error:
        text = f"there is no installation at `{shown(str(home))}`: {error.strerror}"
        yield finding("boundary", "bad", "home", text, "make one with `taskbound init`")
        return
    if seen.st_uid != os.geteuid():
        text = f"the data directory is not yours: it belongs to {_account(seen.st_uid)}"
        advice = "name one of your own with `--home`, or leave it out for your usual one"
        yield finding("boundary", "bad", "home", text, advice)
        return
    if seen.st_mode & _OTHERS:
        text = f"the data directory is open to others (mode {_mode(seen)})"
        advice = f"close it with `chmod 700 {shown(str(home))}`, after a look at who may have been in it"
        yield finding("boundary", "bad", "home", text, advice)
        return
    text = "other accounts of this machine can't reach the keys, the database or the socket (mode 0700)"
    yield finding("boundary", "ok", "home", text)
    for path in sorted(home.rglob("*")):
        try:
            inner = path.lstat()
        except OSError:
            continue
        if inner.st_uid != seen.st_uid or (inner.st_mode & _OTHERS and not stat.S_ISLNK(inner.st_mode)):
            text = (
                f"`{shown(str(path.relative_to(home)))}` is only kept by the directory around it (of"
                f" {_account(inner.st_uid)}, mode {_mode(inner)})"
            )
            yield finding("boundary", "warn", "mode", text)


def _daemon(status: StatusReport, home: Path) -> Iterator[Finding]:
    text = f"answers: version {status.version}, process {status.pid}, since {moment(status.started)}"
    yield finding("daemon", "ok", "daemon", text)
    yield from _accounts(status)
    yield finding("daemon", "ok", "store", status.store)
    signer = status.signer == "reachable"
    text = (
        "the signer is reachable"
        if signer
        else status.signer
        if status.signer.startswith("the signer ")
        else f"the signer was not reached: {status.signer}"
    )
    advice = (
        "" if signer else f"see `{shown(str(home / 'log' / 'daemon.log'))}`, or what `taskbound serve` wrote"
    )
    yield finding("daemon", "ok" if signer else "bad", "signer", text, advice)
    if status.undecided:
        text = f"every action is refused (log-unconfirmed): {status.undecided}"
        advice = "mend what keeps the signer from answering; decisions go on by themselves"
        yield finding("daemon", "bad", "decisions", text, advice)
    if status.stopped:
        text = "everything is stopped: nothing is permitted"
        yield finding("daemon", "warn", "stopped", text, "lift it with `taskbound stop --lift`")
    if status.reserve != "whole":
        text = f"the disk is full: the reserve is {status.reserve}; tasks can end, nothing is permitted"
        yield finding("daemon", "bad", "reserve", text, "make room")
    if status.learning_tasks:
        text = (
            f"{status.learning_tasks} of {status.running_tasks} running tasks are to learn from: broad,"
            " and recorded to be made narrower"
        )
        advice = "end them with `taskbound task end`, and go on with `taskbound scope suggest --task`"
        yield finding("daemon", "warn", "learning", text, advice)
    yield _rules(status.policy)
    yield from _clock(status)
    yield from _audit(status)


def _rules(policy: BundleInForce) -> Finding:
    if policy.trouble:
        text = f"nothing is decided: {policy.trouble}"
        return finding("policy", "bad", "bundle", text)
    text = f"bundle {policy.digest}"
    if policy.author:
        text += f", proposed by `{shown(policy.author)}`"
    if policy.digest == policy.base:
        text += ", the rules that come with Taskbound"
    if policy.how:
        text += f"; {policy.how} by `{shown(policy.by)}` at {moment(policy.at)}"
    return finding("policy", "ok", "bundle", text)


def _accounts(status: StatusReport) -> Iterator[Finding]:
    try:
        daemon = Path(f"/proc/{status.pid}").stat().st_uid
    except OSError:
        daemon = os.geteuid()
    if daemon == os.geteuid():
        yield _not(
            "same-account",
            f"the daemon runs under your own account, {_account(daemon)}, and so does whatever you start: any"
            " program of yours, an agent included, can read its key and its database, and can stop it",
            f"install it under an account of its own: {_DEPLOY}",
        )
        yield _not(
            "inside-run",
            "`taskbound run` ends all that stands beneath it, but not a process that kills both the run and"
            " its keeper before the daemon has seen it (it looks every two seconds), that kills the daemon"
            " too, or that traces (ptrace) a program of this account and acts in its name",
            "run agents under an account of their own: see deploy/",
        )
    else:
        text = (
            f"the daemon runs under the account of {_account(daemon)}, and you under that of"
            f" {_account(os.geteuid())}"
        )
        yield finding("boundary", "ok", "own-account", text)
    if status.signer_uid in {-1, daemon, os.geteuid()}:
        yield _not(
            "signer-account",
            "the signer runs under the same account: a thief of the database can take the key too, and"
            " recompute the log"
            if status.signer_uid != -1
            else "the signer's account is unknown: the daemon has not reached it yet",
            "keep checkpoints where this account can't reach them; `taskbound audit verify --checkpoint`",
        )
    else:
        text = (
            f"the signer runs under the account of {_account(status.signer_uid)}: the daemon's can't"
            " read its key"
        )
        yield finding("boundary", "ok", "signer-account", text)
    yield _agent_keys(status)
    yield _not(
        "unproven-identity",
        "people and agents are known by their local account only (peer-uid): every program of an account can"
        " claim to be its person",
    )


def _agent_keys(status: StatusReport) -> Finding:
    if status.signer_uid == -1:
        return _not(
            "agent-keys", "the readers of agents' keys are unknown: the daemon has not reached the signer yet"
        )
    if status.signer_uid in {os.geteuid(), *status.agent_uids}:
        return _not(
            "agent-keys",
            f"the keys of agents belong to the account of {_account(status.signer_uid)}, and agents run under"
            " it: their own processes can read them, and prove who they are without a run",
            f"run the signer under an account of its own: {_DEPLOY}",
        )
    text = (
        f"the keys of agents belong to the account of {_account(status.signer_uid)}, under which no"
        " agent runs: a process of an agent can't read them"
    )
    return finding("boundary", "ok", "agent-keys", text)


def _clock(status: StatusReport) -> Iterator[Finding]:
    now = time.time_ns() // 1000
    ahead = max(status.started, status.checkpoint_at) - now
    if ahead > _SECOND:
        text = f"the clock is {ahead // _SECOND} s behind what is recorded: it was set back"
        advice = "set the clock right; until then time goes on from what is recorded"
        yield finding("daemon", "bad", "clock", text, advice)


def _audit(status: StatusReport) -> Iterator[Finding]:
    open_records = status.records - status.covered
    age = time.time_ns() // 1000 - status.checkpoint_at
    late = open_records > 0 and age > _STALE
    text = (
        f"{status.covered} of {status.records} records are signed for, last at {moment(status.checkpoint_at)}"
    )
    advice = "the signer does not keep up: see the daemon's log" if late else ""
    yield finding("audit", "bad" if late else "ok", "checkpoint", text, advice)
    if status.monitor_delivered_at:
        overdue = time.time_ns() // 1000 - status.monitor_delivered_at > _OVERDUE and open_records > 0
        text = f"a monitor was last brought a checkpoint at {moment(status.monitor_delivered_at)}"
        advice = "no new task starts while a monitor takes nothing: mend it" if overdue else ""
        yield finding("audit", "bad" if overdue else "ok", "monitor", text, advice)
    text = "no outside witness signs checkpoints: only a copy kept elsewhere shows a recomputed log"
    yield finding("audit", "warn", "witness", text)


def _agents(agents: Sequence[AgentDetail]) -> Iterator[Finding]:
    for agent in agents:
        lacks = f"; {'; '.join(agent.lacks)}" if agent.lacks else ""
        active = agent.state == "active" and not agent.lacks
        text = f"agent `{shown(agent.name)}` is {shown(agent.state)}{Words(lacks)}"
        advice = "" if active else f"see `taskbound agent show {shown(agent.name)}`"
        yield finding("agents", "ok" if active else "warn", "agent", text, advice)
        if agent.risk != "low":
            text = f"agent `{shown(agent.name)}` is of {agent.risk} risk, says `{shown(agent.risk_by)}`"
            advice = "lower it with `taskbound agent risk` when that is over"
            yield finding("agents", "warn", "agent-risk", text, advice)


def _servers(rows: Sequence[UpstreamRow]) -> Iterator[Finding]:
    for row in rows:
        if row.changed:
            text = f"server `{shown(row.spec.name)}`: {row.changed} of {row.tools} tools are not as pinned"
            advice = "see `taskbound tool list` and `taskbound tool diff`"
            yield finding("agents", "warn", "tool-changed", text, advice)
        if row.spec.environment:
            names = ", ".join(shown(name) for name, _ in row.spec.environment)
            text = f"server `{shown(row.spec.name)}`: the values of {names} are stored in the database"
            yield finding("agents", "warn", "stored-variables", text)


def _not(name: str, text: str, advice: str = "") -> Finding:
    return finding("boundary", "warn", name, text, advice)


def _account(uid: int) -> str:
    try:
        return f"`{shown(pwd.getpwuid(uid).pw_name)}`"
    except KeyError:
        return f"account {uid}"


def _mode(seen: os.stat_result) -> str:
    return f"{stat.S_IMODE(seen.st_mode):04o}"
