"""What all subcommands share: refusals instead of tracebacks, help for flags, two options."""

import shlex
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from secateur.cli import refusals

_DEBUG, _LINE = "secateur.debug", "secateur.command_line"


class Group(TyperGroup):
    """A command of subcommands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options, flags without a type."""
        return _flags_without_type(super().get_params(ctx))


class Command(TyperCommand):
    """A subcommand whose failures are one paragraph on stderr and an exit code."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its arguments and options, flags without a type."""
        return _flags_without_type(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remembers the arguments as they were typed, for the record."""
        ctx.meta[_LINE] = shlex.join(["secateur", str(ctx.info_name), *args])
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the subcommand; `--debug` adds the traceback to its refusal."""
        try:
            result = super().invoke(ctx)
            # Here, so that a reader who has left the pipe is noticed while it can be handled.
            sys.stdout.flush()
        except typer.Exit:
            raise
        except BrokenPipeError:
            refusals.settle_streams()
            raise typer.Exit(refusals.FAILURE) from None
        except (Exception, KeyboardInterrupt) as error:
            if ctx.meta.get(_DEBUG):
                traceback.print_exc()
            message, code = refusals.refusal(error)
            refusals.settle_streams()
            refusals.say(message)
            raise typer.Exit(code) from None
        return result


def _flags_without_type(params: list[Any]) -> list[Any]:
    """The help would give a flag the type `<bool>`, as if it took a value."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


def command_line(ctx: typer.Context) -> str:
    """The command as it can be typed again."""
    return str(ctx.meta[_LINE])


def _remember_debug(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        ctx.meta[_DEBUG] = True


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember_debug, help="Show the traceback of a failure."),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables, to stdout.")]
