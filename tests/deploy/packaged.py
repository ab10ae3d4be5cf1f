"""The package as it is published, and environments that have it and what it asks for, and nothing else.

Everything is made of what this environment has: nothing is fetched.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from packaging.metadata import Metadata
from packaging.requirements import Requirement

from tests.house.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The two files that an index would have."""

    wheel: Path
    sdist: Path

    def files(self) -> dict[str, bytes]:
        """What the wheel brings, by name."""
        return contents(self.wheel)

    def metadata(self) -> Metadata:
        """What it says of itself; it is read strictly."""
        raw = next(body for name, body in self.files().items() if name.endswith(".dist-info/METADATA"))
        return Metadata.from_email(raw, validate=True)

    def again(self, folder: Path) -> dict[str, bytes]:
        """What a wheel brings that is made of the other file."""
        with tarfile.open(self.sdist) as packed:
            packed.extractall(folder, filter="data")
        (tree,) = folder.iterdir()
        made = folder / "made"
        build(tree, made, "wheel")
        (wheel,) = made.iterdir()
        return contents(wheel)


def publish(folder: Path) -> Published:
    """Make both of this tree."""
    build(ROOT, folder, "wheel", "sdist")
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Published(wheel=wheel, sdist=sdist)


def build(tree: Path, folder: Path, *kinds: str) -> None:
    words = [word for kind in kinds for word in ("-t", kind)]
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *words, "-d", str(folder)],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def brought(wanted: Iterable[str], extras: Iterable[str]) -> dict[str, Distribution]:
    """The distributions that come with these requirements, each with its own, by name."""
    todo = [(Requirement(one), frozenset(extras)) for one in wanted]
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        need, under = todo.pop()
        if need.marker is not None and not any(need.marker.evaluate({"extra": one}) for one in ("", *under)):
            continue
        key = (need.name.lower(), frozenset(need.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            one = distribution(need.name)
        except PackageNotFoundError as error:  # the locks have it not: then it is no part of what we promise
            raise AssertionError(f"{need} is not here") from error
        assert need.specifier.contains(one.version, prereleases=True), (str(need), one.version)
        found[key[0]] = one
        todo += [(Requirement(more), frozenset(need.extras)) for more in one.requires or ()]
    return found


def environment(
    folder: Path, published: Published, *extras: str, like: Environment | None = None
) -> Environment:
    """One that has the package, and what these extras of it bring.

    Pip installs it from its wheel, or it is the one that another environment has.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    made = Environment(folder=folder)
    if like is None:
        told = [sys.executable, "-m", "pip", "--python", str(made.python), "--disable-pip-version-check"]
        told += ["--quiet", "install", "--no-index", "--no-deps", "--no-compile", str(published.wheel)]
        subprocess.run(told, check=True, timeout=100)
    else:
        for one in like.site.glob("taskbound*"):
            (made.site / one.name).symlink_to(one)
    wanted = [str(one) for one in published.metadata().requires_dist or ()]
    for found in brought(wanted, extras).values():
        for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            there = made.site / name
            if not there.is_symlink():  # a folder that two share is linked once
                there.symlink_to(Path(str(found.locate_file(name))))
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One of these, and an empty home beside it."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """Where its packages are."""
        (found,) = self.folder.glob("lib/python3*/site-packages")
        return found

    @property
    def home(self) -> Path:
        """Where a person's own files would be."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return home

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there; the first word is a program of the environment."""
        program, *words = command
        return subprocess.run(
            [str(self.folder / "bin" / program), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env={"HOME": str(self.home)},
            timeout=100,
        )

    def missing(self, modules: Sequence[str]) -> dict[str, str]:
        """Which of these modules can't be imported here, each with the package that it lacks."""
        done = self.run("python", "-I", "-c", IMPORTING, json.dumps(modules))
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


IMPORTING = """
import json, sys
from importlib import import_module
missing = {}
for name in json.loads(sys.argv[1]):
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        missing[name] = error.name.partition(".")[0]
print(json.dumps(missing))
"""
