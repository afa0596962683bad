"""The `mlops-mcp` command. Each command imports what it needs: children of this script re-import this file."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .commands import agent, pages, tokens, traces

if TYPE_CHECKING:
    from ..config.load import Loaded
    from .install.command import Request

# How long a thread that computes, such as the writer of spans, may keep the interpreter from the one that answers.
# Python's own 5 ms are added to an answer each time that it waits for a thread.
HANDOVER_S = 0.0005


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, load the settings and run one command; returns the exit code."""
    from ..config.errors import SettingsError
    from ..config.platform import require_supported

    try:
        require_supported()
        return _run(arguments)
    except SettingsError as error:
        from ..tools.tracing.redaction import redact

        print(f"mlops-mcp: {redact(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    from ..tools.detached import open_standard_streams
    from ..tools.storage.state_files import keep_files_private

    keep_files_private()
    open_standard_streams()
    options = command_line().parse_args(arguments)
    from ..config.logs import configure, log_crashes
    from ..tools.tracing.redaction import redact

    configure("WARNING", redact)
    log_crashes()
    return int(options.run(options, _loaded(options)) or 0)


def _loaded(options: argparse.Namespace) -> Loaded:
    from ..config.load import CONFIG, load
    from ..config.logs import configure
    from ..tools.tracing.redaction import Redactor

    if options.config:
        # Whatever this process starts has to read the same file, wherever it stands.
        os.environ[CONFIG] = os.path.abspath(options.config)
    loaded = load(flags=_flags(options))
    redactor = Redactor.of(loaded.settings)
    configure(loaded.settings.server.log_level, redactor)
    for said in filter(None, (loaded.not_used, *loaded.absent)):
        print(f"mlops-mcp: {redactor(said)}", file=sys.stderr)
    return loaded


def command_line() -> argparse.ArgumentParser:
    from ..tools.distributions import PROJECT

    parser = argparse.ArgumentParser(prog=PROJECT, description="The machine-learning lifecycle as MCP tools.")
    parser.add_argument("--home", help="state folder (default: MLOPS_HOME, or the platform's user-data folder)")
    parser.add_argument(
        "--config", metavar="FILE", help="the settings (default: MLOPS_CONFIG, or an approved ./mlops.yaml)"
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="the version of this package")
    commands = parser.add_subparsers(required=True, metavar="command")

    _add_serve(commands.add_parser("serve", help="serve MCP"))
    _add_install(commands)
    _add_inspection(commands)
    pages.add(commands)
    agent.add(commands)
    traces.add(commands)
    tokens.add(commands)
    endpoint = commands.add_parser("endpoint-token", help="print what a program sends to an endpoint")
    endpoint.add_argument("endpoint", metavar="NAME")
    endpoint.set_defaults(run=_endpoint_token)

    _add_state(commands)
    demo = commands.add_parser("demo", help="run the whole lifecycle on the credit-risk data")
    demo.add_argument("--trials", type=int, default=20, help="parameters to try in its search")
    demo.add_argument("--keep", action="store_true", help="leave the endpoint running")
    demo.set_defaults(run=_demo)
    return parser


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--transport", choices=("stdio", "http", "sse"), default="stdio")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    _add_choice(parser, several_roots=True)
    parser.add_argument("--read-only", action="store_true", default=None, help="publish only tools that change nothing")
    parser.add_argument("--insecure", action="store_true", default=None, help="let everybody in who reaches --host")
    parser.add_argument("--public-url", metavar="URL", help="how callers know this server, e.g. behind a proxy")
    parser.add_argument("--tls-cert", metavar="FILE", help="serve https with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="and this key of it")
    parser.add_argument(
        "--behind-proxy", nargs="+", metavar="ADDRESS", help="of proxies whose X-Forwarded headers are believed"
    )
    parser.set_defaults(run=_serve)


def _add_install(commands: Any) -> None:
    install = commands.add_parser("install", help="write this server into the configuration of an MCP client")
    _add_client(install, nargs="?", help="e.g. claude-desktop; without one, all are listed with their files")
    install.add_argument("--home", default=argparse.SUPPRESS, help="state folder that the client's server uses")
    _add_choice(install, several_roots=False)
    install.set_defaults(run=_install)
    uninstall = commands.add_parser("uninstall", help="take this server out of the configuration of an MCP client")
    _add_client(uninstall, help="e.g. claude-desktop")
    uninstall.set_defaults(run=_uninstall)


def _add_inspection(commands: Any) -> None:
    doctor = commands.add_parser("doctor", help="what is installed and which backends answer")
    doctor.add_argument("--json", action="store_true", help="the same as one JSON object")
    doctor.add_argument("--deep", action="store_true", help="write to each backend, read it back and take it away")
    doctor.set_defaults(run=_doctor)

    status = commands.add_parser("status", help="watch backends, jobs, endpoints and traces")
    status.add_argument("--every", type=float, default=2.0, metavar="S", help="look again so often (default: 2)")
    status.add_argument("--once", action="store_true", help="print it once, as without a terminal")
    status.add_argument("--json", action="store_true", help="the same as one JSON object")
    status.set_defaults(run=_status)

    config = commands.add_parser("config", help="the effective settings and where each came from")
    config.set_defaults(run=_config)

    trust = commands.add_parser("trust", help="let the mlops.yaml of a working folder count, as it is now")
    trust.add_argument("config", nargs="?", default="mlops.yaml", metavar="FILE", help="default: ./mlops.yaml")
    trust.set_defaults(run=_trust)

    engine = commands.add_parser("engine", help="where jobs run").add_subparsers(required=True, metavar="command")
    workers = engine.add_parser("status", help="the engine, its workers and how many jobs there are")
    workers.add_argument("--json", action="store_true", help="the same as one JSON object")
    workers.set_defaults(run=_engine_status)


def _add_choice(parser: argparse.ArgumentParser, several_roots: bool) -> None:
    """What a server publishes and reads; where a client's name may follow, each folder has a `--root` of its own."""
    parser.add_argument("--toolset", action="append", metavar="NAME", help="publish only these toolsets (repeatable)")
    parser.add_argument("--agent", metavar="NAME", help="publish the tools of one agent, e.g. model_trainer")
    parser.add_argument(
        "--root",
        action="extend" if several_roots else "append",
        nargs="+" if several_roots else None,
        metavar="DIR",
        help="a folder whose files may be read (repeatable; default: data.roots)",
    )


def _add_client(parser: argparse.ArgumentParser, help: str, nargs: str | None = None) -> None:
    parser.add_argument("client", nargs=nargs, default="", help=help)
    parser.add_argument("--name", default="mlops", help="the server's name there (default: mlops)")
    parser.add_argument("--scope", choices=("user", "project"), default="user", help="default: for all your projects")
    parser.add_argument("--dry-run", action="store_true", help="show what would change and write nothing")
    parser.add_argument("--force", action="store_true", help="also where something else has the name")


def _add_state(commands: Any) -> None:
    backup = commands.add_parser("backup", help="write the state folder to one file, while it is used")
    backup.add_argument("file", metavar="FILE")
    backup.add_argument("--force", action="store_true", help="replace a file that is there")
    backup.set_defaults(run=_backup)
    restore = commands.add_parser("restore", help="fill the state folder from a backup")
    restore.add_argument("file", metavar="FILE")
    restore.add_argument("--force", action="store_true", help="set aside what is in the folder")
    restore.add_argument("--foreign", action="store_true", help="take one that this installation did not write")
    restore.set_defaults(run=_restore)
    upgrade = commands.add_parser("upgrade", help="bring what older versions wrote up to this one, after a backup")
    upgrade.add_argument("file", nargs="?", default="", metavar="FILE", help="where the backup is written first")
    upgrade.add_argument("--mlflow", action="store_true", help="also the database of MLflow")
    upgrade.add_argument(
        "--backed-up", action="store_true", help="of a database elsewhere, which FILE does not hold, there is a backup"
    )
    upgrade.add_argument("--dry-run", action="store_true", help="show what would change and write nothing")
    upgrade.set_defaults(run=_upgrade)


class _Version(argparse.Action):
    """Prints the version; reading it takes time that no other command should spend."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"mlops-mcp {version('mlops-mcp')}")
        parser.exit()


FLAGS = {
    "home": "home",
    "host": "server.host",
    "port": "server.port",
    "insecure": "server.insecure",
    "public_url": "server.public_url",
    "tls_cert": "server.tls_cert",
    "tls_key": "server.tls_key",
    "behind_proxy": "server.behind_proxy",
    "toolset": "server.toolsets",
    "agent": "server.agent",
    "model": "agent.model",
    "read_only": "server.read_only",
    "root": "data.roots",
}


def _flags(options: argparse.Namespace) -> dict[str, object]:
    given = {key: getattr(options, flag, None) for flag, key in FLAGS.items()}
    return {key: value for key, value in given.items() if value is not None}


def _serve(options: argparse.Namespace, loaded: Loaded) -> None:
    # The imports leave no garbage worth collecting, and what they leave is never freed.
    gc.disable()
    from .transports import serve

    gc.freeze()
    gc.enable()
    sys.setswitchinterval(HANDOVER_S)
    serve(loaded.settings, options.transport)


def _install(options: argparse.Namespace, loaded: Loaded) -> int:
    from .install.command import install

    return install(loaded.settings, _request(options))


def _uninstall(options: argparse.Namespace, loaded: Loaded) -> int:
    from .install.command import uninstall

    return uninstall(loaded.settings, _request(options))


def _request(options: argparse.Namespace) -> Request:
    from .install.command import Request

    return Request(
        client=options.client,
        name=options.name,
        scope=options.scope,
        dry_run=options.dry_run,
        force=options.force,
        home=options.home,
        agent=getattr(options, "agent", None),
        toolsets=tuple(getattr(options, "toolset", None) or ()),
        roots=tuple(getattr(options, "root", None) or ()),
    )


def _doctor(options: argparse.Namespace, loaded: Loaded) -> int:
    from .doctor import print_report

    return print_report(loaded.settings, options.json, options.deep)


def _config(_options: argparse.Namespace, loaded: Loaded) -> None:
    _print_settings(loaded)


def _print_settings(loaded: Loaded, of: str = "") -> None:
    """Those that one origin has set, or all."""
    from ..tools.tracing.redaction import Redactor

    width = max(len(key) for key in loaded.values)
    for key, value, origin in loaded.report(Redactor.of(loaded.settings)):
        if origin.startswith(of):
            print(f"{key:<{width}}  {value:<40}  {origin}")


def _trust(_options: argparse.Namespace, loaded: Loaded) -> None:
    from ..config.approval import approve, digest

    file = loaded.file
    if file is None:  # it was named, so that there is one
        return
    _print_settings(loaded, of=str(file.path))
    print(f"{file.path} counts from now on, as it is now; noted in {approve(file.path, digest(file.content))}")


def _status(options: argparse.Namespace, loaded: Loaded) -> int:
    from .status.board import show

    return show(loaded.settings, max(0.1, options.every), options.once, options.json)


def _engine_status(options: argparse.Namespace, loaded: Loaded) -> int:
    from .engine import print_status

    return print_status(loaded.settings, options.json)


def _endpoint_token(options: argparse.Namespace, loaded: Loaded) -> int:
    from .endpoint_token import print_token

    return print_token(loaded.settings.home, options.endpoint)


def _backup(options: argparse.Namespace, loaded: Loaded) -> int:
    from .backup import backup

    return backup(loaded.settings, options.file, options.force)


def _restore(options: argparse.Namespace, loaded: Loaded) -> int:
    from .backup import restore

    return restore(loaded.settings, options.file, options.force, options.foreign)


def _upgrade(options: argparse.Namespace, loaded: Loaded) -> int:
    from .upgrade import Request, upgrade

    return upgrade(loaded.settings, Request(options.file, options.mlflow, options.backed_up, options.dry_run))


def _demo(options: argparse.Namespace, loaded: Loaded) -> int:
    from ..examples.credit_risk.demo import run

    return run(loaded.settings, options.trials, keep=options.keep)
