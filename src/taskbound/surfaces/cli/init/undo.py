"""`taskbound init --undo` and `--forget`: restores configurations, or deletes their kept originals.

1. A file that can't be restored is named and keeps its original; the others go on.
2. The daemon refuses both beneath a gateway or a run and records each; neither works without a daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from taskbound.surfaces.cli.clients.files import NoUndoError
from taskbound.surfaces.cli.clients.undo import Left, Restored, forget, kept, undo
from taskbound.surfaces.cli.screen import Words, shown
from taskbound.wire.connection import Done, ForgetOriginals, UndoInit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskbound.surfaces.cli.session import Session


class FileLeft(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that stays unchanged."""

    path: str
    code: str
    why: str


class UndoReport(msgspec.Struct, frozen=True, kw_only=True, tag="undone", tag_field="is"):
    """The result of `init --undo`."""

    restored: tuple[Restored, ...]
    left: tuple[FileLeft, ...]


class ForgetReport(msgspec.Struct, frozen=True, kw_only=True, tag="forgotten", tag_field="is"):
    """The result of `init --forget`."""

    paths: tuple[str, ...]
    """The configurations whose originals were kept."""


def files_left(some: Sequence[Left]) -> tuple[FileLeft, ...]:
    return tuple(FileLeft(path=one.path, code=one.error.code, why=one.error.message) for one in some)


def raise_for(session: Session, left: Sequence[Left]) -> None:
    for one in left[1:]:
        session.screen.note(Words(one.error.message))
    if left:
        raise left[0].error


def put_back(session: Session) -> None:
    if kept(session.place.home):
        session.require_outside(UndoInit())  # a daemon that is started just now knows no gateway yet
        session.ask(UndoInit(), Done)  # 2
    done = undo(session.place.home, session.confirm)
    session.screen.report(UndoReport(restored=done.restored, left=files_left(done.left)))
    for one in done.restored:
        session.screen.line(f"{shown(one.path)}: {one.how}")
    if done.restored:
        session.screen.line("Agent, servers and template stay; `taskbound agent suspend` stops the agent.")
    raise_for(session, done.left)


def forget_originals(session: Session) -> None:
    """Delete the kept originals after the user confirms."""
    paths = kept(session.place.home)
    if not paths:
        raise NoUndoError("no original of a configuration is kept")
    session.require_outside(ForgetOriginals())
    session.screen.fields([("kept originals of", paths)])
    session.confirm("Take them away? The configurations can't be put back after that.")
    session.ask(ForgetOriginals(), Done)  # 2
    forget(session.place.home)
    session.screen.report(ForgetReport(paths=paths))
    session.screen.line("They are gone. The configurations stay as they are.")
