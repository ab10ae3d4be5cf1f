"""Reads or generates the admin access to a target, and prints the steps for an OpenSSH host.

Admin access never comes from an argument or a variable, which other programs can read. Generated private keys
are sealed, and neither shown nor written; public halves are shown and stored nowhere. A line for the host has
only our text and names from the target's file, each at most one shell word (`core.target.openssh`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from taskbound.core.action.canonical import canonical
from taskbound.core.action.parse import parse_document
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target import (
    BadAdminAccessError,
    OpensshAccess,
    OpensshPlace,
    PostgresAccess,
    RedisAccess,
    parse_admin_access,
)
from taskbound.core.target.systems import GITHUB, OAUTH, OPENBAO, OPENSSH, REDIS
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.target import TargetRow

if TYPE_CHECKING:
    from taskbound.core.target import AdminAccess, TargetFile
    from taskbound.surfaces.cli.session import Session


_LARGEST: Final = 16_384
"""Bytes of an admin access, as it is read from standard input."""
_PIPED: Final = {
    GITHUB: ("an App proves itself by its private key", "key"),
    OAUTH: ("a client proves itself by a secret or a private JWK", "secret"),
    OPENBAO: ("an OpenBao is reached by a token", "token"),
}
"""By kind of target that has no user: how it is reached, and the member that this is given as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the user supplies the admin access."""

    user: str = ""
    """Whom the target knows as its admin, where that is said apart from the password."""
    piped: bool = False
    """Read from standard input."""
    fresh: bool = False
    """Made here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHalves:
    """Public keys for the host: type and base64, as in `authorized_keys`."""

    ca: str
    key: str
    """The key that reaches the helper, or ''."""


def require_way(kind: str, way: Way) -> None:
    if kind in _PIPED:
        if way.fresh or way.user or not way.piped:
            what, member = _PIPED[kind]
            raise BadInputError(
                f"{what}, which is read from standard input",
                remedy=f'say `--admin-stdin`, and give it `{{"{member}": "…"}}`',
            )
        return
    if kind != OPENSSH:
        if way.fresh:
            raise BadInputError(
                f"`--new-keys` is for hosts with OpenSSH, and this target is of the kind `{shown(kind)}`",
                remedy="say `--admin-user USER`, or `--admin-stdin`",
            )
        if not way.piped and not way.user:
            raise BadInputError("it is not said who the admin is", remedy="say `--admin-user USER`")
        return
    keys = "say `--new-keys`, or `--admin-stdin` to give keys that are there"
    if way.user:
        raise BadInputError("a host is reached by keys, and has no admin's user and password", remedy=keys)
    if way.fresh and way.piped:
        raise BadInputError(
            "keys are either made or read", remedy="say one of `--new-keys` and `--admin-stdin`"
        )
    if not way.fresh and not way.piped:
        raise BadInputError("it is not said which keys the broker gets", remedy=keys)


def read_access(session: Session, target: TargetFile, way: Way) -> AdminAccess:
    """Read the admin access in a way that `require_way` accepted; errors never contain any of it."""
    if way.fresh:
        return _made(session, target)
    if not way.piped:
        if not sys.stdin.isatty():
            raise BadInputError(
                "no terminal to type the admin's password in",
                remedy="say `--admin-stdin` to read it from standard input",
            )
        password = session.plugs.read_secret(f"password of {shown(way.user)}: ")
        return _named(target.kind, way.user, password)
    raw = sys.stdin.buffer.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise BadInputError("the admin access is longer than any")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInputError("the admin access is not UTF-8") from None
    if way.user:
        return _named(target.kind, way.user, _one_line(text))
    return parse_admin_access(target.kind, _as_sealed(text))


def public_halves(session: Session, target: TargetFile, access: AdminAccess) -> PublicHalves | None:
    """Return the public keys for the host, or None if the admin access holds no keys."""
    if not isinstance(access, OpensshAccess) or not isinstance(target.place, OpensshPlace):
        return None
    if target.place.helped and not access.key:
        raise BadAdminAccessError(
            f"the helper on the host of `{shown(target.name)}` is reached by a key, and none is given",
            remedy="give `key` beside `ca`; where the host has no helper, its file says `helper: none`",
        )
    if access.key and not target.place.helped:
        raise BadAdminAccessError(
            f"`{shown(target.name)}` has no helper, and a key is given that would reach one",
            remedy="leave `key` empty",
        )
    half = session.plugs.public_half
    halves = PublicHalves(ca=half(access.ca), key=half(access.key) if access.key else "")
    if halves.ca == halves.key:  # the same key, written in two ways
        raise BadAdminAccessError("the CA's key reaches no helper: give that a key of its own")
    return halves


def _made(session: Session, target: TargetFile) -> AdminAccess:
    make = session.plugs.make_key
    helped = isinstance(target.place, OpensshPlace) and target.place.helped
    return OpensshAccess(ca=make(), key=make() if helped else "")


def _named(kind: str, user: str, password: str) -> AdminAccess:
    if kind == REDIS:
        return RedisAccess(user=user, password=password)
    return PostgresAccess(user=user, password=password)


def _one_line(text: str) -> str:
    line, _, more = text.partition("\n")
    if more.strip():
        raise BadInputError("the admin's password is more than one line")
    return line.removesuffix("\r")


def _as_sealed(text: str) -> str:
    try:
        return canonical(parse_document(text.encode())).decode()
    except MalformedError:
        return text


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
    screen = session.screen
    screen.report(keys)
    row = keys.target
    name = shown(row.name)
    if over and row.state == "ready" and not row.trouble:
        screen.line(f"target {name} is ready: the host knows the keys already")
        return
    met = (
        f": {shown(Words(row.trouble))}" if over and row.trouble else " and nothing is known of the host yet"
    )
    screen.hint(f"{name} is declared{met}", "")
    screen.hint("it gives nothing until all of that is done and its test works", "")
