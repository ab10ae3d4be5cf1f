"""Why a document is no tool file, or a role can't be declared."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.errors import MalformedError


class ToolFileError(MalformedError):
    """The document is not one tool file."""

    code: ClassVar[str] = "tool-file"
    remedy: ClassVar[str] = "correct it at the place named; `taskbound tool schema` says what a tool file is"


class BadRoleError(MalformedError):
    """What an argument is for is not said as it has to be."""

    code: ClassVar[str] = "bad-role"
    remedy: ClassVar[str] = (
        "write ARGUMENT=ROLE with an argument of the tool; roles are path, url, program, recipient, amount,"
        " name, content, query and option"
    )
