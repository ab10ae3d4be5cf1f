"""Formats that are JSON or YAML: members whose names a table of each format has.

1. A document is walked without recursion, so far and so wide; one that goes beyond is said to. Of YAML the
   parser's events are followed, and nothing is made of them: an alias is none of what it stands for.
2. A member counts where its name is one of the format's and its value is a text. Formats that only refer
   (`tokenFile`, `credsStore`, `exec`) have other members, which are not looked at.
3. What can't be read raises `ValueError`, without a word of the text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from taskbound.core.credential.static import Hit, SecretKind
from taskbound.core.credential.worth import NOT_SHOWN, safe, worth_of
from taskbound.core.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from taskbound.core.credential.static import Reader

__all__ = [
    "json_members",
    "read_azure",
    "read_docker",
    "read_forge",
    "read_google",
    "read_kube",
    "read_terraform_json",
    "yaml_members",
]

_MOST: Final = 100_000
"""Parts of a document that are looked at."""
_DEEPEST: Final = 64
_YAML: Final = 512 * 1024
"""Characters of a YAML document."""
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def json_members(names: Collection[str], what: str, kind: SecretKind) -> Reader:
    """A reader of a JSON format."""

    def read(text: str) -> Iterator[Hit]:
        try:
            root: object = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("it is no JSON") from None
        for way, key, value in _json(root):
            worth = worth_of(value) if key in names else None
            if worth is not None:
                yield Hit(member=way, what=what, kind=kind, worth=worth)

    return read


def _json(root: object) -> Iterator[tuple[str, str, str]]:
    """The way to each text, its member's name, and the text."""
    todo: list[tuple[str, str, object, int]] = [("", "", root, 0)]
    for _ in range(_MOST):
        if not todo:
            return
        way, key, one, depth = todo.pop()
        if isinstance(one, str):
            yield way, key, one
        elif isinstance(one, dict) and depth < _DEEPEST:
            inner = [(_way(way, str(name)), str(name), value, depth + 1) for name, value in one.items()]
            todo += reversed(inner)
        elif isinstance(one, list) and depth < _DEEPEST:
            todo += [(f"{way}[{at}]", key, value, depth + 1) for at, value in reversed(list(enumerate(one)))]
    raise ValueError("it is larger than what is looked through")


def yaml_members(names: Collection[str], what: str, kind: SecretKind, *, below: str = "") -> Reader:
    """A reader of a YAML format; `below` is the member of its root that is looked at, or all."""

    def read(text: str) -> Iterator[Hit]:
        if len(text) > _YAML:
            raise ValueError("it is larger than what is looked through")
        try:
            found = list(_yaml(text))
        except (yaml.YAMLError, RecursionError):
            raise ValueError("it is no YAML") from None
        for way, key, value, line in found:
            inside = not below or way == below or way.startswith((f"{below}[", f"{below}."))
            worth = worth_of(value) if inside and key in names else None
            if worth is not None:
                yield Hit(line=line, member=way, what=what, kind=kind, worth=worth)

    return read


@dataclass(slots=True)
class _Frame:
    """A mapping or a sequence that is not over."""

    way: str
    key: str
    count: int | None
    """Of a sequence: how many came."""
    expects_key: bool = True

    def next(self) -> tuple[str, str]:
        """The way to what comes next, and its member's name."""
        if self.count is None:
            self.expects_key = True
            return self.way_of(self.key), self.key
        self.count += 1
        return f"{self.way}[{self.count - 1}]", self.key

    def way_of(self, name: str) -> str:
        return _way(self.way, name)


def _yaml(text: str) -> Iterator[tuple[str, str, str, int]]:
    """The way to each text, its member's name, the text, and its line; of the first document.

    Told by the parser's events: what makes trees of them goes as deep as the text says, and is not
    to be stopped.
    """
    frames: list[_Frame] = []
    for number, event in enumerate(yaml.parse(text, _LOADER)):
        if number > _MOST or len(frames) > _DEEPEST:
            raise ValueError("it is larger than what is looked through")
        top = frames[-1] if frames else None
        if isinstance(event, yaml.DocumentEndEvent):
            return
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            frames.pop()
        elif isinstance(event, yaml.NodeEvent):
            names_member = top is not None and top.count is None and top.expects_key
            if names_member and top is not None:
                top.key = event.value if isinstance(event, yaml.ScalarEvent) else ""
                top.expects_key = False
                if not isinstance(event, yaml.CollectionStartEvent):
                    continue
                way, key = "", ""
            else:
                way, key = top.next() if top is not None else ("", "")
            if isinstance(event, yaml.ScalarEvent):
                yield way, key, event.value, event.start_mark.line + 1 if event.start_mark else 0
            elif isinstance(event, yaml.MappingStartEvent):
                frames.append(_Frame(way, "", None))
            elif isinstance(event, yaml.SequenceStartEvent):
                frames.append(_Frame(way, key, 0))


def _way(way: str, name: str) -> str:
    name = NOT_SHOWN if name.split() != [name] else safe(name)  # a value may have run into the next name
    return f"{way}.{name}" if way else name


read_google: Final[Reader] = json_members(
    {"private_key", "refresh_token", "client_secret"}, "Google credentials", SecretKind.CLOUD
)
read_azure: Final[Reader] = json_members(
    {"secret", "accessToken", "refreshToken", "client_secret", "password"}, "Azure token", SecretKind.CLOUD
)
read_docker: Final[Reader] = json_members(
    {"auth", "identitytoken", "registrytoken", "password"}, "login of a registry", SecretKind.REGISTRY
)
read_terraform_json: Final[Reader] = json_members({"token"}, "Terraform token", SecretKind.CLOUD)
read_kube: Final[Reader] = yaml_members(
    {
        *("token", "password", "client-key-data", "access-token", "id-token", "refresh-token"),
        "client-secret",
    },
    "login of a Kubernetes cluster",
    SecretKind.CLUSTER,
    below="users",
)
read_forge: Final[Reader] = yaml_members(
    {"oauth_token", "token"}, "token of a host of repositories", SecretKind.FORGE
)
