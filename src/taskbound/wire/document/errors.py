"""The error of a document that isn't written as documents here are."""

from __future__ import annotations

from typing import ClassVar

from taskbound.core.errors import MalformedError


class DocumentSyntaxError(MalformedError):
    """The document is no YAML, or YAML that two readers could read differently."""

    code: ClassVar[str] = "document-syntax"
    remedy: ClassVar[str] = (
        "correct the file at the place named; docs/reference/scope.md has the YAML that is read"
    )
