"""Prints the lines that configure an OpenSSH host for newly made keys.

1. Only public halves are shown, and they are stored nowhere: if the lines are lost, make new keys.
2. A line contains only our text and names from the target's file, each at most one shell word
   (`core.target.openssh`).
3. No host knows new keys yet, so the first test can't succeed; that is reported and is no failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.core.target import OpensshPlace
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.target import TargetRow

if TYPE_CHECKING:
    from taskbound.core.target import TargetFile
    from taskbound.surfaces.cli.access import PublicHalves
    from taskbound.surfaces.cli.session import Session


HELPER: Final = "/usr/local/sbin/taskbound-ssh-host"
"""Where the helper stands on a host."""
_CA_FILE: Final = "/etc/ssh/taskbound_ca.pub"
"""Where a host without a helper has the CA."""
_OWN_LINES: Final = "/etc/ssh/sshd_config.d/taskbound.conf"
_SSH: Final = 22


class HostStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step to do on a host."""

    where: Literal["here", "host"]
    """Where it is typed: where this command was, or on the host, as root."""
    what: str
    lines: tuple[str, ...]
    """What is typed, or put into the file that `what` names."""


class NewKeys(msgspec.Struct, frozen=True, kw_only=True, tag="target-keys", tag_field="is"):
    """New keys of a target and the steps for its host."""

    target: TargetRow
    """As it stands after the first look at the host."""
    ca: str
    """The public key of the CA: type and base64."""
    key: str
    """The key that reaches the helper, or ''."""
    steps: tuple[HostStep, ...]


def steps_for(target: TargetFile, halves: PublicHalves) -> tuple[HostStep, ...]:
    """Return the ordered steps that make the host accept the keys; empty for other kinds (rules 1 and 2)."""
    place = target.place
    if not isinstance(place, OpensshPlace):
        return ()
    ca = f"{halves.ca} taskbound:{target.name}"
    last = HostStep(
        where="here", what="see whether all of it works", lines=(f"taskbound target test {target.name}",)
    )
    if not place.helped:
        return (
            HostStep(where="host", what="have the CA", lines=(f"echo '{ca}' >> {_CA_FILE}",)),
            HostStep(
                where="host",
                what="have sshd trust it, in its configuration; then reload sshd",
                lines=(f"TrustedUserCAKeys {_CA_FILE}",),
            ),
            last,
        )
    port = "" if place.port == _SSH else f"-p {place.port} "
    brings = f"taskbound target host-helper | ssh {port}root@{place.host}"
    return (
        HostStep(
            where="here",
            what="bring the helper to the host; any other way of copying does",
            lines=(f"{brings} 'install -m 755 /dev/stdin {HELPER}'",),
        ),
        HostStep(
            where="host",
            what="have the CA, and the lines for sshd",
            lines=(f"{HELPER} install --ca '{halves.ca}' > {_OWN_LINES}",),
        ),
        HostStep(
            where="host",
            what="see what sshd lacks; where it lacks nothing, reload sshd",
            lines=(f"{HELPER} check && sshd -t",),
        ),
        HostStep(
            where="host",
            what=f"a line for the `authorized_keys` of `{place.helper}`",
            lines=(f'restrict,command="{HELPER} serve" {halves.key} taskbound:{target.name}',),
        ),
        last,
    )


def say_steps(session: Session, target: TargetFile, halves: PublicHalves) -> None:
    """Print the steps; with `--json` they are in the document instead."""
    screen = session.screen
    host = shown(target.place.host)
    screen.line(
        f"The keys of {shown(target.name)} are made, and the broker alone has them. For {host} to know them:"
    )
    for number, step in enumerate(steps_for(target, halves), start=1):
        where = "here" if step.where == "here" else f"on {host}, as root"
        screen.line()
        screen.line(f"{number}. {where}: {step.what}")
        screen.text("".join(f"   {line}\n" for line in step.lines))
    screen.line()


def say_first_look(session: Session, keys: NewKeys, *, over: bool) -> None:
    """Report the first test of the host (rule 3); `over` is whether the test has finished."""
    screen = session.screen
    if screen.json:
        screen.document(keys)
        return
    row = keys.target
    name = shown(row.name)
    if over and row.state == "ready" and not row.trouble:
        screen.line(f"target {name} is ready: the host knows the keys already")
        return
    met = (
        f": {shown(Words(row.trouble))}" if over and row.trouble else " and nothing is known of the host yet"
    )
    screen.note(f"{name} is declared{met}", "")
    screen.note("it gives nothing until all of that is done and its test works", "")
