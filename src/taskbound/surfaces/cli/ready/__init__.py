"""Ready tool files for popular servers. An attacker beside a server's script can change only the proposal."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.tool.file import parse_tool_file
from taskbound.core.tool.file.parse import Package
from taskbound.surfaces.cli.reading import BadInputError
from taskbound.surfaces.cli.screen import shown
from taskbound.wire.document import read_document

if TYPE_CHECKING:
    from taskbound.core.tool.file import ToolFile
    from taskbound.wire.tool import ServerSpec

__all__ = ["MARK", "find_ready", "package_of", "read_ready", "ready_names"]

MARK: Final = "ready:"
"""What stands before a ready file's name where a file is named."""
_INSTALLED: Final = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*) (?P<version>\S+), as it is installed")
_RUN: Final = re.compile(
    r"(?P<how>uvx|uv tool run|pipx run|npx|pnpx|bunx|npm exec): "
    r"(?P<name>@?[^@=\s]+)(?:@|==)(?P<version>[^;\s]+);.*"
)
_LARGEST: Final = 1_048_576


def ready_names() -> tuple[str, ...]:
    names = (one.name for one in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def read_ready(name: str) -> ToolFile:
    if name not in ready_names():
        raise BadInputError(
            f"no ready tool file is called `{shown(name)}`", remedy=f"there is {', '.join(ready_names())}"
        )
    raw = files(__package__).joinpath(f"{name}.yaml").read_bytes()
    return parse_tool_file(read_document(raw, f"{name}.yaml").value)


def find_ready(spec: ServerSpec) -> tuple[str, ToolFile] | None:
    package = package_of(spec)
    for name in ready_names() if package is not None else ():
        file = read_ready(name)
        if package is not None and file.package is not None and file.package.has(package):
            return name, file
    return None


def package_of(spec: ServerSpec) -> Package | None:
    """Return the server's package, or None if unknown."""
    installed = _INSTALLED.fullmatch(spec.lock)
    if installed is not None:
        name = re.sub(r"[-_.]+", "-", installed["name"]).lower()
        return Package(registry="pypi", name=name, version=installed["version"])
    run = _RUN.fullmatch(spec.lock)
    if run is not None:
        registry = "pypi" if run["how"].startswith(("uv", "pipx")) else "npm"
        return Package(registry=registry, name=run["name"], version=run["version"])
    scripts = [path for path, _ in spec.files if "/node_modules/" in path]
    return _of_script(scripts[0]) if len(scripts) == 1 else None


def _of_script(script: str) -> Package | None:
    above, _, inside = script.rpartition("/node_modules/")
    parts = inside.split("/")
    name = "/".join(parts[:2] if parts[0].startswith("@") else parts[:1])
    try:
        with Path(above, "node_modules", name, "package.json").open("rb") as file:
            said = json.loads(file.read(_LARGEST))
    except (OSError, ValueError):
        return None
    version = said.get("version") if isinstance(said, dict) and said.get("name") == name else None
    return Package(registry="npm", name=name, version=version) if isinstance(version, str) else None
