"""What programs expose in the ways that no framework has a hand in; loaded, and never run."""

from __future__ import annotations

import functools
from typing import Any, cast

from taskbound.sdk.guard.guarded import Guarded, Guards, guard
from tests.sdk.noted import note, note_later


def plain(text: str) -> str:
    return text


def note_alike(text: str) -> str:
    return text


note_alike.__name__ = "notes__note"


@functools.wraps(note)
def around(text: str) -> str:
    return note(text)


class Mine(Guarded[..., Any]):
    """Runs what it likes."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        return None


class Quiet(Guards):
    """A client that asks nobody."""

    def require_fit(self, function: Any) -> None:
        del function

    def run(self, function: Any, call: Any) -> Any:
        del function, call


class Pretending:
    """Says that it is what it isn't."""

    tool = "notes__note"
    server = "notes"
    name = "notes__note"
    __wrapped__ = note

    @property  # type: ignore[misc]  # that is the lie
    def __class__(self) -> type:
        return Guarded

    def __call__(self, text: str) -> str:
        return text


mine = Mine(plain, note._signature, note._options, None)  # noqa: SLF001 - `guard` makes none of its kind
quiet = Quiet().guard(server="notes", tool="quiet")(plain)


def replaced(name: str, value: object) -> Guarded[..., Any]:
    """A guarded function, of which this is another one."""

    @guard(server="notes", tool="note")
    def one(text: str) -> str:
        return text

    vars(one)[name] = value
    return one


GUARDED: list[Any] = [note, note_later, note.using(wait=5)]
BARE: list[Any] = [plain, note_alike, print, Pretending, "x".join]
HIDDEN: dict[str, Any] = {
    "lambda": lambda text: note(text=text),
    "partial": functools.partial(note, "x"),
    "partial of the inner": functools.partial(note.__wrapped__, "x"),
    "inner": note.__wrapped__,
    "wraps": around,
    "subclass": mine,
    "pretending": Pretending(),
    "another client": quiet,
    "started": replaced("started", plain),
    "using": replaced("using", lambda **_: plain),
    "digest": replaced("_digest", "0" * 64),
}
circle: list[Any] = [note]
circle.append(circle)
circle.append(cast("Any", {"again": circle}))
