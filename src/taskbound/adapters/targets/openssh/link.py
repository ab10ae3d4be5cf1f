"""Connections to a host's helper, each call's no longer than its patience.

1. A connection is a process of `ssh` (`client`) as the helper's account, and one line of JSON each way for a
   request. A call that is too slow has its process killed: no call hangs (F11).
2. The helper says who it is before anything of a call is sent: what fails until then leaves it certain that
   nothing was. From the first byte of a request on, nothing is certain.
3. A connection is kept for the calls that come, `KEPT` of them at most: a new one costs a login. It is asked
   something before it is used again, which may take `_PROBE`. Where that fails, what has been kept for as
   long is as old: none of it is used. One that is late goes on to be waited for where nobody new is let in:
   the host may have too much to do. One that anything went wrong on is used no more. The newest waits as
   long as it has to: whoever keeps a host busy with logins (MaxStartups) does not keep out who is in. Others
   are ended once they waited for `_IDLE`. They go with the target that they are kept for.
4. An answer is one of those that a request has, or none.
5. Nothing that a helper is sent is a secret, so what it says of a failure is passed on, as far as it fits in
   a line, with visible escapes.
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
    """One connection, and what is left of its call's time."""

    def __init__(self, child: Child) -> None:
        """Speak to the helper by this process."""
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
        """What the helper answers: an object with `ok`, or with `no`.

        Raises:
            TargetUnavailableError: It doesn't, or not in time.
            TargetRefusedError: It can't do that.
        """
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
        """Have the helper say that it is one (rule 2).

        Args:
            deadline: Of the call, an instant of `time.monotonic`.
            within: Seconds that the answer may take.

        Raises:
            LateError: It doesn't in time.
            OverError: It is gone.
            TargetUnreachedError: It is none.
        """
        self.heard = False
        self.child.write(_line("hello", {}), deadline=deadline)
        self.hear(deadline=min(deadline, time.monotonic() + within))

    def hear(self, *, deadline: float) -> None:
        """Wait for what `greet` asked for; raises as that."""
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
        """Go on only with a helper of this version or a later one.

        Raises:
            TargetRefusedError: It is an older one, which can't do that.
        """
        if self.version < version:
            raise TargetRefusedError(
                f"the helper on the host is of version {self.version}, and {what} needs version {version}",
                remedy=_AGAIN,
            )


class Links:
    """The broker's connections to one helper (rule 3); used by several threads at once."""

    def __init__(self, client: OpensshClient, account: str, private_key: str) -> None:
        """Connect there by this key, once somebody needs it.

        Raises:
            BadAdminAccessError: The key can't be used.
            OSError: Its agent can't listen.
        """
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
        """A connection for as long as this lasts.

        Raises:
            TargetUnreachedError: There is none to a helper; nothing was sent.
            TargetUnavailableError: As `Link.ask`.
            TargetRefusedError: As `Link.ask`.
        """
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
        """A new connection in the place of one that is late, or that one where there is none (rule 3)."""
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
        """End it, and what waited for as long (rule 3)."""
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
    """Whether it is a number of things, or of seconds."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _why(child: Child, deadline: float) -> str:
    """Why there is nobody who could be asked; the process is over afterwards."""
    with child:
        try:
            status = child.finish(deadline=min(deadline, time.monotonic() + _PROBE))
        except LateError:
            return _NO_HELPER
        return reason_of(bytes(child.said)) if status == NO_WAY_IN else _NO_HELPER


def _line(do: str, members: Mapping[str, object]) -> bytes:
    return json.dumps({"do": do, **members}, separators=(",", ":")).encode() + b"\n"


def _read(line: bytes) -> Mapping[str, Any]:
    """An answer (rule 4)."""
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
