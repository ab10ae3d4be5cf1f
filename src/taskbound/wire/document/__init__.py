"""Documents that people write, in YAML or JSON: one value, and where in the file each part of it stands."""

from __future__ import annotations

from taskbound.wire.document.document import Document, Format, format_of, read_document, write_yaml
from taskbound.wire.document.yaml import DocumentSyntaxError, Source

__all__ = [
    "Document",
    "DocumentSyntaxError",
    "Format",
    "Source",
    "format_of",
    "read_document",
    "write_yaml",
]
