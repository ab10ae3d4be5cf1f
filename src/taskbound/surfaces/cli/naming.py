"""Resolves ids that a user types, whole or shortened as narrow tables show them.

1. A whole id is passed on as it is.
2. A shortened id is searched among the newest. The daemon chooses endings at random, so no attacker can.
3. An ending that matches two ids, or no id, is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.surfaces.cli.reading import BadInputError
from taskbound.wire.action import ActionRows, ListActions
from taskbound.wire.target import CredentialRows, ListCredentials
from taskbound.wire.task import ListTasks, TaskRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskbound.surfaces.cli.session import Session


_SHORTENED: Final = re.compile(r"((?:tsk|act|crd)_)(?:~|…|\.\.\.)([a-z2-7]{8,34})")
_PAGE: Final = 500
_PAGES: Final = 10


def whole_task(session: Session, told: str) -> str:
    def page(before: str) -> tuple[list[str], bool]:
        found = session.ask(ListTasks(limit=_PAGE, before=before), TaskRows)
        return [one.task for one in found.rows], found.more

    return _whole(told, page, "task")


def whole_action(session: Session, told: str) -> str:
    def page(before: str) -> tuple[list[str], bool]:
        found = session.ask(ListActions(limit=_PAGE, before=before), ActionRows)
        return [one.action for one in found.rows], found.more

    return _whole(told, page, "action")


def whole_credential(session: Session, told: str) -> str:
    def page(before: str) -> tuple[list[str], bool]:
        found = session.ask(ListCredentials(limit=_PAGE, before=before), CredentialRows)
        return [one.id for one in found.rows], found.more

    return _whole(told, page, "credential")


def _whole(told: str, page: Callable[[str], tuple[list[str], bool]], what: str) -> str:
    short = _SHORTENED.fullmatch(told)
    if short is None:
        return told  # 1.
    found: list[str] = []
    before, more, pages = "", True, 0
    while more and pages < _PAGES:
        ids, more = page(before)
        found += [one for one in ids if one.startswith(short[1]) and one.endswith(short[2])]
        before, pages = (ids[-1] if ids else ""), pages + 1
    if len(found) != 1:  # 3.
        many = f"{len(found)} {what}s end" if found else f"no {what} among the newest {_PAGE * _PAGES} ends"
        raise BadInputError(
            f"{many} with `{short[2]}`",
            remedy=f"give the whole id, as `taskbound {what} list --json` has it",
        )
    return found[0]
