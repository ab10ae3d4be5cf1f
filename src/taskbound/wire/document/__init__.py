"""Documents that people write, in YAML or JSON: one value, and where in the file each part of it stands."""

from __future__ import annotations

from taskbound.wire.document.document import Document, Format, format_of, read_document
from taskbound.wire.document.errors import DocumentSyntaxError
from taskbound.wire.document.source import Source
from taskbound.wire.document.write import write_yaml

__all__ = [
    "Document",
    "DocumentSyntaxError",
    "Format",
    "Source",
    "format_of",
    "read_document",
    "write_yaml",
]
