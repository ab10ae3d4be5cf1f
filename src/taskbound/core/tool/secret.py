"""What looks like a secret: by the name that somebody gave it, or by the text that it is.

Nobody can tell a secret from any other text. Rules:

1. A name may say so by any of its words (`may_name_secret`): `x-session-id`, `auth_mode`. That is enough to
   keep a header or a parameter out of what is pinned and shown.
2. A name says so by its last word (`names_secret`): `GITHUB_TOKEN`, `--password`, `PGPASSWORD`. A key is one
   when the word before it says what it opens: `API_KEY`, and not `sort-key`.
3. A text says so by a beginning that an issuer gives to its tokens, by being a private key or a signed token
   (RFC 7519), by what stands before it in a header (`Bearer`, `Basic`), or as the password of a URL. A short
   beginning (`sk-`) counts where a word begins, and not at the end of another one (`task-`, `risk_test_`).
4. What merely looks random is no secret here: digests, ids and paths do too, and half of a guess would be
   relied on.

The beginnings are those that the issuers document for secret scanning (GitHub, GitLab, Slack, Stripe, OpenAI,
Anthropic, AWS, Google, npm, PyPI, Hugging Face).
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRETS: Final = _set(
    "apikey authorization bearer cookie credential credentials jwt pass passphrase passwd password pat pwd"
    " secret secrets token tokens"
)
_HINTS: Final = _SECRETS | _set("access auth authentication code key keys private session sig signature")
_ENDINGS: Final = ("apikey", "passwd", "password", "secret", "token")
_KEYS: Final = frozenset({"key", "keys"})
_OPENING: Final = frozenset(
    {"access", "admin", "api", "auth", "encryption", "master", "private", "secret", "service", "signing"}
)
_BEFORE: Final = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))"
"""Where a word begins, also behind what an encoding made of a character."""
_BEGINNINGS: Final = (
    r"gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}"
    rf"|{_BEFORE}(?:[sr]k_(?:live|test)_\w{{10,}}|sk-[\w-]{{16,}})"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w.-]{10,}"
    r"|npm_\w{20,}|pypi-[\w-]{16,}|hf_\w{16,}"
)
_TEXT: Final = re.compile(
    rf"(?:{_BEGINNINGS}|eyJ[\w-]{{8,}}\.eyJ[\w-]{{8,}}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|(?i:bearer|basic)[ ]+\S{8,}|[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]*:[^/\s@]+@)",
    re.ASCII,
)


def may_name_secret(name: str) -> bool:
    """Whether the name of a variable, a header or a parameter may be that of a secret (rule 1)."""
    return names_secret(name) or not _HINTS.isdisjoint(_words(name))


def names_secret(name: str) -> bool:
    """Whether the name says that its value is a secret (rule 2)."""
    before, last = ["", "", *_words(name)][-2:]
    return last in _SECRETS or last.endswith(_ENDINGS) or (last in _KEYS and before in _OPENING)


def is_secret_text(text: str) -> bool:
    """Whether a text shows that it is, or holds, a secret (rules 3 and 4)."""
    return _TEXT.search(text) is not None


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
