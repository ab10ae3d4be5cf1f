"""Writes what is made from code: pages of docs/reference, and the schema of a new database.

The tests say when one is old.
"""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import taskbound
from dev import commands, operations
from taskbound.core.errors import TaskboundError
from taskbound.core.scope.schema import scope_schema
from taskbound.core.tool.file.parse import tool_file_schema
from taskbound.surfaces.network.openapi import describe
from taskbound.wire.routes import AUTHZEN, LEFT_OUT, OAUTH, ROUTES

ROOT = Path(__file__).resolve().parents[1]
ERRORS = "docs/reference/errors.md"
SCHEMA = "docs/reference/scope.schema.json"
TOOL_SCHEMA = "docs/reference/tool-file.schema.json"
GATEWAY_MODULES = "docs/reference/gateway-modules.txt"
GATEWAY = "taskbound.wiring.gateway"
NETWORK = "docs/reference/network-api.md"
OPENAPI = "docs/reference/openapi.json"
ORIGIN = "http://127.0.0.1:8700"

_ERRORS_HEAD = """\
# Errors

Every way in which Taskbound says no. The code is stable: scripts and models may rely on it. The family says
who can act: *malformed* means fix the input, *tampered* that the audit log, or what vouches for it, is not
what it claims to be, *denied* means ask someone or do something else, *unavailable* means try again later,
and nothing was allowed meanwhile. It decides how [a command ends](cli.md#how-it-ends).

This page is made from the code by `dev/docs`.

| code | family | meaning | what to do |
| --- | --- | --- | --- |
"""
_NETWORK_HEAD = """\
# The API over the network: routes

What each takes and answers is in [openapi.json](openapi.json), which a running API serves at
`/openapi.json`; how it is used is in [the guide](../guides/network-api.md). The operation is what policies
know it by. This page is made from the code by `dev/docs`.

| method | path | operation |
| --- | --- | --- |
"""
_OAUTH_HEAD = """
OAuth's endpoints, in its own forms ([the guide](../guides/task-tokens.md)):

| path | operation |
| --- | --- |"""
_AUTHZEN_HEAD = """
AuthZEN's endpoints, in its words ([the guide](../guides/authzen.md)):

| path | operation |
| --- | --- |"""
_LEFT_OUT_HEAD = """
What has no route:

| operation | why |
| --- | --- |"""
_MODULES_HEAD = """\
# What the process that faces agents loads: every module of ours, every third-party package.
# Made by dev/docs. A new line is a wider reach of the process that an agent talks to: review it so.
"""
_LOADED = """
import sys
before = set(sys.modules)
import {module}
import sysconfig
places = tuple(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
for name in sorted(set(sys.modules) - before):
    module = sys.modules[name]
    if name.split(".")[0] == "taskbound":
        print(name)
    elif str(getattr(module, "__file__", None) or "").startswith(places):
        print(name.split(".")[0])
"""


FOREIGN = frozenset(
    f"taskbound.sdk.{name}"
    for name in ("tool.langchain", "tool.openai_agents", "tool.pydantic_ai", "verify.fastmcp")
)
"""Modules that need a library which the default tier does not install; none defines an error."""


def load_all() -> tuple[str, ...]:
    """Import every module of the package, so that every error class exists; gives their names."""
    names = tuple(name for name in module_names() if name not in FOREIGN)
    for name in names:
        importlib.import_module(name)
    return names


def module_names() -> tuple[str, ...]:
    """Every module of the package by its full name, without importing it; scripts are left out."""
    home = Path(taskbound.__path__[0])
    found: list[str] = []
    for path in home.rglob("*.py"):
        inner = path.relative_to(home.parent)
        packages = [home.parent / folder for folder in inner.parents if folder.name]
        if path.name != "__main__.py" and all((folder / "__init__.py").exists() for folder in packages):
            found.append(".".join(inner.with_suffix("").parts).removesuffix(".__init__"))
    return tuple(sorted(found))


def all_errors() -> tuple[type[TaskboundError], ...]:
    """Every error class of the package that has been imported, ordered by code and name."""
    found: set[type[TaskboundError]] = set()
    todo: list[type[TaskboundError]] = [TaskboundError]
    while todo:
        one = todo.pop()
        found.add(one)
        todo.extend(one.__subclasses__())
    ours = [one for one in found if one.__module__.split(".")[0] == "taskbound"]
    return tuple(sorted(ours, key=lambda one: (one.code, one.__qualname__)))


def errors_page(classes: tuple[type[TaskboundError], ...]) -> str:
    """The page that lists every error: code, family, meaning, remedy."""
    rows = []
    for one in classes:
        meaning = (inspect.getdoc(one) or "").split("\n", 1)[0]
        cells = (f"`{one.code}`", one.family, meaning, one.remedy)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return _ERRORS_HEAD + "".join(rows)


def loaded_by(module: str) -> tuple[str, ...]:
    """The modules of ours and the third-party packages that a fresh process loads for one module."""
    script = _LOADED.format(module=module)
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    return tuple(sorted(set(done.stdout.split())))


def gateway_modules_page() -> str:
    """The list of what the gateway's process loads."""
    return _MODULES_HEAD + "".join(f"{name}\n" for name in loaded_by(GATEWAY))


def schema_page() -> str:
    """The JSON Schema of scopes, for editors."""
    return json.dumps(scope_schema(), indent=2, ensure_ascii=False) + "\n"


def tool_schema_page() -> str:
    """The JSON Schema of tool files, for editors."""
    return json.dumps(tool_file_schema(), indent=2, ensure_ascii=False) + "\n"


def openapi_page() -> str:
    """The description of the API over the network, as a daemon of this machine serves it."""
    return json.dumps(json.loads(describe(ORIGIN)), indent=1, ensure_ascii=False) + "\n"


def network_page() -> str:
    """Every route, and every operation that has none."""
    routes = [f"| `{one.verb}` | `{one.path}` | `api:{one.operation}` |" for one in ROUTES]
    oauth = [f"| `{path}` | `api:{name}` |" for name, path in OAUTH.items()]
    authzen = [f"| `{path}` | `api:{name}` |" for name, paths in AUTHZEN.items() for path in paths]
    left_out = [f"| `api:{name}` | {reason} |" for name, reason in sorted(LEFT_OUT.items())]
    rows = [*routes, _OAUTH_HEAD, *oauth, _AUTHZEN_HEAD, *authzen, _LEFT_OUT_HEAD, *left_out]
    return _NETWORK_HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Write each page that can be made, and say which."""
    load_all()
    pages = {ERRORS: errors_page(all_errors())}
    pages |= {commands.PAGE: commands.cli_page(), commands.SETTINGS: commands.settings_page()}
    pages |= {SCHEMA: schema_page(), TOOL_SCHEMA: tool_schema_page()}
    pages |= {operations.PAGE: operations.operations_page()}
    pages |= {NETWORK: network_page(), OPENAPI: openapi_page()}
    if GATEWAY in module_names():
        pages[GATEWAY_MODULES] = gateway_modules_page()
    for name, text in pages.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
