"""The page on which a person sees what a client asks for.

1. All that is not ours stands in it as text: escaped, isolated from the direction of what is around it, and
   marked as whose word it is. Nothing of it is in a script, a style, an address or an attribute.
2. Nothing runs but the page's own script, nothing is loaded but its own style, nobody frames it, keeps it, or
   hears where it was left for. Who opened it has no hand on it.
3. It works without its script: then it looks again by itself, and there is something to press.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from taskbound.surfaces.network.problem import Problem
    from taskbound.wire.authorization import Asking

__all__ = ["HEADERS", "KIND", "SCRIPT", "STYLE", "asking_page", "problem_page"]

KIND: Final = "text/html; charset=utf-8"
SCRIPT: Final = "/oauth/consent.js"
STYLE: Final = "/oauth/consent.css"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = (
    ("Content-Security-Policy", _POLICY),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""What every page says of itself (rule 2)."""
_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_AGAIN: Final = 5
"""Seconds between two looks of a page without its script (rule 3)."""


def asking_page(asking: Asking, path: str) -> bytes:
    """The page of a request that waits.

    Args:
        asking: The request.
        path: The page's own path.
    """
    stands_for = (
        f"<bdi>{_text(asking.host)}</bdi>, whose document at <bdi>{_text(asking.client)}</bdi> describes it"
        if asking.host
        else f"whoever runs this Taskbound: it is registered here as <bdi>{_text(asking.client)}</bdi>"
    )
    here = " (a program on the computer of this browser)" if asking.redirect in _HERE else ""
    goes_to = f"<bdi>{_text(asking.redirect)}</bdi>{here}"
    until = datetime.fromtimestamp(asking.until // 1_000_000, tz=UTC).strftime("%H:%M:%S UTC")
    body = f"""
<main data-asked="{_text(path)}">
<h1>May a program act as an agent?</h1>
<dl>
<dt>The program calls itself</dt><dd><bdi>{_text(asking.shown)}</bdi> (its own word)</dd>
<dt>Who answers for it</dt><dd>{stands_for}</dd>
<dt>Your answer goes to</dt><dd>{goes_to}</dd>
<dt>The agent that it wants to act as</dt><dd><bdi>{_text(asking.agent)}</bdi></dd>
<dt>Where it wants to act</dt><dd><bdi>{_text(asking.resource)}</bdi></dd>
</dl>
<p>To answer, type this in a terminal of your own. There you choose the task in which it may act,
or say no:</p>
<pre>taskbound token consent {_text(asking.typed)}</pre>
<p><strong>Type it only if it was you who just started this, in this browser.</strong> Whoever sends you
such a code, or asks you for it, wants to act in your name.</p>
<p id="said" role="status">It waits until {until}. This page goes on by itself once you have answered.</p>
<p><a href="{_text(path)}">I have answered: go on</a></p>
</main>"""
    refresh = (
        f'<noscript><meta http-equiv="refresh" content="{_AGAIN}; url={_text(path)}"></noscript>\n'
        f'<script src="{SCRIPT}" type="module"></script>'
    )
    return _page(body, refresh)


def problem_page(problem: Problem) -> bytes:
    """The page that says why nothing is asked."""
    advice = f"\n<p>{_text(problem.advice)}</p>" if problem.advice else ""
    return _page(
        f"\n<main>\n<h1>This can not go on</h1>\n<p>{_text(problem.detail)}</p>{advice}\n"
        f"<p><small>{_text(problem.code)}</small></p>\n</main>"
    )


def _page(body: str, more: str = "") -> bytes:
    return f"""<!doctype html>
<html lang="en" dir="ltr" translate="no">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Taskbound</title>
<link rel="stylesheet" href="{STYLE}">
{more}
</head>
<body>{body}
</body>
</html>
""".encode("utf-8", "replace")


def _text(words: str) -> str:
    """Foreign words as nothing but text (rule 1)."""
    return escape(words, quote=True)
