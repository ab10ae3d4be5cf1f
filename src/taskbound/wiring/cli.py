"""The `taskbound` command process.

`taskbound gateway` and `taskbound guard` face agents and services. They are dispatched before the rest of the
command line is imported, so that they load only their own modules.

Without the extra `server` the package is only the SDK; the program reports that and exits.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from getpass import getpass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taskbound.core.errors import UnavailableError
from taskbound.wiring.failed import tell_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskbound.core.tool import Binding, Slot
    from taskbound.ports.policy import PolicyLanguage
    from taskbound.sdk.client import Client
    from taskbound.sdk.credential import Task
    from taskbound.sdk.tool.coverage.found import Coverage, Defined
    from taskbound.sdk.wish import TaskCredential
    from taskbound.surfaces.cli.plugs import (
        Authorized,
        BackupReport,
        CommandPlace,
        Copies,
        Dependencies,
        HelperFile,
        RecoveryReport,
        ServerInspection,
        ServerProbe,
        StolenCopy,
    )
    from taskbound.wire.tool import OAuthSpec, ServerSpec
    from taskbound.wiring.ssh import ServedHosts


_OWN: Final = "taskbound"
_INTERRUPTED: Final = 130
_UNAVAILABLE: Final = 4
_PORT: Final = 8700
"""Of the loopback, for the API of a daemon that a person serves."""


class ServerMissingError(UnavailableError):
    """The packages of the extra `server` are missing or incomplete."""

    code = "server-missing"
    remedy = "from a checkout, into the environment of this program: `pip install '.[server]'`"


def main() -> int:
    """Runs the command line; returns the exit status."""
    words = sys.argv[1:]
    try:
        if words[:1] == ["gateway"] and "--help" not in words:
            return _gateway(words[1:])
        if words[:1] == ["guard"] and "--help" not in words:
            return _guard(words[1:])
        # Only now, so that a gateway's process loads none of it.
        from taskbound.surfaces.cli.app import run  # noqa: PLC0415 -- see the module's second paragraph

        return run(words, make_plugs(os.environ))
    except KeyboardInterrupt:  # while the program is loaded, which takes long enough for an impatient person
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"", _OWN}:
            raise
        from taskbound.surfaces.cli.extras import how_to_install  # noqa: PLC0415 -- only where something is missing

        tell_failure(
            ServerMissingError(
                f"this program needs `{missing}`, which is not installed",
                remedy=f"`{how_to_install('server')}`",
            )
        )
        return _UNAVAILABLE


def make_plugs(environ: Mapping[str, str]) -> Dependencies:
    from taskbound.surfaces.cli.plugs import Dependencies  # noqa: PLC0415 -- as above
    from taskbound.wiring.home import find_socket, make_home  # noqa: PLC0415 -- as above

    return Dependencies(
        place=lambda told: _place(told, environ),
        make_home=make_home,
        require_outside=lambda place: _require_outside(place, environ),
        connect=_connect,
        socket=find_socket,
        probe=_probe,
        reach=_reach,
        authorize=_authorize,
        look=_look,
        floating=_floating,
        seal=_seal,
        seal_admin=_seal_admin,
        make_key=_make_key,
        public_half=_public_half,
        host_helper=_host_helper,
        join=_join,
        serve_hosts=_serve_hosts,
        read_secret=_read_secret,
        verify=_verify,
        gateway=_gateway,
        guard=_guard,
        serve=_serve,
        end_daemon=_end_daemon,
        loot=_loot,
        policies=_policies,
        base_policies=_base_policies,
        upgrade_store=_upgrade_store,
        examine_store=_examine_store,
        back_up=_back_up,
        copies=_copies,
        put_back=_put_back,
        reconcile=_reconcile,
        cover=_cover,
        define=_define,
        command=own_command,
        environ=environ,
    )


def _verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    from taskbound.adapters.keys.ed25519 import verify_ed25519  # noqa: PLC0415 -- it loads all events of the log

    verify_ed25519(public_key, signature, message)


def _floating(command: Sequence[str]) -> str:
    from taskbound.adapters.upstream.mcp.pin import lock_of  # noqa: PLC0415 -- as above
    from taskbound.core.errors import MalformedError  # noqa: PLC0415 -- as above

    try:
        lock_of(Path(command[0]).name, command[1:])
    except MalformedError as error:
        return error.message
    return ""


def own_command() -> tuple[str, ...]:
    """Returns the absolute command that starts this program again, independent of a client's PATH."""
    here = Path(sys.argv[0])
    beside = Path(sys.executable).with_name(_OWN)
    for one in (here if here.name == _OWN else beside, beside):
        if one.is_file() and os.access(one, os.X_OK):
            return (str(one.absolute()),)
    found = shutil.which(_OWN)
    return (found,) if found else (sys.executable, "-P", "-m", "taskbound.wiring.cli")


def _place(told: str, environ: Mapping[str, str]) -> CommandPlace:
    from taskbound.surfaces.cli.plugs import CommandPlace  # noqa: PLC0415 -- as above
    from taskbound.wiring.home import find_home  # noqa: PLC0415 -- as above
    from taskbound.wiring.settings import read_settings, unknown_variables  # noqa: PLC0415 -- as above
    from taskbound.wiring.starters import find_broker, find_egress  # noqa: PLC0415 -- as above

    home = find_home(told, environ)
    settings = read_settings(home, environ)
    return CommandPlace(
        home=home,
        namespace=settings.namespace,
        agent=settings.agent,
        template=settings.template,
        autostart=settings.autostart,
        socket=settings.socket,
        # Whoever starts it, a daemon has what the file says, and nothing of a variable of this process.
        api=read_settings(home, {}).api_address if settings.api_address else "",
        egress=find_egress(home, settings),
        broker=find_broker(home, settings),
        store=settings.store,
        unknown_variables=unknown_variables(environ),
    )


def _require_outside(place: CommandPlace, environ: Mapping[str, str]) -> None:
    from taskbound.wiring.beneath import require_outside  # noqa: PLC0415 -- as above

    require_outside(place.home, place.store, environ)


def _connect(place: CommandPlace, namespace: str, role: str) -> Client:
    from taskbound import __version__  # noqa: PLC0415 -- as above
    from taskbound.sdk.client import Client  # noqa: PLC0415 -- as above
    from taskbound.wire.connection import Open  # noqa: PLC0415 -- as above
    from taskbound.wiring.start import find_daemon  # noqa: PLC0415 -- as above

    socket = find_daemon(place.home, socket=place.socket, may_start=place.autostart)
    return Client(socket, Open(role=role, version=__version__, namespace=namespace))


def _probe(  # noqa: PLR0913 -- the shape that `Dependencies` asks for
    *,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    limits: Sequence[str] = (),
    secrets: Mapping[Slot, str | None] | None = None,
    definitions: tuple[bytes, ...] = (),
) -> ServerProbe:
    from taskbound.adapters.upstream.mcp.probe import pin_server, probe_command  # noqa: PLC0415 -- as above
    from taskbound.surfaces.cli.plugs import ServerProbe  # noqa: PLC0415 -- as above

    where = str(Path(directory or Path.cwd()).absolute())
    if definitions:
        told = pin_server(name, command, environment=environment, directory=where, limits=limits)
        return ServerProbe(spec=told, definitions=definitions)
    spec, seen = probe_command(
        name=name,
        command=command,
        environment=environment,
        directory=where,
        limits=limits,
        secrets=secrets,
    )
    return ServerProbe(spec=spec, definitions=seen.definitions, methods=seen.methods)


def _reach(  # noqa: PLR0913 -- the shape that `Dependencies` asks for
    *,
    name: str,
    url: str,
    headers: Mapping[str, str],
    key: str,
    authorities: str,
    secrets: Mapping[Slot, str | None] | None = None,
    oauth: OAuthSpec | None = None,
) -> ServerProbe:
    from taskbound.adapters.upstream.mcp.http.probe import probe_url  # noqa: PLC0415 -- as above
    from taskbound.surfaces.cli.plugs import ServerProbe  # noqa: PLC0415 -- as above

    place = str(Path(authorities).resolve()) if authorities else ""
    spec, seen = probe_url(
        name=name,
        url=url,
        headers=headers,
        key=key,
        authorities=place,
        secrets=secrets,
        oauth=oauth,
        sign=_sign,
    )
    return ServerProbe(spec=spec, definitions=seen.definitions, methods=seen.methods, notes=seen.notes)


def _sign(key: str, client: str, audience: str) -> str:
    from taskbound.adapters.keys.assertion import assertion  # noqa: PLC0415 -- as above

    return assertion(key, client=client, audience=audience)


def _authorize(url: str, asked: OAuthSpec, key: str, authorities: str) -> Authorized:
    from taskbound.adapters.upstream.mcp.http.issuer import authorize  # noqa: PLC0415 -- as above
    from taskbound.surfaces.cli.plugs import Authorized  # noqa: PLC0415 -- as above

    place = str(Path(authorities).resolve()) if authorities else ""
    spec, notes = authorize(url, asked, key=key, authorities=place)
    return Authorized(spec=spec, notes=notes)


def _look(place: CommandPlace, spec: ServerSpec, namespace: str) -> ServerInspection:
    from taskbound.wiring.look import look_at  # noqa: PLC0415 -- as above

    return look_at(spec, namespace, _egress_of(place))


def _seal(place: CommandPlace, value: str, binding: Binding) -> str:
    from taskbound.adapters.keys.sealing import seal  # noqa: PLC0415 -- as above
    from taskbound.adapters.upstream.egress import ask_key  # noqa: PLC0415 -- as above
    from taskbound.wiring.child import EgressNotStartedError, explain_silence  # noqa: PLC0415 -- as above

    path = _egress_of(place)
    with explain_silence(path, EgressNotStartedError):
        public = ask_key(path)
    return seal(value, binding, public=public)


def _seal_admin(place: CommandPlace, value: str, binding: Binding) -> str:
    from taskbound.adapters.keys.broker_key import ask_broker_key  # noqa: PLC0415 -- as above
    from taskbound.adapters.keys.sealing import seal  # noqa: PLC0415 -- as above
    from taskbound.wiring.child import BrokerNotStartedError, explain_silence  # noqa: PLC0415 -- as above
    from taskbound.wiring.home import find_socket  # noqa: PLC0415 -- as above

    path = place.broker or find_socket(place.home).with_name("broker.sock")
    with explain_silence(path, BrokerNotStartedError):
        public = ask_broker_key(path)
    return seal(value, binding, public=public)


def _make_key() -> str:
    from taskbound.adapters.keys.openssh import make_key  # noqa: PLC0415 -- as above

    return make_key()


def _public_half(private: str) -> str:
    from taskbound.adapters.keys.openssh import public_half  # noqa: PLC0415 -- as above

    return public_half(private)


def _host_helper() -> HelperFile:
    from taskbound.surfaces.cli.plugs import HelperFile  # noqa: PLC0415 -- as above

    text = files("taskbound.adapters").joinpath("targets", "openssh", "host.py").read_bytes()
    version = re.search(rb"^VERSION = (\d+)$", text, re.MULTILINE)
    return HelperFile(version=int(version[1]) if version else 0, text=text)


def _join(
    place: CommandPlace, namespace: str, *, agent: str, task: str, resume: str = "", start: bool = True
) -> Task:
    from taskbound.adapters.keys.sealing import AskerKey  # noqa: PLC0415 -- as above
    from taskbound.sdk.credential import Task  # noqa: PLC0415 -- as above
    from taskbound.wiring.start import find_daemon  # noqa: PLC0415 -- as above

    return Task.join(
        find_daemon(place.home, socket=place.socket, may_start=start and place.autostart),
        agent=agent,
        asker=AskerKey.generate,
        task=task,
        namespace=namespace,
        resume=resume,
    )


def _serve_hosts(credentials: Sequence[TaskCredential]) -> ServedHosts:
    from taskbound.wiring.ssh import ServedHosts  # noqa: PLC0415 -- as above

    return ServedHosts(credentials)


def _egress_of(place: CommandPlace) -> Path:
    from taskbound.wiring.home import find_socket  # noqa: PLC0415 -- as above

    return place.egress or find_socket(place.home).with_name("egress.sock")


def _read_secret(words: str) -> str:
    if sys.stdin.isatty():
        return getpass(words)
    return sys.stdin.readline().rstrip("\r\n")


def _gateway(words: Sequence[str]) -> int:
    """Runs the gateway. It is imported by name, so that this module doesn't depend on it."""
    status: int = import_module("taskbound.wiring.gateway").main(list(words))
    return status


def _guard(words: Sequence[str]) -> int:
    status: int = import_module("taskbound.wiring.proxied").main(list(words))
    return status


def _loot(home: Path) -> StolenCopy:
    from taskbound.adapters.keys.file import KeyDirectory  # noqa: PLC0415 -- as above
    from taskbound.adapters.store.sql import SqlStore  # noqa: PLC0415 -- as above
    from taskbound.surfaces.cli.plugs import StolenCopy  # noqa: PLC0415 -- as above

    store = SqlStore(home / "taskbound.db")
    try:
        with store.read() as snapshot:
            records = tuple(snapshot.audit.records(0, snapshot.audit.size()))
    finally:
        store.close()
    with KeyDirectory(home / "signer") as keys:
        key = keys.key
    origin = (home / "log-origin").read_text(encoding="ascii").strip()
    return StolenCopy(origin=origin, records=records, public=key.public, sign=key.sign)


def _policies() -> PolicyLanguage:
    from taskbound.adapters.policy.cedar import CedarLanguage  # noqa: PLC0415 -- as above

    return CedarLanguage()


def _base_policies() -> str:
    from taskbound.adapters.policy.cedar import base_bundle  # noqa: PLC0415 -- as above

    return base_bundle()


def _upgrade_store(address: str, daemon: str, signer: str, broker: str) -> str:
    from taskbound.wiring.store import upgrade  # noqa: PLC0415 -- as above

    return upgrade(address, daemon, signer, broker)


def _examine_store(address: str) -> Sequence[tuple[bool, str]]:
    from taskbound.wiring.store import examine  # noqa: PLC0415 -- as above

    return examine(address)


def _back_up(
    place: CommandPlace, to: str, *, store: str, database: str, told: Callable[[int, int], None]
) -> BackupReport:
    from taskbound.wiring.between import back_up  # noqa: PLC0415 -- as above

    return back_up(place, to, store=store, database=database, told=told, environ=os.environ)


def _copies(place: CommandPlace) -> Copies:
    from taskbound.wiring.copies import look_at_copies  # noqa: PLC0415 -- as above

    return look_at_copies(place.home)


def _put_back(place: CommandPlace, copy: str, *, database: str, key: str, later: str) -> RecoveryReport:
    from taskbound.wiring.between import put_back  # noqa: PLC0415 -- as above

    return put_back(place, copy, database=database, key=key, later=later)


def _reconcile(
    place: CommandPlace, *, store: str, database: str, follow: bool, later: str, key: str
) -> RecoveryReport:
    from taskbound.wiring.between import reconcile  # noqa: PLC0415 -- as above

    return reconcile(place, store=store, database=database, follow=follow, later=later, key=key)


def _define(application: str, server: str, python: str, seconds: float) -> Defined:
    from taskbound.wiring.application import ask_functions  # noqa: PLC0415 -- as above

    return ask_functions(application, server, python=python, seconds=seconds)


def _cover(application: str, python: str, seconds: float) -> Coverage:
    from taskbound.wiring.application import ask_coverage  # noqa: PLC0415 -- as above

    return ask_coverage(application, python=python, seconds=seconds)


def _serve(home: Path, as_json: bool, port: int) -> int:  # noqa: FBT001 -- the shape that `Dependencies` asks for
    from taskbound.wiring.home import find_socket  # noqa: PLC0415 -- as above
    from taskbound.wiring.listening import ApiPlace, CannotListenError, require_place  # noqa: PLC0415 -- as above
    from taskbound.wiring.settings import read_settings  # noqa: PLC0415 -- as above
    from taskbound.wiring.start import announce, answers, daemon_command  # noqa: PLC0415 -- as above

    settings = read_settings(home, {})
    address = f"127.0.0.1:{port or _PORT}" if port or not settings.api_address else ""
    try:
        if not answers(find_socket(home)):
            require_place(ApiPlace.of(settings, address))
    except CannotListenError:
        if not answers(find_socket(home)):  # one that is there by now has the place, and is what is told
            raise
    command = (*daemon_command(home, api=address), "--ready-fd", str(announce(home, as_json=as_json)))
    os.execv(command[0], command)  # noqa: S606 -- our own module, each word an argument


def _end_daemon(home: Path) -> int:
    from taskbound.wiring.ending import end_daemon  # noqa: PLC0415 -- as above

    return end_daemon(home)


if __name__ == "__main__":
    sys.exit(main())
