"""One run of a command: its installation, prompts and output. The last of repeated shared options counts."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_type_hints

import typer

from taskbound.core.errors import DeniedError, MalformedError, TaskboundError, UnavailableError
from taskbound.surfaces.cli.plugs import CommandPlace, Dependencies
from taskbound.surfaces.cli.screen import Screen, Words, shown
from taskbound.wire.connection import Done

if TYPE_CHECKING:
    from typer.models import ArgumentInfo, OptionInfo

    from taskbound.sdk.client import Client
    from taskbound.wire.envelope import Ask
    from taskbound.wire.frame import Message


A = TypeVar("A", bound="Message")
_PANEL: Final = "Everywhere"


class NeedsYesError(MalformedError):
    """A command needs a confirmation or an answer, and can't ask."""

    code = "needs-answer"
    remedy = "say `--yes`, or run it in a terminal"


class DeclinedError(DeniedError):
    """The user declined."""

    code = "declined"


class NotWiredError(UnavailableError):
    """The commands were called without what `wiring` provides."""

    code = "not-wired"
    remedy = "start it as the program `taskbound`"


class Session:
    """What a command works with."""

    def __init__(self, plugs: Dependencies, *, home: str, namespace: str, json: bool, yes: bool) -> None:
        self.plugs = plugs
        self.screen = Screen(json=json)
        self.yes = yes
        self._home = home
        self._namespace = namespace
        self._place: CommandPlace | None = None
        self._client: Client | None = None

    @property
    def place(self) -> CommandPlace:
        if self._place is None:
            self._place = self.plugs.place(self._home)
        return self._place

    @property
    def told_namespace(self) -> str:
        return self._namespace

    @property
    def namespace(self) -> str:
        return self._namespace or self.place.namespace

    def client(self) -> Client:
        if self._client is None:
            self._client = self.connect_anew("cli")
        return self._client

    def connect_anew(self, role: str) -> Client:
        """Open another connection, which the caller must close."""
        return self.plugs.connect(self.place, self.namespace, role)

    def ask(self, ask: Ask, kind: type[A], *, patience: float | None = None) -> A:
        return self.client().ask(ask, kind, patience=patience)

    def show(self, ask: Ask, kind: type[A], *, patience: float | None = None) -> A:
        """Send the request, print its answer if the command has `--json`, and return it."""
        answer = self.ask(ask, kind, patience=patience)
        self.screen.report(answer)
        return answer

    def require_outside(self, ask: Ask) -> None:
        """Refuse beneath a run, gateway or egress without a daemon too; a running daemon records it."""
        try:
            self.plugs.require_outside(self.place)
        except DeniedError:
            place = replace(self.place, autostart=False)
            with suppress(TaskboundError), self.plugs.connect(place, self.namespace, "cli") as client:
                client.ask(ask, Done)
            raise

    def act(self, ask: Ask, sentence: str, *, patience: float | None = None) -> None:
        """Send the request, then print the sentence that says what was done."""
        self.done(self.ask(ask, Done, patience=patience), sentence)

    def done(self, answer: Done, sentence: str) -> None:
        self.screen.report(answer)
        detail = shown(Words(answer.detail))
        self.screen.line(sentence if detail in sentence else f"{sentence} ({detail})")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def confirm(self, question: str) -> None:
        """Raise DeclinedError unless the user confirms, NeedsYesError if they can't be asked."""
        if self.yes:
            return
        if self.prompt(f"{question} [y/N]").strip().lower() not in {"y", "yes"}:
            raise DeclinedError("nothing was changed")

    def prompt(self, question: str, default: str = "") -> str:
        if self.screen.json or not self.screen.interactive:
            raise NeedsYesError(f"can't ask without a terminal: {question}")
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


def option(names: str, text: str, **settings: Any) -> OptionInfo:  # noqa: ANN401 -- as typer takes them
    """Returns an option; `names` are its flags, and its metavar last, such as `--output -o FILE`."""
    words = names.split()
    metavar = None if words[-1].startswith("-") else words.pop()
    found: OptionInfo = typer.Option(*words, metavar=metavar, help=text, **settings)
    return found


def argument(metavar: str, text: str, *, show_default: bool = False, **settings: Any) -> ArgumentInfo:  # noqa: ANN401 -- as above
    """Returns an argument; without a metavar its parameter's name is one."""
    found: ArgumentInfo = typer.Argument(
        metavar=metavar or None, help=text, show_default=show_default, **settings
    )
    return found


def command(
    app: typer.Typer, name: str, *, asks: bool = False, examples: str = "", passes: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command; `asks` adds `--yes`, `passes` keeps arguments for another program."""

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
    app = typer.Typer(name=name, help=sentence, no_args_is_help=True, rich_markup_mode="markdown")

    def shared(home: HomeOption = "", namespace: NamespaceOption = "", json: JsonOption = False) -> None:
        """Accept shared options before the command; `told_before` reads them."""

    app.callback()(shared)
    return app


def told_before(ctx: typer.Context) -> dict[str, object]:
    """Return the shared options that stand before the command's name."""
    found: dict[str, object] = {}
    outer = ctx.parent
    while outer is not None:
        given = {name: value for name, value in outer.params.items() if value}
        found = {**given, **found}
        outer = outer.parent
    return found


def plugs_of(ctx: typer.Context) -> Dependencies:
    found = ctx.find_object(Dependencies)
    if found is None:
        raise NotWiredError("this program was started without its parts")
    return found


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    found = list(inspect.signature(function).parameters.values())[1:]
    return [_keyword(one.name, hints[one.name], one.default) for one in found]


def _keyword(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
