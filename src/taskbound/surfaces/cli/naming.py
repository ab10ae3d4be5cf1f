"""Ids that a person writes: whole, or as a narrow window shortens them.

1. A whole id is left as it is; the daemon knows whether there is such a thing.
2. An id shortened to its last eight characters or more, such as `tsk_~7pzq5cgl`, names the one that ends
   so. The newest are looked through, a bounded number. The end of an id is drawn by the daemon at random:
   nobody makes one to look like another.
3. An end that two have, or none that was looked at, refuses: nothing is guessed.
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
    """The id of the task that is meant.

    Raises:
        BadInputError: Anything of rule 3.
    """

    def page(before: str) -> tuple[list[str], bool]:
        found = session.ask(ListTasks(limit=_PAGE, before=before), TaskRows)
        return [one.task for one in found.rows], found.more

    return _whole(told, page, "task")


def whole_action(session: Session, told: str) -> str:
    """The id of the action that is meant.

    Raises:
        BadInputError: Anything of rule 3.
    """

    def page(before: str) -> tuple[list[str], bool]:
        found = session.ask(ListActions(limit=_PAGE, before=before), ActionRows)
        return [one.action for one in found.rows], found.more

    return _whole(told, page, "action")


def whole_credential(session: Session, told: str) -> str:
    """The id of the credential that is meant.

    Raises:
        BadInputError: Anything of rule 3.
    """

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
