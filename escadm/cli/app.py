"""The program ``escadm``: its commands, its global options, and the one boundary that turns errors into exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn, Protocol, runtime_checkable

import typer

from escadm import __version__
from escadm.cli import argv as command_line
from escadm.cli.output import OutputLostError, complain, say, warn
from escadm.cli.session import Session
from escadm.errors import EscadmError, Failed, InvalidConfig, NotPermitted, Usage
from escadm.paths import ROOT_VARIABLE, Paths

DEFECT = 70
INTERRUPTED = 130
READER_GONE = 141

# every verb and the module of commands that has it, as a function of its name or as a family (``app``);
# only what is asked for is imported
COMMANDS = {
    "ha": "ha",
    "reload": "reload",
    "start": "services",
    "stop": "services",
    "restart": "services",
    "status": "status",
    "health": "health",
    "plan": "plan",
    "config": "config",
    "dump": "config",
    "diff": "diff",
    "switchover": "switchover",
    "drbd": "drbd",
    "ovf": "ovf",
    "agent": "agent",
    "lab": "lab",
    "version": "version",
}
_SETTINGS = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda token: token.replace("_", "-"),
    "max_content_width": 100,
}


@runtime_checkable
class _UsageFault(Protocol):
    """What the parser raises for a command line that it does not understand."""

    message: str
    ctx: typer.Context | None

    def format_message(self) -> str: ...


def main() -> NoReturn:
    """Run the program with ``sys.argv`` and end the process with its exit code."""
    debug = "--debug" in sys.argv
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # whoever started us closed it
            setattr(sys, stream, Path(os.devnull).open("w"))  # noqa: SIM115
    try:
        code = _run(sys.argv[1:])
    except OutputLostError as error:
        code = READER_GONE if error.is_reader_gone else Failed.exit_code
        if not error.is_reader_gone:
            complain(str(error))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        code = _report(error, debug=debug)
    sys.exit(code)


def build(verb: str | None = None) -> typer.Typer:
    """The program with the command ``verb`` alone, or with all of them where there is no such command."""
    app = typer.Typer(
        callback=_global_options,
        invoke_without_command=True,
        context_settings=_SETTINGS,
        pretty_exceptions_enable=False,
        pretty_exceptions_show_locals=False,
        rich_markup_mode=None,
        help="Run two machines as primary and standby, and their services in order.",
    )
    for name in [verb] if verb in COMMANDS else COMMANDS:
        module = importlib.import_module(f"escadm.cli.commands.{COMMANDS[name]}")
        command = getattr(module, name, None)
        if command is None:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(command)
    return app


def _run(argv: list[str]) -> int:
    arguments = command_line.normalise(argv)
    app = typer.main.get_command(build(command_line.verb(arguments)))
    try:
        outcome = app.main(arguments, prog_name="escadm", standalone_mode=False)
    except OSError as error:
        if error.filename is None and error.errno == errno.ENOSPC:  # the parser's own output, its help
            raise OutputLostError(error) from None
        raise
    return outcome if isinstance(outcome, int) else 0


def _global_options(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Work on the files below DIR in place of /.", envvar=ROOT_VARIABLE),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback for a defect; log more.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    paths = Paths() if root is None else Paths(root.absolute())
    if not paths.root.is_dir():
        raise Usage(f"the root {paths.root} is not a directory", "create it first, or leave --root out")
    context.obj = Session(paths, debug)
    if version:
        say(f"escadm {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())


def _report(error: Exception, *, debug: bool) -> int:
    """Tell the error in one message; its exit code."""
    if isinstance(error, OSError) and error.filename is not None:
        error = _from_system(error)
    if isinstance(error, InvalidConfig):
        complain(f"{error.subject} is not valid")
        warn(error.problems)
        return error.exit_code
    if isinstance(error, EscadmError):
        complain(error.message, error.hint)
        return error.exit_code
    if isinstance(error, _UsageFault):
        return _report_usage(error)
    hint = "run it again with --debug for the traceback, and report it"
    if debug:
        hint = ""
        traceback.print_exception(error)
    elif _keep_traceback(error):
        hint = "the log has the traceback: report it"
    complain(f"a defect of ours: {type(error).__name__}: {error}", hint)
    return DEFECT


def _keep_traceback(error: Exception) -> bool:
    """Put the traceback into the log, where root asks and there is one; whether that was so."""
    roots = [each.partition("=")[2] for each in command_line.normalise(sys.argv[1:]) if each.startswith("--root=")]
    paths = Paths(Path(roots[-1]).absolute()) if roots else Paths.from_environment()
    if os.geteuid() != 0 or not paths.log.is_file():
        return False
    from escadm.log import get, set_up  # noqa: PLC0415 - logging, which a good run does not need

    set_up(paths.log, stderr=False)
    get(__name__).error("a defect of ours in: %s", " ".join(sys.argv), exc_info=error)
    return True


def _from_system(error: OSError) -> EscadmError:
    message = f"cannot use {os.fsdecode(error.filename)}: {(error.strerror or 'unknown error').lower()}"
    if isinstance(error, PermissionError):
        return NotPermitted(message, "try again with sudo" if os.geteuid() else "")
    return Failed(message)


def _report_usage(error: _UsageFault) -> int:
    if error.ctx is not None and error.message == error.ctx.get_help():
        print(error.message, file=sys.stderr)
        return Usage.exit_code
    possible = sorted(getattr(error, "possibilities", None) or ())
    message = error.message if possible else error.format_message()
    message = message[:1].lower() + message[1:].rstrip(".")
    hint = f"try: {error.ctx.command_path if error.ctx else 'escadm'} --help"
    complain(f"{message}. Did you mean {' or '.join(possible)}?" if possible else message, hint)
    return Usage.exit_code
