"""What `wiring` provides to the command line: everything outside this process."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

import msgspec

from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from taskbound.core.audit import Verify
    from taskbound.core.tool import Binding, Slot
    from taskbound.ports.policy import PolicyLanguage
    from taskbound.sdk.client import Client
    from taskbound.sdk.credential import Task
    from taskbound.sdk.tool.coverage.found import Coverage, Defined
    from taskbound.sdk.wish import TaskCredential
    from taskbound.wire.tool import OAuthSpec, ServerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandPlace:
    """The installation that a command works on, and its settings."""

    home: Path
    namespace: str = "default"
    agent: str = ""
    template: str = ""
    autostart: bool = True
    socket: str = ""
    """Where another account's daemon listens; empty when the data directory has its own."""
    api: str = ""
    """Where the API of any daemon here listens; empty where only `taskbound serve` gives it one."""
    egress: Path | None = None
    """Where the egress listens."""
    broker: Path | None = None
    """Where the broker listens."""
    store: str = ""
    """The address of a PostgreSQL database; empty for SQLite in the data directory."""
    unknown_variables: tuple[str, ...] = ()


class BackupReport(msgspec.Struct, frozen=True, kw_only=True, tag="backup", tag_field="is"):
    """A backup and its contents."""

    path: str
    manifest: str
    engine: str
    """`sqlite` or `postgresql`."""
    revision: str
    records: int
    size: int
    """Records with a place in the log: where in it the copy was made."""
    origin: str
    """The log's name."""
    covered: int
    """Records that the newest checkpoint covers."""
    root: str
    bytes: int
    sha256: str
    made: int
    """Instant, microseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What a data directory records about copies of its store."""

    path: str = ""
    """Of the one that was made last; empty where none is known."""
    made: int = 0
    """Its instant."""
    there: bool = False
    """Whether it is there still, with the manifest of then."""
    unfinished: str = ""
    """That a restore was begun and is not over; empty where none was."""
    trouble: str = ""
    """Why it is not known which one was made last."""


class LaterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A security-relevant record of a later log that the store lacks."""

    at: int
    namespace: str
    kind: str
    of: str


class RecoveryReport(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    tag="begun-anew",
    tag_field="is",
    rename={"namespaces": "stopped"},
):
    """The state after a restore or reconcile, and what ended."""

    finished: bool
    """Whether there was nothing left to end: another run, or another data directory, had done that."""
    held: int
    """Records of before that the store holds."""
    seen: int
    """Records that were seen of it; 0 if unknown."""
    made: int
    """Instant of the copy, or 0."""
    namespaces: tuple[str, ...]
    """Namespaces in which everything is stopped."""
    tasks: int
    admissions: int
    sessions: int
    keys: int
    aside: str
    """Path of the previous database, or ''."""
    origin: str
    """The log's new name; empty where daemon and signer are given one by hand."""
    later: tuple[LaterRecord, ...]


class BackingUp(Protocol):
    """Makes a copy of the store."""

    def __call__(
        self, place: CommandPlace, to: str, *, store: str, database: str, told: Callable[[int, int], None]
    ) -> BackupReport:
        """Copy the store; `told` receives the copied and the total number of pages."""


class PuttingBack(Protocol):
    """Replaces the store with a copy."""

    def __call__(
        self, place: CommandPlace, copy: str, *, database: str, key: str, later: str
    ) -> RecoveryReport:
        """Restore the copy; raises TaskboundError if it is not restored."""


class Reconciling(Protocol):
    """Continues with the present store."""

    def __call__(
        self, place: CommandPlace, *, store: str, database: str, follow: bool, later: str, key: str
    ) -> RecoveryReport:
        """Reconcile the store; raises TaskboundError if it can't be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProbe:
    """A server that was resolved, started once without any call, and listed."""

    spec: ServerSpec
    definitions: tuple[bytes, ...]
    """Each tool object exactly as it was received."""
    methods: tuple[str, ...] = ()
    """What the server says that it can be asked for beside its tools, and what it may ask, by a person."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInspection:
    """A pinned server's present offer."""

    identity: str
    """Digest of the identity that was started or reached."""
    definitions: tuple[bytes, ...]
    """Each tool object exactly as it was received."""
    methods: tuple[str, ...]
    """What it says that it can be asked for beside its tools."""
    entries: Mapping[str, int]
    """How many entries each other list has, by the method that lists them."""
    answered: float
    """Seconds until it was ready for calls."""
    listed: float
    """Seconds until all of its lists were read, and it was ended."""
    key: str
    """SHA-256 of the public key that it showed; empty without TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """An OAuth client that the user named, with its issuer's metadata."""

    spec: OAuthSpec
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StolenCopy:
    """A stolen copy of a data directory, as the thief can use it without a daemon."""

    origin: str
    """The log's name."""
    records: tuple[bytes, ...]
    """The whole log."""
    public: bytes
    sign: Callable[[bytes], bytes]
    """Signs with the log's key (Ed25519)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperFile:
    """The helper program for OpenSSH hosts."""

    version: int
    """What it says to the broker."""
    text: bytes


class Probing(Protocol):
    """Resolves a server's command, starts it, lists its tools, and ends it."""

    def __call__(
        self,
        *,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: str,
        limits: Sequence[str] = (),
        secrets: Mapping[Slot, str | None] | None = None,
        definitions: tuple[bytes, ...] = (),
    ) -> ServerProbe:
        """Return the pinned server; it is not started if definitions are given."""


class Reaching(Protocol):
    """Reaches a server by its URL, and lists its tools."""

    def __call__(
        self,
        *,
        name: str,
        url: str,
        headers: Mapping[str, str],
        key: str,
        authorities: str,
        secrets: Mapping[Slot, str | None] | None = None,
        oauth: OAuthSpec | None = None,
    ) -> ServerProbe:
        """Return the pinned server with its definitions; `oauth` is the client that connects."""


class Joining(Protocol):
    """Connects to the daemon for a task of an agent, as a gateway does."""

    def __call__(
        self,
        place: CommandPlace,
        namespace: str,
        *,
        agent: str,
        task: str,
        resume: str = "",
        start: bool = True,
    ) -> Task:
        """Connect for the task; `resume` names a lost connection. Requests get their own idempotency keys."""


class ServedHosts(Protocol):
    """Serves host credentials to OpenSSH's programs, which can use but not read them."""

    @property
    def folder(self) -> Path:
        """Return the folder of socket and configuration; it holds no secret."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Return the variables that tell programs about them."""

    def start(self) -> None:
        """Start serving; this process must not fork afterwards."""

    def stop(self) -> None:
        """Stop serving; idempotent."""

    def close(self) -> None:
        """Stop serving and remove the folder; idempotent. Raises TaskboundError if it remains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """All access to the outside of this process, as callables."""

    place: Callable[[str], CommandPlace]
    """The installation at this path, or the user's own."""
    make_home: Callable[[Path], None]
    """Make the data directory unless it is there."""
    require_outside: Callable[[CommandPlace], None]
    """Go on only outside of every `taskbound run`; else a `DeniedError`."""
    connect: Callable[[CommandPlace, str, str], Client]
    """A connection to the place's daemon, which is started if it may be, in a namespace and a role."""
    socket: Callable[[Path], Path]
    """Where the daemon of a data directory listens."""
    probe: Probing
    reach: Reaching
    authorize: Callable[[str, OAuthSpec, str, str], Authorized]
    """The client with its issuer's endpoints, for the server at this URL that has this key and is certified
    by the authorities in this file, if there are any; looks at what both say of it."""
    look: Callable[[CommandPlace, ServerSpec, str], ServerInspection]
    """Start or reach a pinned server as a gateway of a namespace would, see what it offers, and end it."""
    floating: Callable[[Sequence[str]], str]
    """Returns why a command line doesn't determine what it runs (such as a floating version), or ''."""
    seal: Callable[[CommandPlace, str, Binding], str]
    """A value, sealed to the egress' key for a binding; `TaskboundError` when the egress is not there."""
    seal_admin: Callable[[CommandPlace, str, Binding], str]
    """An admin access, sealed to the broker's key for a binding; `TaskboundError` when no broker answers."""
    make_key: Callable[[], str]
    """A new private key as OpenSSH writes it."""
    public_half: Callable[[str], str]
    """Type and base64 of the public key of such a one; `TaskboundError` where the broker could not use it."""
    host_helper: Callable[[], HelperFile]
    join: Joining
    serve_hosts: Callable[[Sequence[TaskCredential]], ServedHosts]
    """Make ready to serve these, all of hosts; `TaskboundError` where one can't be."""
    read_secret: Callable[[str], str]
    """One line from a pipe, or typed unseen at a terminal that shows these words; empty at the end."""
    verify: Verify
    """Checks an Ed25519 signature."""
    gateway: Callable[[Sequence[str]], int]
    guard: Callable[[Sequence[str]], int]
    """Be what proxies ask; the exit status."""
    end_daemon: Callable[[Path], int]
    """End the daemon of a data directory; the number of its process, or 0 where none ran."""
    serve: Callable[[Path, bool, int], int]
    """Run the daemon of a data directory in the foreground; whether its readiness is said as JSON."""
    loot: Callable[[Path], StolenCopy]
    """What a thief of a data directory has; the demo shows how such a thief is caught."""
    policies: Callable[[], PolicyLanguage]
    """The language that rules are written in."""
    base_policies: Callable[[], str]
    """The text of the rules that come with Taskbound."""
    upgrade_store: Callable[[str, str, str, str], str]
    """Make a database's tables, for a daemon's, a signer's and a broker's role; the revision."""
    examine_store: Callable[[str], Sequence[tuple[bool, str]]]
    """How a database stands: whether each thing is well, and in words."""
    back_up: BackingUp
    copies: Callable[[CommandPlace], Copies]
    put_back: PuttingBack
    reconcile: Reconciling
    cover: Callable[[str, str, float], Coverage]
    """What an application exposes, loaded by this Python (ours where it is empty) within so many seconds."""
    define: Callable[[str, str, str, float], Defined]
    """An application's guarded functions of this server (empty for its only one), loaded the same way."""
    command: Callable[[], tuple[str, ...]]
    """The absolute command that starts this program anew, for configurations of MCP clients."""
    environ: Mapping[str, str] = field(default_factory=dict)
