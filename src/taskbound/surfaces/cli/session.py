"""One run of one command: where it works, what it may ask of a person, and how it answers.

1. `--home`, `--namespace` and `--json` may stand before the command, within it and after it; what stands last
   counts.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, TypeVar, get_type_hints

import typer

from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.surfaces.cli.plugs import Place, Plugs
from taskbound.surfaces.cli.screen import Screen, Words, shown
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from taskbound.sdk.client import Client
    from taskbound.wire.envelope import Ask
    from taskbound.wire.frame import Message


A = TypeVar("A", bound="Message")
_PANEL: Final = "Everywhere"


class NeedsYesError(MalformedError):
    """A command that destroys something, or asks something, has nobody to ask."""

    code = "needs-answer"
    remedy = "say `--yes`, or run it in a terminal"


class DeclinedError(DeniedError):
    """The person said no."""

    code = "declined"


class NotWiredError(UnavailableError):
    """The commands were called without what wiring gives them."""

    code = "not-wired"
    remedy = "start it as the program `taskbound`"


class Session:
    """What a command works with."""

    def __init__(self, plugs: Plugs, *, home: str, namespace: str, json: bool, yes: bool) -> None:
        """Note what was asked for; nothing is read and nobody is connected yet."""
        self.plugs = plugs
        self.screen = Screen(json=json)
        self.yes = yes
        self._home = home
        self._namespace = namespace
        self._place: Place | None = None
        self._client: Client | None = None

    @property
    def place(self) -> Place:
        """The installation and its settings, read at the first use."""
        if self._place is None:
            self._place = self.plugs.place(self._home)
        return self._place

    @property
    def told_namespace(self) -> str:
        """The namespace that was asked for; empty for the settings' own."""
        return self._namespace

    @property
    def namespace(self) -> str:
        """The namespace that the command works in."""
        return self._namespace or self.place.namespace

    def client(self) -> Client:
        """The connection to the daemon, made at the first use; one a session."""
        if self._client is None:
            self._client = self.connect_anew("cli")
        return self._client

    def connect_anew(self, role: str) -> Client:
        """A connection of the caller's own, to be closed by the caller."""
        return self.plugs.connect(self.place, self.namespace, role)

    def ask(self, ask: Ask, kind: type[A], *, patience: float | None = None) -> A:
        """The daemon's answer, of this kind."""
        return self.client().ask(ask, kind, patience=patience)

    def require_outside(self, ask: Ask) -> None:
        """Go on only outside of every `taskbound run`, gateway and egress: the command acts by itself.

        Args:
            ask: Names the act: a daemon that runs refuses it too, and records that.

        Raises:
            DeniedError: This process stands beneath one.
        """
        try:
            self.plugs.require_outside(self.place)
        except DeniedError:
            place = replace(self.place, autostart=False)
            with suppress(TaskboundError), self.plugs.connect(place, self.namespace, "cli") as client:
                client.ask(ask, Done)
            raise

    def done(self, answer: Done, sentence: str) -> None:
        """Say that it took effect: the daemon's answer with `--json`, our sentence without.

        What the daemon says besides stands behind the sentence, unless the sentence has it already.
        """
        if self.screen.json:
            self.screen.document(answer)
            return
        detail = shown(Words(answer.detail))
        self.screen.line(sentence if detail in sentence else f"{sentence} ({detail})")

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def confirm(self, question: str) -> None:
        """Go on only with a person's yes.

        Raises:
            NeedsYesError: Nobody can be asked.
            DeclinedError: The person said no.
        """
        if self.yes:
            return
        if self.prompt(f"{question} [y/N]").strip().lower() not in {"y", "yes"}:
            raise DeclinedError("nothing was changed")

    def prompt(self, question: str, default: str = "") -> str:
        """What the person answers.

        Raises:
            NeedsYesError: Nobody can be asked.
            DeclinedError: The person closed the input.
        """
        if self.screen.json or not self.screen.interactive:
            raise NeedsYesError(f"nobody can be asked: {question}")
        more = f" ({default})" if default else ""
        self.screen.ask(f"{question}{more}")
        line = sys.stdin.readline()
        if not line:
            raise DeclinedError("nothing was answered, and nothing was changed")
        return line.rstrip("\n") or default


HomeOption = Annotated[
    str, typer.Option("--home", metavar="DIR", help="The data directory.", rich_help_panel=_PANEL)
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", metavar="NAME", help="The namespace to work in.", rich_help_panel=_PANEL)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else.", rich_help_panel=_PANEL)
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.", rich_help_panel=_PANEL)]


def command(
    app: typer.Typer, name: str, *, asks: bool = False, examples: str = "", passes: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command: its first argument is the session, the others are the command's own.

    Args:
        app: The group that the command stands in.
        name: What a person types.
        asks: Whether it takes `--yes`: it asks before it acts, or what stands beside it does, so that
            a script may say it to each of them.
        examples: Lines of examples, shown at the end of its help.
        passes: Whether words after `--`, or unknown ones, belong to another program.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = _parameters(function)

        def run(ctx: typer.Context, **told: object) -> None:
            before = told_before(ctx)
            session = Session(
                plugs_of(ctx),
                home=str(told.pop("home") or before.get("home", "")),
                namespace=str(told.pop("namespace") or before.get("namespace", "")),
                json=bool(told.pop("json") or before.get("json")),
                yes=bool(told.pop("yes", False)),
            )
            try:
                function(session, **told)
            finally:
                session.close()

        shared = [("home", HomeOption, ""), ("namespace", NamespaceOption, ""), ("json", JsonOption, False)]
        if asks:
            shared.append(("yes", YesOption, False))
        added = [_keyword(one, annotation, default) for one, annotation, default in shared]
        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *own, *added]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it from there
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
        settings = {"allow_interspersed_args": False} if passes else {}
        epilog = "\n\n".join(f"$ {line}" for line in examples.strip().splitlines()) if examples else None
        app.command(name, epilog=epilog, context_settings=settings)(run)
        return function

    return register


def group(name: str, sentence: str) -> typer.Typer:
    """A word under which commands stand."""
    app = typer.Typer(name=name, help=sentence, no_args_is_help=True, rich_markup_mode="markdown")

    def shared(home: HomeOption = "", namespace: NamespaceOption = "", json: JsonOption = False) -> None:
        """Take what stands before the command; `told_before` finds it again."""

    app.callback()(shared)
    return app


def told_before(ctx: typer.Context) -> dict[str, object]:
    """The shared options that stand before the command's name (rule 1)."""
    found: dict[str, object] = {}
    outer = ctx.parent
    while outer is not None:
        given = {name: value for name, value in outer.params.items() if value}
        found = {**given, **found}
        outer = outer.parent
    return found


def plugs_of(ctx: typer.Context) -> Plugs:
    """What wiring gave the program.

    Raises:
        NotWiredError: It was started without.
    """
    found = ctx.find_object(Plugs)
    if found is None:
        raise NotWiredError("this program was started without its parts")
    return found


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    found = list(inspect.signature(function).parameters.values())[1:]
    return [_keyword(one.name, hints[one.name], one.default) for one in found]


def _keyword(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
