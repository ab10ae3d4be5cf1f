"""Connections to a host's helper.

1. A connection is an `ssh` process (`client`) as the helper's account, with one line of JSON each way per
   request. A call that exceeds its patience has its process killed: no call hangs (F11).
2. The helper identifies itself before a call sends anything: a failure until then proves that nothing was
   sent. From the first byte of a request on, nothing is certain.
3. At most `KEPT` idle connections are kept, since a new one costs a login. An idle one is probed within
   `_PROBE` before reuse; if that fails, equally old ones are dropped as well. A late one is waited for
   if the host accepts no new login, as it may be overloaded. A connection with any failure is not reused.
   The newest idle one has no time limit: an attacker who exhausts logins (MaxStartups) does not lock us
   out. Others end after `_IDLE`. All end with their target.
4. An answer must be one of those defined for its request.
5. Requests to a helper hold no secrets, so its reasons are passed on, cut to a line and escaped.
"""

from __future__ import annotations

import json
import math
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from taskbound.adapters.ssh import BadSshKeyError, SshAgent, SshIdentity
from taskbound.adapters.targets.openssh.client import NO_WAY_IN, LateError, OverError, reason_of
from taskbound.core.action.text import escape_text
from taskbound.core.target import BadAdminAccessError
from taskbound.ports.target import (
    TargetRefusedError,
    TargetUnavailableError,
    TargetUnreachedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from taskbound.adapters.targets.openssh.client import Child, OpensshClient


KEPT: Final = 4
"""Connections of one target that wait for the next call."""
_IDLE: Final = 60.0
"""Seconds after which one that waited is ended, unless it is the newest."""
_PROBE: Final = 1.0
"""Seconds that one that waited has to answer."""
_ANEW: Final = 0.7
"""The part of what is left that a new connection may take where one that was kept is late."""
_LEAST: Final = 0.05
"""Seconds: what is left for less isn't begun."""
_VERSIONS: Final = (1, 2)
"""Of helpers that are spoken to: the second one can discover."""
_SHOWN: Final = 200
_AGAIN: Final = (
    "bring the helper of this release to the host:"
    " `taskbound target host-helper | ssh root@HOST 'install -m 755 /dev/stdin"
    " /usr/local/sbin/taskbound-ssh-host'`"
)
_NO_HELPER: Final = "what runs on the host by the helper's key is no helper that we know"
_SLOW: Final = "the host took longer than the call may take"


class Link:
    """One connection, and the rest of its call's time."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.now = 0
        """What the host's clock said when it was last asked, in seconds since 1970."""
        self.version = 0
        """Of the helper."""
        self.since = 0.0
        """Since when it waits."""
        self.heard = False
        """Whether the helper answered when it was last greeted."""
        self.deadline = 0.0
        """An instant of `time.monotonic`."""

    def ask(self, do: str, **members: object) -> Mapping[str, Any]:
        """Returns an answer with `ok`; raises TargetUnavailableError, or TargetRefusedError for a `no`."""
        if self.deadline - time.monotonic() < _LEAST:
            raise TargetUnavailableError(_SLOW)
        try:
            self.child.write(_line(do, members), deadline=self.deadline)
            answer = _read(self.child.line(deadline=self.deadline))
        except LateError:
            raise TargetUnavailableError(_SLOW) from None
        except OverError:
            raise TargetUnavailableError("the connection to the host's helper was lost") from None
        if answer.get("no") == "failed":
            why = answer.get("why")
            shown = escape_text(why[:_SHOWN]) if isinstance(why, str) else ""
            raise TargetRefusedError(
                f"the host's helper says: `{shown}`", remedy="look at the host: `taskbound-ssh-host check`"
            )  # 5
        return answer

    def greet(self, *, deadline: float, within: float = math.inf) -> None:
        """Requires a helper's answer within `within` seconds; `deadline` is of `time.monotonic`."""
        self.heard = False
        self.child.write(_line("hello", {}), deadline=deadline)
        self.hear(deadline=min(deadline, time.monotonic() + within))

    def hear(self, *, deadline: float) -> None:
        """Waits for the answer to `greet`; raises the same errors."""
        line = self.child.line(deadline=deadline)
        try:
            said = _read(line).get("ok")
        except TargetUnavailableError:
            raise TargetUnreachedError(_NO_HELPER) from None
        if not isinstance(said, dict) or not all(is_count(said.get(one)) for one in ("version", "now")):
            raise TargetUnreachedError(_NO_HELPER)
        self.now, self.version, self.heard = said["now"], said["version"], True
        if self.version not in _VERSIONS:
            least, most = _VERSIONS[0], _VERSIONS[-1]
            raise TargetUnreachedError(
                f"the helper on the host is of version {self.version}, and we speak to {least} to {most}",
                remedy=_AGAIN
                if self.version < least
                else "run a broker of the release that the helper is of",
            )

    def require(self, version: int, what: str) -> None:
        """Raises TargetRefusedError if the helper is older than this version; `what` is what it lacks."""
        if self.version < version:
            raise TargetRefusedError(
                f"the helper on the host is of version {self.version}, and {what} needs version {version}",
                remedy=_AGAIN,
            )


class Links:
    """The broker's connections to one helper (rule 3); thread-safe."""

    def __init__(self, client: OpensshClient, account: str, private_key: str) -> None:
        """Raises BadAdminAccessError for an unusable key, OSError if its agent can't listen."""
        self._client = client
        self._account = account
        try:
            identity = SshIdentity(private_key)
        except BadSshKeyError as error:
            raise BadAdminAccessError(f"of the helper's key: {error.message}") from None
        self._agent = SshAgent(client.folder / "agent", [identity])
        self._agent.start()
        self._kept: list[Link] = []
        """The newest last."""
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._kept, self._agent)

    @contextmanager
    def linked(self, patience: float) -> Iterator[Link]:
        """Yields a connection; raises as `Link.ask`, or TargetUnreachedError without one."""
        link = self._take(time.monotonic() + patience)
        try:
            yield link
        except BaseException:
            link.child.end()
            raise
        self._keep(link)

    def _take(self, deadline: float) -> Link:
        kept = self._next()
        if kept is None:
            return self._connect(deadline)
        try:
            kept.greet(deadline=deadline, within=_PROBE)
        except LateError:
            return self._instead(kept, deadline)
        except (OverError, TargetUnreachedError):
            self._drop(kept)  # 3
            return self._connect(deadline)
        kept.deadline = deadline
        return kept

    def _instead(self, late: Link, deadline: float) -> Link:
        now, link = time.monotonic(), late
        try:
            link = self._connect(now + (deadline - now) * _ANEW)
        except TargetUnreachedError as error:
            try:
                late.hear(deadline=deadline)
            except (LateError, OverError, TargetUnreachedError):
                raise error from None
        finally:
            if link is not late or not late.heard:
                self._drop(late)
        link.deadline = deadline
        return link

    def _connect(self, deadline: float) -> Link:
        left = deadline - time.monotonic()
        if left < _LEAST:
            raise TargetUnreachedError(_SLOW)
        try:
            child = self._client.start(
                self._account, self._agent.path, "taskbound-ssh-host", "serve", patience=left
            )
        except OSError as error:
            raise TargetUnreachedError(f"`ssh` can't be started: {error.strerror}") from None
        link = Link(child)
        try:
            link.greet(deadline=deadline)
        except LateError:
            child.end()
            raise TargetUnreachedError(_SLOW) from None
        except OverError:
            raise TargetUnreachedError(_why(child, deadline)) from None
        except BaseException:
            child.end()
            raise
        link.deadline = deadline
        return link

    def _next(self) -> Link | None:
        late = time.monotonic() - _IDLE
        with self._lock:
            found = self._kept.pop() if self._kept else None
            over = [one for one in self._kept if one.since < late]
            self._kept[:] = [one for one in self._kept if one.since >= late]
        for one in over:
            one.child.end()
        return found

    def _drop(self, lost: Link) -> None:
        """Ends it and all that have been idle for as long (rule 3)."""
        with self._lock:
            old = [one for one in self._kept if one.since <= lost.since]
            self._kept[:] = [one for one in self._kept if one.since > lost.since]
        for one in (lost, *old):
            one.child.end()

    def _keep(self, link: Link) -> None:
        link.since = time.monotonic()
        with self._lock:
            self._kept.append(link)
            over = self._kept.pop(0) if len(self._kept) > KEPT else None
        if over is not None:
            over.child.end()


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _why(child: Child, deadline: float) -> str:
    with child:
        try:
            status = child.finish(deadline=min(deadline, time.monotonic() + _PROBE))
        except LateError:
            return _NO_HELPER
        return reason_of(bytes(child.said)) if status == NO_WAY_IN else _NO_HELPER


def _line(do: str, members: Mapping[str, object]) -> bytes:
    return json.dumps({"do": do, **members}, separators=(",", ":")).encode() + b"\n"


def _read(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or len(found.keys() & {"ok", "no"}) != 1:
        raise TargetUnavailableError("what the host's helper answers is no answer")
    return found


def _close(kept: list[Link], agent: SshAgent) -> None:
    for one in kept:
        one.child.end()
    agent.close()
