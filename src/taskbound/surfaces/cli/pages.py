"""Finds the guides and reference pages, in the source tree or in the wheel, for paths in messages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import taskbound

_PAGE: Final = re.compile(r"\bdocs/(?:guides|reference)/[a-z-]+\.md\b")


def find_page(name: str, package: Path | None = None) -> str:
    package = package or Path(taskbound.__file__).parent
    for place in (package.parent.parent, package):
        if (place / name).is_file():
            return str(place / name)
    return name


def with_pages(text: str) -> str:
    return _PAGE.sub(lambda found: find_page(found[0]), text)
