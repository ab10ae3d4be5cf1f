"""How far the policies of an OpenBao reach, as far as their text says so.

1. Who may write policies, logins' roles, entities or ways in, or make tokens of any policy, may become what
   may do everything. What else is done in the server's own paths, or is read everywhere, reaches beyond data.
2. A text in which nothing is found, or too long a one, is not read: then nobody knows, and it is said so.
3. What a policy denies counts for nothing here: it may reach less than is said, and never more.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from taskbound.core.target.standing import Reach

if TYPE_CHECKING:
    from collections.abc import Iterator


_MOST: Final = 65_536
"""Characters of a policy that are read."""
_RULE: Final = re.compile(r'path\s*"([^"]*)"\s*\{')
_CAPABILITIES: Final = re.compile(r"\"?capabilities\"?\s*[=:]\s*\[([^\]]*)\]")
_SHORT: Final = re.compile(r'policy\s*=\s*"(\w+)"')
_SHORTS: Final = {"write": {"create", "read", "update"}, "sudo": {"create", "read", "update", "sudo"}}
_WRITES: Final = frozenset({"create", "patch", "sudo", "update"})
_WRITTEN: Final = (
    "auth/x/certs/x",
    "auth/x/role/x",
    "auth/x/users/x",
    "auth/token/roles/x",
    "identity/entity",
    "identity/entity/id/x",
    "identity/group",
    "identity/group/id/x",
    "sys/auth/x",
    "sys/policies/acl/x",
    "sys/policy/x",
)
"""Where something is written that lets its writer become anybody (rule 1)."""
_MADE: Final = ("auth/token/create", "auth/token/create-orphan")
"""Where `sudo` makes tokens of any policy."""
_SERVERS: Final = ("auth/", "identity/", "sys/")
_OWN: Final = re.compile(
    r"auth/token/(?:lookup|renew|revoke)-self|identity/oidc/provider/\+/authorize|sys/renew"
    r"|sys/(?:capabilities-self|control-group/request|internal/ui/.*|leases/.*|tools/.*|wrapping/.*)"
)
"""What a token does with itself, or with what it was given: most of what the policy `default` permits."""


def reach_of(text: str) -> Reach | None:
    """How far a policy of this text reaches; None where nobody can tell (rule 2)."""
    rules = list(_rules(text)) if len(text) <= _MOST else []
    if not rules:
        return None
    reaches = [_reach(path, words) for path, words in rules]
    return min(reaches, key=tuple(Reach).index)


def _reach(path: str, words: set[str]) -> Reach:
    fits = _pattern(path)
    if words & _WRITES and any(fits.fullmatch(one) for one in _WRITTEN):
        return Reach.ALL
    if "sudo" in words and any(fits.fullmatch(one) for one in _MADE):
        return Reach.ALL
    servers = path.startswith(_SERVERS) and not _OWN.fullmatch(path)
    anywhere = path.lstrip("+/") == "*" and bool(words - {"deny"})
    return Reach.BEYOND if anywhere or (servers and words & _WRITES) else Reach.DATA


def _pattern(path: str) -> re.Pattern[str]:
    """What the path of a rule stands for: `+` for one part, and `*` at its end for any rest."""
    parts = ["[^/]+" if one == "+" else re.escape(one) for one in path.removesuffix("*").split("/")]
    return re.compile("/".join(parts) + (".*" if path.endswith("*") else ""))


def _rules(text: str) -> Iterator[tuple[str, set[str]]]:
    """Paths, and what may be done there."""
    try:
        found = json.loads(text).get("path", {})
    except (ValueError, RecursionError, AttributeError):
        found = None
    if isinstance(found, dict):
        for path, rule in found.items():
            told = rule.get("capabilities") if isinstance(rule, dict) else None
            yield path, {one for one in told if isinstance(one, str)} if isinstance(told, list) else set()
        return
    heads = list(_RULE.finditer(text))
    ends = [*(one.start() for one in heads), len(text)][1:]
    for head, end in zip(heads, ends, strict=True):
        body = text[head.end() : end]
        words = {one.strip().strip('"') for told in _CAPABILITIES.findall(body) for one in told.split(",")}
        for short in _SHORT.findall(body):
            words |= _SHORTS.get(short, {short})
        yield head[1].removeprefix("/"), words - {""}
