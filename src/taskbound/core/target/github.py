"""GitHub as a target: an App's installation, and which tokens are minted from it.

1. The address uses https, or http on the loopback. App and installation are declared and part of the target's
   identity. The name must resolve to public addresses unless declared `private`.
2. A token names repositories of this installation and permissions. A repository may contain a parameter
   (`{repository}`), whose values the task's scope grants.
3. A permission reads or writes. Writable permissions are listed here. Permissions that admit others or act
   later (members, hooks, keys, secrets, workflows, codespaces, organization settings) are refused, because
   their effect would outlive the token; so are unknown ones.
4. GitHub's tokens live for an hour whatever is requested, and are ended before.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final

from taskbound.core.action.text import escape_text
from taskbound.core.dataclass import dataclass
from taskbound.core.errors import MalformedError
from taskbound.core.target.errors import BadKindError, BadTargetError
from taskbound.core.target.reading import fill, places_in
from taskbound.core.tool.oauth.client import endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping


ADDRESS: Final = "https://api.github.com/"
LEVELS: Final = ("read", "write")
MOST_REPOSITORIES: Final = 50
MOST_PERMISSIONS: Final = 32
_HOUR: Final = 3_600
_SKEW: Final = 60
"""Seconds that GitHub's clock may be ahead of ours: its answer says an instant, and no length."""
_SHOWN: Final = 80
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PERMISSION: Final = re.compile(r"[a-z][a-z_]{1,63}")
_APP: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_WRITABLE: Final = frozenset(
    {
        "actions", "artifact_metadata", "attestations", "checks", "contents", "deployments", "discussions",
        "issues", "merge_queues", "organization_projects", "packages", "pages", "pull_requests",
        "repository_advisories", "repository_projects", "secret_scanning_alerts", "security_events",
        "single_file", "statuses", "vulnerability_alerts",
    }
)  # fmt: skip  # a list of words reads better as words
"""What a task's work is; every other permission lets others in, acts later, or is not known here (rule 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubPlace:
    """The App's installation and its API address. Raises BadTargetError by rule 1."""

    app: str
    """The App's client id, or its number."""
    installation: int
    address: str = ADDRESS
    private: bool = False
    """Whether the name may lead to a network of one's own (rule 1)."""
    host: str = field(init=False)
    port: int = field(init=False)
    tls: bool = field(init=False)
    authority: str = field(init=False)
    """Host and port as the header `Host` has them."""
    path: str = field(init=False)
    """What stands before each path; it begins and ends with a slash."""

    def __post_init__(self) -> None:
        if _APP.fullmatch(self.app) is None:
            raise BadTargetError(f"`{escape_text(self.app[:_SHOWN])}` is no App's client id or number")
        if not 1 <= self.installation < 2**53:
            raise BadTargetError("an installation has a number")
        try:
            place = endpoint(self.address)
        except MalformedError as error:
            raise BadTargetError(error.message) from error
        if not self.address.endswith("/"):
            raise BadTargetError("the address ends with a slash: what is asked for stands behind it")
        for name, value in (
            ("host", place.read.host),
            ("port", place.read.port),
            ("tls", place.read.scheme == "https"),
            ("authority", place.authority),
            ("path", place.read.path),
        ):
            object.__setattr__(self, name, value)

    def admits(self, address: str) -> bool:
        """Returns whether the name may resolve to this address (rule 1)."""
        return endpoint(self.address).admits(address, private=self.private)

    @property
    def revocable(self) -> bool:
        return True

    @property
    def lasts(self) -> int:
        """The maximum life of a token in seconds, by our clock (rule 4)."""
        return _HOUR + _SKEW


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubKind:
    """The repositories and permissions of a token. Raises BadKindError by rules 2 and 3."""

    repositories: tuple[str, ...]
    """Names without their owner, sorted."""
    permissions: Mapping[str, str]
    """By name: `read` or `write`."""
    variable: str = "GITHUB_TOKEN"

    def __post_init__(self) -> None:
        if list(self.repositories) != sorted(set(self.repositories)):
            raise BadKindError("the repositories are sorted, and each is there once")
        if not 1 <= len(self.repositories) <= MOST_REPOSITORIES:
            raise BadKindError(f"a token is for 1 to {MOST_REPOSITORIES} repositories")
        if not 1 <= len(self.permissions) <= MOST_PERMISSIONS:
            raise BadKindError(f"a token has 1 to {MOST_PERMISSIONS} permissions")
        for name, level in self.permissions.items():
            if _PERMISSION.fullmatch(name) is None or level not in LEVELS:
                raise BadKindError(
                    f"`{escape_text(name[:_SHOWN])}: {escape_text(level[:_SHOWN])}` is no permission:"
                    " a name, and `read` or `write`"
                )
            if name not in _WRITABLE and level != "read":
                raise BadKindError(
                    f"permission to write `{name}` could admit others or outlive the token, or is not known"
                )
        if _VARIABLE.fullmatch(self.variable) is None:
            raise BadKindError(f"`{escape_text(self.variable[:_SHOWN])}` can't name a variable")
        self.asked(dict.fromkeys(self.parameters, "x"))

    @property
    def parameters(self) -> tuple[str, ...]:
        return places_in(self.repositories)

    @property
    def words(self) -> str:
        what = ", ".join(f"{level} {name}" for name, level in sorted(self.permissions.items()))
        return f"{what} in {', '.join(f'`{escape_text(one)}`' for one in self.repositories)}"

    def asked(self, context: Mapping[str, str]) -> tuple[str, ...]:
        """Returns the filled-in repositories, sorted; raises BadKindError for a bad value."""
        found = sorted({fill(one, context) for one in self.repositories})
        if any(_REPOSITORY.fullmatch(one) is None or not one.strip(".") for one in found):
            raise BadKindError("a repository's name is letters, digits and `._-`, without its owner")
        return tuple(found)
