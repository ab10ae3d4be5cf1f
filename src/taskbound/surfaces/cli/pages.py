"""Where the guides and the reference lie: in the source tree that runs, or as the wheel brought them.

A sentence names a page as the source tree has it, such as `docs/reference/scope.md`. In a wheel the folder is
elsewhere: what a person reads says the whole path of the page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import taskbound

_PAGE: Final = re.compile(r"\bdocs/(?:guides|reference)/[a-z-]+\.md\b")


def find_page(name: str, package: Path | None = None) -> str:
    """The path of a page; its name where there is no such page.

    Args:
        name: As the source tree has it.
        package: The folder of the package `taskbound`; by default the one that runs.
    """
    package = package or Path(taskbound.__file__).parent
    for place in (package.parent.parent, package):
        if (place / name).is_file():
            return str(place / name)
    return name


def with_pages(text: str) -> str:
    """A sentence of ours with the path of each page that it names."""
    return _PAGE.sub(lambda found: find_page(found[0]), text)
