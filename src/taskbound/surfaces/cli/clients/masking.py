"""What of a configuration is not shown: values that are, or may be, somebody's secrets.

1. Of a command's words those that say that they hold a secret (`core.tool.secret`), or that stand behind an
   option or a name which says so, and of a word all behind such a name wherever that stands in it
   (`--env=API_KEY=…`). Of a URL its query, and who signs in with it.
2. Of a text of a configuration the same, and every value of `env` and `headers`, whatever it is: a person
   looks at names there, and nobody can tell which value is none. And every comment, for the same reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from taskbound.core.tool.secret import is_secret_text, may_name_secret, names_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskbound.surfaces.cli.clients.jsonc import Node


_HIDDEN: Final = "(not shown)"
_NAMED: Final = re.compile(r"(?<![\w.-])([\w.-]+)[\"']?\s*[=:][\s\"']*")
_QUERY: Final = re.compile(r"(?<=[?&;#])([^=&;#]*)=([^&;#]*)")
_USER: Final = re.compile(r"(?<=://)[^/@\s]*@")
_ALWAYS: Final = frozenset({"env", "headers"})


def masked_words(words: Sequence[str]) -> tuple[str, ...]:
    """A command's words without the secrets among them (rule 1)."""
    found = []
    behind = False
    for word in words:
        at = _secret_at(word)
        if behind or is_secret_text(word):
            found.append(_HIDDEN)
        elif at is not None:
            found.append(word[:at] + _HIDDEN)
        else:
            found.append(masked_url(word) if "://" in word else word)
        behind = at == len(word) or (
            word.startswith("-") and _NAMED.search(word) is None and names_secret(word)
        )
    return tuple(found)


def _secret_at(word: str) -> int | None:
    """Where in a word a value begins that the name before it calls a secret; None when there is none.

    What stands in a URL is `masked_url`'s.
    """
    most = word.find("://") if "://" in word else len(word)
    ends = (one.end() for one in _NAMED.finditer(word) if one.end() <= most and names_secret(one[1]))
    return next(ends, None)


def has_secret(words: Sequence[str]) -> bool:
    """Whether a command's words hold a secret."""
    return masked_words(words) != tuple(words)


def masked_url(url: str) -> str:
    """A URL without who signs in, and without the values of its query that may be secrets."""
    plain = _USER.sub(f"{_HIDDEN}@", url)
    path = re.split(r"[?#]", plain, maxsplit=1)[0]
    query = plain[len(path) :]
    return path + _QUERY.sub(lambda one: f"{one[1]}={_HIDDEN}" if _hides(one[1], one[2]) else one[0], query)


def _hides(name: str, value: str) -> bool:
    return may_name_secret(name) or is_secret_text(value)


def masked_text(text: str, nodes: Sequence[Node], comments: Sequence[tuple[int, int]]) -> str:
    """A configuration's text, with what is not shown in these parts of it replaced (rule 2).

    Args:
        text: The text; it keeps its lines.
        nodes: The parts that will be shown.
        comments: Start and end of each comment of the text.
    """
    places = {(one.start, one.end): new for node in nodes for one, new in _hidden(node)}
    for start, end in comments:
        if any(node.start < start < node.end for node in nodes):
            lines = "\n" * text.count("\n", start, end)
            places[start, end] = (
                f"// {_HIDDEN}" if text[start : start + 2] == "//" else f"/* {_HIDDEN}{lines} */"
            )
    for (start, end), new in sorted(places.items(), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _hidden(node: Node, key: str = "", *, every: bool = False) -> Iterator[tuple[Node, str]]:
    """The values beneath a part that are not shown, with what stands there instead."""
    every = every or key in _ALWAYS
    hidden = f'"{_HIDDEN}"'
    if not isinstance(node.value, dict | list):
        text = node.value if isinstance(node.value, str) else ""
        if every or names_secret(key) or has_secret((text,)) or masked_url(text) != text:
            yield node, hidden
        return
    for one in node.members:
        yield from _hidden(one.value, one.key, every=every)
    words = [one.value if isinstance(one.value, str) else "" for one in node.items]
    for item, word, shown in zip(node.items, words, masked_words(words), strict=True):
        yield from [(item, hidden)] if word != shown else _hidden(item, every=every)
