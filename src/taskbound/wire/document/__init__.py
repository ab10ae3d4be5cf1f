"""YAML and JSON documents that people write: a value, and the position of each part in the file."""

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
