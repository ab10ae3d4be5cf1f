"""What an argument of a tool is for.

1. A role is of one top-level argument. It is written as ARGUMENT=ROLE: no role holds an equals sign.
2. Some roles are worth a limit: a place, a program, who gets something, how much. Where a tool has roles at
   all, an argument without one counts as worth a limit too: what nobody knows is taken for the worst.
3. A role permits and refuses nothing. A path is limited where `init` writes a scope, and what is worth a
   limit is named where a scope leaves it open.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from taskbound.core.tool.file.errors import BadRoleError
from taskbound.core.tool.name import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_MOST: Final = 256


class Role(Enum):
    """What an argument is for."""

    PATH = "path"
    """A file or folder, or a list of them, of the machine that the server runs on."""
    URL = "url"
    """An address that is reached."""
    PROGRAM = "program"
    """What is run: a command, a statement of SQL, a script."""
    RECIPIENT = "recipient"
    """Who gets something: an account, an address, a channel."""
    AMOUNT = "amount"
    """How much of something is spent or moved."""
    NAME = "name"
    """Which of the server's own things is meant: an id, a branch, a key."""
    CONTENT = "content"
    """What is written or sent."""
    QUERY = "query"
    """What is looked for."""
    OPTION = "option"
    """How it is done."""

    @property
    def limited(self) -> bool:
        """Whether it is worth a limit (rule 2)."""
        return self in _LIMITED


_LIMITED: Final = frozenset({Role.PATH, Role.URL, Role.PROGRAM, Role.RECIPIENT, Role.AMOUNT})


def role_text(argument: str, role: Role) -> str:
    """A role as it is declared and stored (rule 1)."""
    return f"{argument}={role.value}"


def parse_roles(texts: Iterable[str]) -> dict[str, Role]:
    """The roles of a tool's arguments, by argument, sorted.

    Raises:
        BadRoleError: One is not written as it has to be, an argument stands twice, or they are too many.
    """
    found: dict[str, Role] = {}
    for text in texts:
        argument, mark, word = text.rpartition("=")
        if not mark or not argument or argument in found or word not in {one.value for one in Role}:
            raise BadRoleError(f"`{shown(text)}` is no argument's role, or its argument stands twice")
        found[argument] = Role(word)
    if len(found) > _MOST:
        raise BadRoleError(f"at most {_MOST} arguments of a tool have roles")
    return dict(sorted(found.items()))


def worth_limits(arguments: Iterable[str], roles: Mapping[str, Role]) -> dict[str, str]:
    """Which of these arguments are worth a limit, and as what (rule 2); nothing where a tool has no roles."""
    if not roles:
        return {}
    found: dict[str, str] = {}
    for one in arguments:
        role = roles.get(one)
        if role is None:
            found[one] = "nobody said what it is for"
        elif role.limited:
            found[one] = f"it is declared as {role.value}"
    return found
