"""Builds the documentation as a static site with MkDocs: `dev/docs --site [DIR]`.

1. The site has every page of `docs`, and every file that its pages and the README link to, at the paths that
   they have in the tree, so that the links of the tree are those of the site.
2. Its navigation is `docs/README.md`: each heading a section, each `- [title](page)` a page. A linked README
   with such a list (`docs/adr`) becomes a section of its own.
3. A page that the navigation leaves out, a broken link or anchor, and a page or style sheet that loads
   anything from another host fail the build. Only an empty folder or an earlier site is replaced.
4. Python-Markdown wants four columns below an item of a list and a blank line before a list, and takes the
   file name of a fence as its title: pages are rewritten so. A fence that begins with a prompt is a console.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from tests.house.strangers import relative_links

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
HOME = "README.md"
INDEX = "docs/README.md"
SETTINGS = "docs/mkdocs.yml"
ASSETS = ("docs/site.css", "docs/site.svg")
MADE = "search/search_index.json"
"""A file that every built site has."""
Nav: TypeAlias = "list[str | dict[str, str | Nav]]"
"""Pages and titled sections, as MkDocs reads them."""

_HEADING = re.compile(r"^(##+) (.+)$")
_ENTRY = re.compile(r"^- \[(.+?)\]\(([^)]+\.md)\)")
_ITEM = re.compile(r"(?:[-*+]|(\d+)[.)]) +(?=\S)")
_FENCE = re.compile(r"(`{3,}|~{3,}) *(\S*) *(.*)")
_INDENT = 4
_OUTSIDE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_STYLE_LOAD = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')\s;]+)", re.IGNORECASE)


def collect(root: Path) -> list[str]:
    """The files of the site, as paths of the tree in order of their names (rule 1)."""
    todo = [HOME, *(path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md"))]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name in found or not (root / name).is_file():
            continue  # MkDocs refuses links to folders and to what is not there
        found.add(name)
        if name.endswith(".md"):
            todo += [_linked(name, target) for _, target in relative_links(root / name)]
    return sorted(found)


def _linked(page: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target.partition("#")[0]))


def navigation(root: Path) -> Nav:
    """The sections of the index; the first of them begins with the home page and the index (rule 2)."""
    sections = _sections(root, INDEX)
    first = next((pages for one in sections[:1] if isinstance(one, dict) for pages in one.values()), None)
    if isinstance(first, list):
        first[:0] = [{"Taskbound": HOME}, {"All pages": INDEX}]
    return sections


def _sections(root: Path, page: str) -> Nav:
    levels: list[Nav] = [[]]
    for line in (root / page).read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            inner: Nav = []
            del levels[len(heading[1]) - 1 :]
            levels[-1].append({heading[2]: inner})
            levels.append(inner)
        elif entry := _ENTRY.match(line):
            target = _linked(page, entry[2])
            listed = _sections(root, target) if posixpath.basename(target) == "README.md" else []
            levels[-1].append({entry[1]: [target, *listed] if listed else target})
    return [one for one in levels[0] if isinstance(one, str) or all(one.values())]


def for_mkdocs(text: str) -> str:
    """The same page for Python-Markdown, which reads lists and fences in its own way (rule 4)."""
    page = _Rewriting()
    for line in text.splitlines():
        page.add(line)
    return "\n".join(page.out[1:]) + "\n"


class _Rewriting:
    """A page so far, and where in its lists and fences it is."""

    def __init__(self) -> None:
        self.out = [""]
        self._offsets: list[int] = []
        """The columns at which the text of each open item begins."""
        self._fence, self._column = "", 0
        self._apart = False
        """Whether the innermost item has more than one paragraph."""

    def add(self, line: str) -> None:
        bare = line.lstrip(" ")
        column = len(line) - len(bare)
        if self._fence:
            self._add_code(line[min(column, self._column) :])
        elif bare:
            self._add_text(bare, column)
        else:
            self.out.append("")

    def _add_code(self, line: str) -> None:
        if line.startswith("$ ") and self.out[-1].strip() == self._fence:
            self.out[-1] += "console"
        self._put(line)
        if line.strip() == self._fence:
            self._fence = ""

    def _add_text(self, bare: str, column: int) -> None:
        follows, inside = bool(self.out[-1]), bool(self._offsets)
        while self._offsets and column < self._offsets[-1]:
            self._offsets.pop()
        more = column - (self._offsets[-1] if self._offsets else 0)
        item = _ITEM.match(bare) if more < _INDENT else None
        if item and (inside or not follows or item[1] in {None, "1"}):  # else a number in a paragraph
            if follows and (self._apart or not inside):
                self.out.append("")
            self._apart = False
            self._put(bare)
            self._offsets.append(column + len(item[0]))
            return
        self._apart = self._apart or not follows
        if more < _INDENT and (opened := _FENCE.fullmatch(bare)):
            self._fence, self._column = opened[1], column
            title = f' title="{opened[3]}"' if opened[3] else ""
            bare = f"{opened[1]}{opened[2]}{title}"
        self._put(" " * more + bare)

    def _put(self, line: str) -> None:
        self.out.append(" " * _INDENT * len(self._offsets) + line)


class _Loads(HTMLParser):
    """What a browser loads from other hosts when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        loaded = [named.get(name, "") for name in ("src", "poster", "data")]
        loaded += named.get("srcset", "").split(",")
        if tag == "link" and named.get("rel") != "canonical":
            loaded.append(named.get("href", ""))
        self.found += [one for one in loaded if _OUTSIDE.match(one)]
        self.found += _STYLE_LOAD.findall(named.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.found += _STYLE_LOAD.findall(data)


def loads_from_outside(site: Path) -> Iterator[str]:
    """A sentence for each address of another host that a page or style sheet of the site loads (rule 3)."""
    for path in sorted((*site.rglob("*.html"), *site.rglob("*.css"))):
        text = path.read_text(encoding="utf-8")
        found = _STYLE_LOAD.findall(text) if path.suffix == ".css" else _page_loads(text)
        yield from (f"{path.relative_to(site).as_posix()} loads {one}" for one in found)


def _page_loads(text: str) -> list[str]:
    page = _Loads()
    page.feed(text)
    page.close()
    return page.found


def stage(root: Path, folder: Path, site: Path) -> Path:
    """The settings of a build into `site`, in `folder`, beside the files that it reads."""
    for name in (*collect(root), *ASSETS):
        to = folder / "pages" / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if to.suffix == ".md":
            to.write_text(for_mkdocs((root / name).read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(root / name, to)
    settings = folder / "mkdocs.yml"  # JSON is YAML
    whole = {
        "INHERIT": str(root / SETTINGS),
        "docs_dir": "pages",
        "site_dir": str(site),
        "nav": navigation(root),
    }
    settings.write_text(json.dumps(whole), encoding="utf-8")
    return settings


def main(arguments: list[str]) -> int:
    """Build the site into the folder that is named, else into `build/site`; returns the exit status."""
    site = Path(arguments[0] if arguments else ROOT / "build" / "site").resolve()
    if site.exists() and not (site / MADE).exists() and (not site.is_dir() or any(site.iterdir())):
        sys.stderr.write(f"dev/docs: `{site}` holds something else: name an empty folder\n")
        return 1
    with TemporaryDirectory() as folder:
        built = Path(folder) / "site"
        settings = stage(ROOT, Path(folder), built)
        # Without --quiet: MkDocs counts no warning that it does not print.
        run = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(settings)]
        if (status := subprocess.run(run, check=False).returncode) != 0:
            return status
        if outside := list(loads_from_outside(built)):
            sys.stderr.write("".join(f"dev/docs: {one}\n" for one in outside))
            return 1
        site.parent.mkdir(parents=True, exist_ok=True)
        if site.exists():
            shutil.rmtree(site)
        shutil.move(built, site)
    sys.stderr.write(f"dev/docs: wrote {site}/index.html\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
