"""What the contract of `ports.target.Target` asks of a system, beside the target that speaks to it.

A `Bench` starts a system privately, and says what is in it by the system's own means, never by our adapter.
"""

from __future__ import annotations

import threading
import traceback
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from taskbound.core.errors import TaskboundError
from taskbound.ports.target import ExpiresAt, Gone, Minted, MintOrder, Shown, Target
from tests.peers.minter import PREFIX, fresh_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from taskbound.core.clock import Instant
    from tests.peers.cutting import How
    from tests.peers.impostor import Does

__all__ = [
    "NOTHING",
    "PATIENCE",
    "PREFIX",
    "Bench",
    "Cut",
    "Made",
    "Session",
    "ShutError",
    "end",
    "fresh_name",
    "make",
    "raising",
    "require_over",
    "together",
]

PATIENCE = 10.0
NOTHING = Shown(exists=False, open=0)


class ShutError(Exception):
    """The system lets nobody in with this."""


class Session(Protocol):
    """What whoever was handed a credential has open."""

    def acts(self) -> bool:
        """Whether something can still be done with it; it is done."""

    def close(self) -> None:
        """Leave, as who has it would."""


class Cut(Protocol):
    """A way to the system that is cut off where a test says so."""

    def target(self) -> Target[Any]:
        """A fresh one, that comes by this way; its first message is the next one."""

    def after(self, messages: int, how: How) -> None:
        """Cut once, at this message from now on (`tests.peers.cutting`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A credential that a test minted."""

    name: str
    ends: Instant
    minted: Minted


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What is in the system and no business of ours."""

    names: frozenset[str]
    state: Callable[[], object]
    """All that the system shows of it, to be compared."""
    session: Session
    """One of theirs, open."""


@dataclass(slots=True)
class Told:
    """The secrets of a bench: none of them may be told by anything."""

    words: set[str] = field(default_factory=set)

    def add(self, secret: str) -> None:
        """One more; of a key each of its lines, its frame and what all of its kind begin with aside."""
        lines = secret.splitlines()
        self.words |= {secret, *lines[2:-1]} if len(lines) > 1 else {secret}

    def require_none(self, text: str) -> None:
        """Fail where one of them stands in this text."""
        assert not [one for one in self.words if one in text], "a secret is told"


class Bench(Protocol):
    """One system, started for the length of the tests."""

    told: Told
    context: Mapping[str, str]
    """What goes with an order of this kind."""
    renews: bool
    """Whether it has means to move an end."""
    ends_by_itself: bool
    """Whether it has means to end a credential without us (I-03)."""
    shapes: tuple[str, ...]
    """What can be open; the last is what leaves the most behind."""
    pieces: tuple[int, ...]
    """At which messages calls are cut off; none for each, until one is never reached."""
    cuts: tuple[int, int]
    """How many times a mint and a revocation can be cut off by that at least."""
    slower: int
    """How many times as long as the fastest it takes to log in: tests that do that a lot do so much less."""

    @property
    def kind(self) -> Any:
        """A kind of credential in which every shape can be opened."""

    @property
    def ends(self) -> Instant:
        """A day from when it was started."""

    def now(self) -> Instant:
        """The system's own time."""

    def target(self) -> Target[Any]:
        """The admin's; a fresh one, or the same again with its connections."""

    def wrong(self) -> Target[Any]:
        """One whose admin access the system does not know; its secret is in `told`."""

    def weak(self) -> AbstractContextManager[Target[Any] | None]:
        """One whose admin access is known and has no rights; none where there is no such thing."""

    def nobody(self, folder: Path) -> Target[Any]:
        """One where nothing listens."""

    def impostor(self, folder: Path, does: Does) -> AbstractContextManager[Target[Any]]:
        """One where something else than the system listens."""

    def cutting(self, folder: Path) -> AbstractContextManager[Cut]:
        """A way that can be cut off."""

    def open(self, minted: Minted, shape: str = "") -> Session:
        """What whoever was handed this opens with it.

        Raises:
            ShutError: The system lets nobody in with it.
        """

    def there(self) -> frozenset[str]:
        """The names of ours that the system shows."""

    def shows(self, name: str) -> object:
        """All that the system shows under a name, to be compared; None for nothing."""

    def open_of(self, name: str) -> int:
        """How many sessions the system shows of who came in by this name."""

    def foreign(self, count: int) -> AbstractContextManager[Foreign]:
        """So many things that are not ours, of which some have names much like ours."""

    def log(self) -> str:
        """What the system wrote into its log."""


def make(
    bench: Bench, target: Target[Any] | None = None, *, name: str = "", ends: Instant | None = None
) -> Made:
    """Mint one; its secrets are those of the bench from now on."""
    order = MintOrder(name=name or fresh_name(), ends=ends or bench.ends, context=bench.context)
    minted = (target or bench.target()).mint(order, bench.kind, patience=PATIENCE)
    for secret in minted.secret.values():
        bench.told.add(secret)
    return Made(name=order.name, ends=order.ends, minted=minted)


def end(target: Target[Any], name: str, ends: Instant, *, patience: float = PATIENCE) -> Gone | ExpiresAt:
    """What the target says of its end."""
    return target.revoke(name, ends=ends, patience=patience)


def require_over(bench: Bench, made: Made) -> Gone | ExpiresAt:
    """End it, and require of the system what the answer means."""
    found = end(bench.target(), made.name, made.ends)
    with pytest.raises(ShutError):
        bench.open(made.minted)
    match found:
        case Gone(cut=cut):
            assert cut >= 0
            assert bench.target().look(made.name, patience=PATIENCE) == NOTHING
            assert (bench.shows(made.name), bench.open_of(made.name)) == (None, 0)
        case ExpiresAt(until=until):
            assert until <= made.ends
    return found


@contextmanager
def raising(bench: Bench, *classes: type[TaskboundError]) -> Iterator[None]:
    """Require that one of these is raised, and that neither it nor its causes tell a secret."""
    with pytest.raises(classes) as caught:
        yield
    bench.told.require_none("".join(traceback.format_exception(caught.value)))
    bench.told.require_none(repr(caught.value))
    assert (bool(caught.value.code), bool(caught.value.message)) == (True, True)


def together(calls: Sequence[Callable[[], object]]) -> list[object]:
    """What each answers or raises, begun at once."""
    barrier = threading.Barrier(len(calls))
    found: list[object] = [None] * len(calls)

    def run(number: int, call: Callable[[], object]) -> None:
        barrier.wait(PATIENCE)
        try:
            found[number] = call()
        except Exception as error:  # noqa: BLE001 - what is raised is what the test looks at
            found[number] = error

    threads = [threading.Thread(target=run, args=one) for one in enumerate(calls)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(3 * PATIENCE)
    return found
