"""Rules about what stands beside the code: the lock, the line for each dependency, change notes, scripts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import Finding, files, relative

LOCKS = {
    "requirements/demo.txt": ("server", "demo", "build"),
    "requirements/docs.txt": (),
    "requirements/frameworks.txt": (),
    "requirements/dev.txt": ("server", "postgres", "demo", "dev"),
    "requirements/test.txt": ("server", "postgres", "demo", "test"),
    "requirements/server.txt": ("server", "postgres", "build"),
    "requirements/servers/legacy.txt": (),
    "requirements/servers/modern.txt": (),
}
PACKAGES = "requirements/conformance/package.json"
"""What comes from npm, beside which its lock lies."""
SERVERS = "requirements/servers/package.json"
"""The MCP servers from npm that tests call."""
BENCHES = "requirements/benches/package.json"
"""What `dev/bench` compares with."""
DEPENDENCIES = "docs/adr/0002-dependencies.md"
DECISIONS = "docs/adr"
KINDS = ("added", "changed", "fixed", "removed", "security")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_LISTED = re.compile(r"^- \[(.+)\]\(([^)]+)\)$", re.MULTILINE)
_BAR = re.compile(r"(?<!\\)\|")
_UNDER_HEADER = re.compile(r"\|( *:?-+:? *\|)+ *$")
_CHANGE = re.compile(rf"^\d{{3,}}(-[a-z0-9-]+)?\.({'|'.join(KINDS)})\.md$")


def wanted(root: Path, sets: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for: the base and the named extras and groups."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"].get("optional-dependencies", {})
    groups = project.get("dependency-groups", {})
    texts = list(project["project"].get("dependencies", []))
    todo = list(sets)
    while todo:
        name = todo.pop()
        for one in extras.get(name, groups.get(name, [])):
            if isinstance(one, dict):
                todo.append(one["include-group"])
            else:
                texts.append(one)
    return [Requirement(text) for text in texts]


def needed(root: Path, lock: str, sets: tuple[str, ...]) -> list[Requirement]:
    """What a lock is of: the named sets, or the lines of the file beside it that ends in `.in`."""
    if sets:
        return wanted(root, sets)
    lines = (root / lock).with_suffix(".in").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def lock_is_current(root: Path) -> Iterator[Finding]:
    """Each lock pins, with hashes and without any address, a release that pyproject.toml allows."""
    for name, sets in LOCKS.items():
        text = (root / name).read_text(encoding="utf-8")
        pins = {canonicalize_name(package): version for package, version in _PIN.findall(text)}
        for need in needed(root, name, sets):
            version = pins.get(canonicalize_name(need.name))
            if version is None or not need.specifier.contains(version, prereleases=True):
                yield Finding(
                    rule="lock-is-current",
                    path=name,
                    name=need.name,
                    sentence=f"`{need}` is not what the lock pins ({version}): run dev/lock",
                )
        for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
            if "--hash=sha256:" not in block:
                yield Finding(
                    rule="lock-is-current",
                    path=name,
                    sentence=f"`{block.split()[0]}` has no hash: run dev/lock",
                )
        if re.search(r"://|^\s*(-i|--(extra-)?index-url|--find-links|--trusted-host)\b", text, re.MULTILINE):
            yield Finding(rule="lock-is-current", path=name, sentence="the lock names a place: run dev/lock")


def npm_lock_is_current(root: Path) -> Iterator[Finding]:
    """The lock of npm pins, with hashes and without any address, exactly what package.json asks for."""
    for page in (PACKAGES, SERVERS, BENCHES):
        if (root / page).exists():
            yield from _npm_lock(root, page)


def _npm_lock(root: Path, page: str) -> Iterator[Finding]:
    path = (root / page).with_name("package-lock.json")
    text = path.read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    for name, version in from_npm(root, page).items():
        if packages.get(f"node_modules/{name}", {}).get("version") != version:
            yield _unlocked(root, path, name, f"`{name}` is not locked at `{version}`: run dev/lock")
    for place, one in packages.items():
        if place and not one.get("integrity", "").startswith("sha512-"):
            yield _unlocked(root, path, place, f"`{place}` has no hash: run dev/lock")
    if "://" in text:
        yield _unlocked(root, path, "", "the lock names a place: run dev/lock")


def _unlocked(root: Path, path: Path, name: str, sentence: str) -> Finding:
    return Finding(rule="npm-lock-is-current", path=relative(path, root), name=name, sentence=sentence)


def from_npm(root: Path, page: str = PACKAGES) -> dict[str, str]:
    """The packages of npm that we chose, with the release of each."""
    path = root / page
    return dict(json.loads(path.read_text(encoding="utf-8"))["dependencies"]) if path.exists() else {}


def dependencies_have_a_line(root: Path) -> Iterator[Finding]:
    """Each dependency that we chose has its line: why, its license, whether it is alive."""
    page = root / DEPENDENCIES
    rows = page.read_text(encoding="utf-8") if page.exists() else ""
    chosen = [need.name for need in wanted(root, ("server", "postgres", "demo", "dev"))]
    for name in [*chosen, *from_npm(root), *from_npm(root, BENCHES)]:
        if f"| `{name}` |" not in rows:
            yield Finding(
                rule="dependencies-have-a-line",
                path=DEPENDENCIES,
                name=name,
                sentence=f"add the line of `{name}`: why it is needed, its license, whether it is alive",
            )


def changes_are_named(root: Path) -> Iterator[Finding]:
    """A change note is named by its issue and kind, so that the changelog can be put together."""
    for path in files(root, under=("changes",)):
        if path.name == "README.md":
            continue
        if not _CHANGE.match(path.name) or not path.read_text(encoding="utf-8").strip():
            yield Finding(
                rule="changes-are-named",
                path=relative(path, root),
                sentence=f"name it NNN.kind.md (kinds: {', '.join(KINDS)}), and write a sentence",
            )


def decisions_are_listed(root: Path) -> Iterator[Finding]:
    """Every decision is in the list of them, by its own title, in the order of their numbers."""
    page = root / DECISIONS / "README.md"
    listed = _LISTED.findall(page.read_text(encoding="utf-8")) if page.exists() else []
    there = [(_title(path), path.name) for path in files(root, ".md", under=(DECISIONS,)) if path != page]
    for title, name in there:
        if (title, name) not in listed:
            yield Finding(
                rule="decisions-are-listed",
                path=f"{DECISIONS}/{name}",
                sentence=f"add `- [{title}]({name})` to the list of decisions",
            )
    if listed != [one for one in there if one in listed]:
        yield Finding(
            rule="decisions-are-listed",
            path=f"{DECISIONS}/README.md",
            sentence="list each decision once, in the order of their numbers, and nothing that is not there",
        )


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def tables_are_whole(root: Path) -> Iterator[Finding]:
    """Each table of a page has a header, and every row of it has as many cells as the header (GFM 4.10)."""
    for path in files(root, ".md"):
        cells, fenced = 0, False
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            fenced ^= line.lstrip().startswith("```")
            if fenced or not line.startswith("|"):
                cells = 0
                continue
            found = len(_BAR.findall(line.rstrip()))
            if not cells and not _UNDER_HEADER.match("".join(lines[number : number + 1])):
                yield _torn(root, path, number, "this row is in no table: put it below a header")
            elif cells not in {0, found}:
                yield _torn(root, path, number, f"{found - 1} cells where the header has {cells - 1}")
            cells = cells or found


def _torn(root: Path, path: Path, line: int, sentence: str) -> Finding:
    return Finding(rule="tables-are-whole", path=relative(path, root), line=line, sentence=sentence)


def scripts_run(root: Path) -> Iterator[Finding]:
    """Each script of dev/ is POSIX sh, can be run, and parses."""
    for path in [*files(root, "", under=("dev",)), *files(root, "", under=(".ci",))]:
        name = relative(path, root)
        text = path.read_text(encoding="utf-8")
        sourced = path.name == "env"
        shell = "bash" if name.startswith(".ci/") else "sh"
        if not sourced and not text.startswith(("#!/bin/sh\n", "#!/usr/bin/env bash\n")):
            yield Finding(rule="scripts-run", path=name, line=1, sentence="start the script with `#!/bin/sh`")
        if not sourced and not os.access(path, os.X_OK):
            yield Finding(rule="scripts-run", path=name, sentence="make the script executable: chmod +x")
        seen = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
        if seen.returncode:
            yield Finding(rule="scripts-run", path=name, sentence=f"mend the syntax: {seen.stderr.strip()}")
