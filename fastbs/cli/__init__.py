"""A lazy click group: one file per verb, loaded when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

import click

from fastbs.errors import BadInput

VERBS = {
    "doctor": "what this machine has, what is missing, what it would bring",
    "data": "make or check folders of images",
    "train": "one run, resumable",
    "sweep": "batch sizes x seeds with controls: the table and the claims",
    "bench": "what each batch size costs: throughput, update, data, inference, accuracy",
    "profile": "where the time of a step goes at each batch size, and what bounds it",
    "compare": "two sets of measurements: slower, faster, the same, or cannot tell; a gate for pull requests",
    "ab": "two commits or settings, measured in turns and compared in pairs",
    "calibrate": "how much this machine varies by itself, for compare",
    "advise": "which batch size, why, and what it costs: from a sweep, or a pilot with a throughput bench",
    "export": "trained runs as ONNX files and TensorRT engines",
    "check": "is what was exported still the net that was trained?",
    "show": "the table of finished or running records again",
}
BUG = 70
CONTINUED = {"sweep", "train"}  # verbs that take up again what was cut off


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = getattr(importlib.import_module(f"fastbs.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def _version(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    """Looked up only when asked for: that takes 40 ms."""
    if asked:
        from fastbs import __version__

        click.echo(f"fastbs, version {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.option("--debug", is_flag=True, help="Show a traceback with an error.")
def fastbs(debug: bool) -> None:
    """Which batch size? Measured, explained, and compared.

    Exit codes: 0 fine · 1 a run, a row or a check failed · 2 usage or bad input · 3 not comparable · 4 cannot
    tell · 5 nothing matched · 70 a bug of ours · 130 interrupted.
    """


def main() -> NoReturn:
    """The entry point: every error is one line on stderr, every ending has its exit code."""
    debug = "--debug" in sys.argv or bool(os.environ.get("FASTBS_DEBUG"))
    try:
        sys.exit(fastbs.main(prog_name="fastbs", standalone_mode=False) or 0)
    except (click.exceptions.Abort, KeyboardInterrupt):  # click makes the first of the second
        verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
        _end("interrupted; the same command continues" if verb in CONTINUED else "interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _end(" ".join(error.format_message().split()), 2)
    except BadInput as error:
        if debug:
            raise
        _end(str(error), 2)
    except BrokenPipeError:
        sys.stdout = None  # the reader of our output has left; nobody is there to flush to
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        _end(f"{type(error).__name__}: {error}; this is a bug of ours: please report it with --debug's traceback", BUG)


def _end(text: str, code: int) -> NoReturn:
    print(f"fastbs: {text}", file=sys.stderr)
    sys.exit(code)
