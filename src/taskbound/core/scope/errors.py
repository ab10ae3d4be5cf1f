"""The one error of a scope that can't be read."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.errors import MalformedError


class ScopeSyntaxError(MalformedError):
    """The scope is not written in the language of grants; ``where`` names the place."""

    code: ClassVar[str] = "scope-syntax"
    remedy: ClassVar[str] = "correct the scope at the place named; docs/reference/scope.md has the language"
