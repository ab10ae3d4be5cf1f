"""Static secrets in the configurations of MCP clients: what servers are started or reached with.

1. Looked at is each entry of a server, gated or not: `env`, `headers`, `args`, `url`, and any other member
   whose name says that it is a secret.
2. What a client fills in itself (`${NAME}`, `${input:…}`) is no secret here; a default in it is one.
3. An error holds no word of the file (`core.credential.static.Reader`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from taskbound.core.credential.static import Hit, SecretKind, Worth
from taskbound.core.credential.worth import (
    LONGEST,
    References,
    named_value,
    safe,
    what_of,
    without_references,
    worth_of,
)
from taskbound.surfaces.cli.clients.errors import BadConfigError
from taskbound.surfaces.cli.clients.jsonc import parse_jsonc
from taskbound.surfaces.cli.clients.masking import HIDDEN, masked_words
from taskbound.surfaces.cli.clients.places import PROJECT_FILES, user_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskbound.core.credential.static import Reader
    from taskbound.surfaces.cli.clients.jsonc import Document, Node

__all__ = ["project_readers", "read_servers", "user_readers"]

_LISTS: Final = ("mcpServers", "servers")
_FILLED: Final = "\ue000"
"""Stands for what a client fills in, where a word is parted: no word has it."""


def user_readers(home: str, environ: Mapping[str, str]) -> Mapping[str, Reader]:
    """The configurations of a user's own, by path."""
    return dict.fromkeys((str(path) for path in user_files(home, environ)), read_servers)


def project_readers() -> Mapping[str, Reader]:
    """Those of a project, by their names below its folder."""
    return dict.fromkeys(PROJECT_FILES, read_servers)


def read_servers(text: str) -> Iterator[Hit]:
    """Every secret in every entry (rule 1).

    Raises:
        ValueError: It is no configuration.
    """
    try:
        document = parse_jsonc(text)
    except BadConfigError:
        raise ValueError("it is no configuration") from None  # 3
    for way, node in _lists(document.root):
        for one in node.members:
            yield from _entry(document, f"{way}.{safe(one.key)}", one.value)


def _lists(root: Node) -> Iterator[tuple[str, Node]]:
    """Each object of servers, with the way to it."""
    for name in _LISTS:
        node = root.find(name)
        if node is not None:
            yield name, node
    projects = root.find("projects")
    for one in projects.members if projects else ():
        inner = one.value.find("mcpServers")
        if inner is not None:
            yield f"projects.{safe(one.key)}.mcpServers", inner


def _entry(document: Document, way: str, node: Node) -> Iterator[Hit]:
    for one in node.members:
        place = f"{way}.{safe(one.key)}"
        match one.key:
            case "env" | "headers":
                for inner in one.value.members:
                    yield from _named(document, place, inner.key, inner.value, hint=one.key == "headers")
            case "args":
                places = tuple(f"{place}[{at}]" for at in range(len(one.value.items)))
                yield from _words(document, places, one.value.items, "secret in a command")
            case "url":
                yield from _words(document, (place,), (one.value,), "secret in a URL")
            case _:
                yield from _other(document, way, one.key, one.value)


def _named(document: Document, way: str, name: str, node: Node, *, hint: bool = False) -> Iterator[Hit]:
    if isinstance(node.value, bool) or not isinstance(node.value, str | int):
        return
    told = named_value(name, str(node.value), References.BRACED, hint=hint)
    if told is not None:
        what, kind, worth = told
        yield _hit(document, f"{way}.{safe(name)}", node, what, kind, worth)


def _words(document: Document, places: Sequence[str], nodes: Sequence[Node], words: str) -> Iterator[Hit]:
    """Secrets among the words of a command, or in a URL."""
    texts = [one.value[:LONGEST] if isinstance(one.value, str) else "" for one in nodes]
    told = [without_references(one, References.BRACED, _FILLED) for one in texts]
    for place, node, text, masked in zip(places, nodes, told, masked_words(told), strict=True):
        value = _hidden(text, masked)
        worth = worth_of(value)
        if worth is not None and value.strip(":@"):
            what, kind = what_of(text.replace(_FILLED, "")) or (words, SecretKind.OTHER)
            yield _hit(document, place, node, what, kind, worth)


def _hidden(text: str, masked: str) -> str:
    """What of a word is a secret, without what a client fills in."""
    if masked == HIDDEN and "://" in text:  # a URL as a whole: what is left of it may hold none
        text = text.replace(_FILLED, "")
        masked = masked_words((text,))[0]
    before, mark, after = masked.partition(HIDDEN)
    return text[len(before) : len(text) - len(after)].replace(_FILLED, "") if mark else ""


def _other(document: Document, way: str, name: str, node: Node) -> Iterator[Hit]:
    """Any other member, as deep as it goes."""
    yield from _named(document, way, name, node)
    for one in node.members:
        yield from _other(document, f"{way}.{safe(name)}", one.key, one.value)
    for at, item in enumerate(node.items):
        yield from _other(document, way, f"{name}[{at}]", item)


def _hit(document: Document, way: str, node: Node, what: str, kind: SecretKind, worth: Worth) -> Hit:
    known = SecretKind.CLIENT if kind is SecretKind.OTHER else kind
    return Hit(line=document.line_of(node.start), member=way, what=what, kind=known, worth=worth)
