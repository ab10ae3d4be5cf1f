"""One node in one call: an admin connection, and the meaning of its answers.

1. The call's patience includes TLS and login. A failure before the admin is logged in proves that nothing
   was done, if nothing was sent with the login or all of that was refused like the login; later failures
   prove nothing.
2. The server proves itself by its certificate under the declared name, or is local. Redirections to other
   nodes are never followed. A name with several addresses of one family is refused: an end that one
   server shows says nothing of another on which the user was made.
3. If the admin is refused, the error names the missing right in ACL terms.
4. No text of an answer is passed on, as it may quote a secret; known codes have texts of our own.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from taskbound.adapters.targets.redis.protocol import ANSWER, Answer, LostError, Refusal, RespConnection
from taskbound.core.tool.name import shown
from taskbound.ports.target import TargetRefusedError, TargetUnavailableError, TargetUnreachedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from taskbound.core.target import RedisNode


GUIDE: Final = "see docs/guides/redis.md"
_LEAST: Final = 0.01
"""Seconds: what is left for less isn't begun."""
_WHY: Final = {
    "ASK": "says that another node has it, which is not gone to",
    "BUSY": "is busy running a script, and does nothing else",
    "CLUSTERDOWN": "is of a cluster that is down",
    "LOADING": "is still loading what it keeps",
    "MASTERDOWN": "has lost its primary, and does nothing",
    "MISCONF": "can't write what it keeps, and changes nothing",
    "MOVED": "says that another node has it, which is not gone to",
    "OOM": "has no memory left",
    "READONLY": "is one that nothing can be written to",
    "TRYAGAIN": "is being made another, and does nothing",
}
"""By code: why nothing is done now (rule 4)."""
_UNREACHED: Final = {
    "ConnectionRefusedError": "no server answers there",
    "FileNotFoundError": "there is no such socket",
    "PermissionError": "the broker's account may not use that socket",
    "SSLCertVerificationError": "the server's certificate does not prove that it is the host that was named",
    "SSLError": "what answers there speaks no TLS that is good enough",
    "TimeoutError": "no server answers there in time",
    "_SeveralError": "the name has several addresses, so it is unknown which server answers: name each",
    "gaierror": "no such host is known",
}
_UNWELCOME: Final = (
    ("max number of clients", "it has as many connections as it takes"),
    ("protected mode", "it is in protected mode, and refuses remote connections"),
    (
        "without any password",
        "it has no users: it is older than 6, or has none but `default` without a password",
    ),
    ("wrong number of arguments", "it is older than 6, and has no users"),
)
"""What stands in a refused login, in lower case, and what we say then; the first that fits."""


class _SeveralError(ValueError):
    pass


class Link:
    """One node, as one logged-in user."""

    def __init__(
        self, node: RedisNode, speech: RespConnection, addresses: frozenset[str], deadline: float
    ) -> None:
        """`deadline` is an instant of `time.monotonic`."""
        self.node = node
        self.addresses = addresses
        """By which other nodes may know it: its host as declared, and the address that was connected to."""
        self.clusters = False
        """Whether it said that it is of a cluster: what is asked of it then, and never what it answers."""
        self._speech = speech
        self._deadline = deadline
        self._spoiled = False

    @property
    def name(self) -> str:
        return f"`{shown(self.node.text)}`"

    @property
    def left(self) -> float:
        """Returns the seconds that the call has left; 0 or less after its end."""
        return self._deadline - time.monotonic()

    def ask(self, *words: str, most: int = ANSWER) -> Answer:
        """Returns the answer to one command; raises as `granted`."""
        return self.granted(words, self.raw(words, most=most)[0])

    def raw(self, *commands: Sequence[str], most: int = ANSWER) -> list[Answer]:
        """Pipelines commands; after TargetUnavailableError any of them may have run."""
        self.say(*commands)
        return self.hear(*commands, most=most)

    def say(self, *commands: Sequence[str]) -> None:
        """Sends commands at once; `hear` must follow. Raises as `raw`."""
        try:
            self._speech.say(commands)
        except LostError as error:
            raise self._lost(error) from None

    def hear(self, *commands: Sequence[str], most: int = ANSWER, steady: Sequence[str] = ()) -> list[Answer]:
        """Returns the answers to `say`, as `RespConnection.hear`; raises as `raw`."""
        try:
            return self._speech.hear(commands, most=most, steady=steady)
        except LostError as error:
            raise self._lost(error) from None

    def _lost(self, error: LostError) -> TargetUnavailableError:
        if str(error) == "TimeoutError" or self.left < _LEAST:
            return TargetUnavailableError(f"{self.name} took longer than the call may take")
        return TargetUnavailableError(f"the connection to {self.name} was lost ({error})")

    def granted(self, words: Sequence[str], answer: Answer) -> Answer:
        """Returns the answer; TargetRefusedError: the admin lacks a right, or the server the command."""
        if not isinstance(answer, Refusal):
            return answer
        right = "|".join(one.lower() for one in words[: 2 if words[0] in _CONTAINERS else 1])
        if answer.code in _WHY:
            raise TargetUnavailableError(f"{self.name} {_WHY[answer.code]}")
        if answer.code in {"NOPERM", "NOAUTH"}:
            raise TargetRefusedError(
                f"{self.name} refuses the admin: its user lacks `+{right}`",
                remedy=f"`ACL SETUSER ADMIN +{right}` on each node, and `ACL SAVE`; {GUIDE}",
            )  # 3
        if "unknown command" in answer.text or "unknown subcommand" in answer.text:
            raise TargetRefusedError(
                f"{self.name} knows no `{right}`: it is older than Redis 7, or no Redis", remedy=GUIDE
            )
        raise TargetUnavailableError(f"{self.name} does not do `{right}` ({answer.code or 'an error'})")

    def again(self, deadline: float) -> bool:
        """Returns whether another call with this deadline can reuse the connection."""
        self._deadline = deadline
        return not self._spoiled and self._speech.again(deadline)

    @property
    def is_kept(self) -> bool:
        """Returns whether the connection may be kept; `again` checks later whether it is alive."""
        return not self._spoiled and self._speech.is_quiet

    @property
    def lives(self) -> bool:
        """Returns whether an unheard connection is open; discards what arrived."""
        return self._speech.lives

    def tell(self, commands: Sequence[Sequence[str]], deadline: float) -> None:
        """Sends commands without hearing answers; then only `tell` works. If shut, any may have run."""
        try:
            self._speech.tell(commands, deadline)
        except LostError as error:
            raise self._lost(error) from None

    def spoil(self) -> None:
        """Excludes the connection from reuse: a late thread may still use it (I-10)."""
        self._spoiled = True

    def close(self) -> None:
        self._speech.close()


_CONTAINERS: Final = frozenset({"ACL", "CLIENT", "CLUSTER"})


def connect(
    node: RedisNode,
    tls: ssl.SSLContext | None,
    user: str,
    password: str,
    *,
    deadline: float,
    first: Sequence[Sequence[str]] = (),
) -> tuple[Link, list[Answer]]:
    """Sends `first` with the login; only TargetUnreachedError says that no command ran (rule 1)."""
    try:
        connected = _connected(node, tls, deadline)
    except (OSError, ValueError) as error:
        name = type(error).__name__
        raise TargetUnreachedError(
            f"`{shown(node.text)}`: {_UNREACHED.get(name, f'it can not be reached ({name})')}"
        ) from None
    speech = RespConnection(connected, deadline)
    answers: list[Answer] = []
    try:
        addresses = frozenset({node.host, *(() if node.is_socket else (str(connected.getpeername()[0]),))})
        commands = [("AUTH", user, password), *first]
        answer = _login(speech, commands)
        answers = _rest(node, speech, answer, first)
        _require_welcome(node, answer)
    except TargetUnreachedError as error:
        speech.close()
        if not all(
            isinstance(one, Refusal) for one in answers
        ):  # a server may run commands of a client that it did not log in
            raise TargetUnavailableError(error.message, remedy=error.advice) from None
        raise
    except (LostError, OSError) as error:
        speech.close()
        late = str(error) == "TimeoutError" or deadline - time.monotonic() < _LEAST
        why = "does not answer a login in time" if late else "answers a login with what is no Redis'"
        raise _unwelcome(f"`{shown(node.text)}` {why}", first) from None
    except BaseException:
        speech.close()
        raise
    return Link(node, speech, addresses, deadline), answers


def _login(speech: RespConnection, commands: Sequence[Sequence[str]]) -> Answer:
    lost: LostError | None = None
    try:
        speech.say(commands)
    except LostError as error:
        lost = error  # a server at its connection limit says so, and shuts
    (answer,) = speech.hear(commands[:1])
    if lost is not None and not isinstance(answer, Refusal):
        raise lost
    return answer


def _rest(
    node: RedisNode, speech: RespConnection, answer: Answer, first: Sequence[Sequence[str]]
) -> list[Answer]:
    """Returns the answers to `first`; without any, raises with the reason of the failed login."""
    try:
        return speech.hear(first) if first else []
    except LostError:
        if not isinstance(answer, Refusal):
            raise
    try:
        _require_welcome(node, answer)
    except TargetUnreachedError as error:
        raise TargetUnavailableError(error.message, remedy=error.advice) from None
    raise LostError("it was shut")


def _connected(node: RedisNode, tls: ssl.SSLContext | None, deadline: float) -> socket.socket:
    if node.is_socket:
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            raw.settimeout(_left(deadline))
            raw.connect(node.host)
        except BaseException:
            raw.close()
            raise
        return raw
    trouble: OSError = TimeoutError()
    found = socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)
    addresses = {(one[0], one[4]) for one in found}
    if len(addresses) > len({family for family, _ in addresses}):
        raise _SeveralError  # 2
    for family, kind, number, _, address in found:
        raw = socket.socket(family, kind, number)
        try:
            raw.settimeout(_left(deadline))
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.connect(address)
        except OSError as error:
            raw.close()
            trouble = error
            continue
        try:
            raw.settimeout(_left(deadline))
            return raw if tls is None else tls.wrap_socket(raw, server_hostname=node.host)  # 2
        except BaseException:
            raw.close()
            raise
    raise trouble


def _unwelcome(why: str, first: Sequence[object]) -> TargetUnavailableError:
    return TargetUnavailableError(why) if first else TargetUnreachedError(why)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left < _LEAST:
        raise TimeoutError
    return left


def _require_welcome(node: RedisNode, answer: Answer) -> None:
    if answer == b"OK":
        return
    name = f"`{shown(node.text)}`"
    if not isinstance(answer, Refusal):
        raise TargetUnreachedError(f"{name} answers a login with what is no Redis'")
    if answer.code == "WRONGPASS":
        raise TargetUnreachedError(
            f"{name} refuses this user and password, or the user is off",
            remedy="give another admin access: `taskbound target admin FILE`",
        )
    known = next((ours for theirs, ours in _UNWELCOME if theirs in answer.text), "")
    why = known or _WHY.get(answer.code) or f"it refuses a login ({answer.code or 'an error'})"
    raise TargetUnreachedError(f"{name}: {why}")
