"""``edgekit``: finds the command, imports its file only, and turns every outcome into an exit code.

Built on click, the library under typer: typer 0.29 imports pydantic whenever a command runs, which alone is more
than ``edgekit devices`` may take.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from edgekit.errors import EdgekitError, UsageError
from edgekit.version import __version__

# Command -> (file, one line of help), in the order in which a user meets them.
COMMANDS = {
    "deploy": ("deploy", "Convert a model, check it, run it on a device and measure it there."),
    "convert": ("convert", "Convert a PyTorch model and prove each file against PyTorch."),
    "doctor": ("doctor", "Say what will fail or run badly in a model, and what to do about it."),
    "check": ("check", "Check that converted files still compute what a model computes."),
    "profile": ("profile", "Show where the time goes, operator by operator."),
    "evaluate": ("evaluate", "Measure the accuracy of converted files on your data."),
    "zoo": ("zoo", "List the models that come with edgekit, or describe one."),
    "devices": ("devices", "List the devices that are there; clean one."),
    "mcu": ("mcu", "Microcontrollers: plan memory, compile, put the agent on a board."),
    "virtual": ("virtual", "Start and stop virtual devices."),
    "sweep": ("sweep", "Measure many candidates, resumably: models, formats, threads, devices."),
    "choose": ("choose", "Choose a model by constraints, from comparable measurements only."),
    "compare": ("compare", "Compare two sweeps or two measurements, with the doubt."),
    "report": ("report", "Write one HTML page of measurements, parity, accuracy and the choice."),
    "bundle": ("bundle", "Make what an app or firmware takes: code, model files, a signed manifest."),
    "keys": ("keys", "Make and list the keys that sign bundles; trust those of others."),
    "results": ("results", "List, filter and export stored measurements."),
}
INTERRUPTED = 130

_EPILOG = """\b
Examples:
  edgekit deploy --device host model.pt --arch my_models.py:small_net
  edgekit convert timm:mobilenetv2_100 --to executorch,coreml,onnx -o out
  edgekit results --json

\b
Exit codes: 0 ok, 1 over budget or regressed, 2 usage or not comparable,
10 model, 11 export or conversion, 12 parity, 13 device, 14 not trustworthy
(--strict), 15 timeout, 16 store, 17 bundle."""


class LazyGroup(click.Group):
    """Imports a command's file when it is called, so that ``edgekit --help`` loads none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"edgekit.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgekit")
def cli() -> None:
    """Put PyTorch vision models on devices: convert, prove, deploy, measure.

    Shell completion: eval "$(_EDGEKIT_COMPLETE=bash_source edgekit)" (or zsh_source, fish_source).
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and answer its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    try:
        _check_text(arguments)
        code = cli.main(args=arguments, prog_name="edgekit", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return _fail(_usage(error), as_json)
    except (click.Abort, KeyboardInterrupt):
        return _fail(EdgekitError("Interrupted.", next_step="Nothing half-written was kept; run it again."), as_json,
                     INTERRUPTED)  # fmt: skip
    except EdgekitError as error:
        return _fail(error, as_json, traceback="--traceback" in arguments)
    except BrokenPipeError:  # the reader of our output went away, as `edgekit results | head` does
        sys.stderr.close()
        return 0


def _check_text(arguments: Sequence[str]) -> None:
    # Records, keys and JSON are UTF-8; better one refusal here than a name that is another one there.
    for argument in arguments:
        if not argument.isascii() and argument != argument.encode("utf-8", "replace").decode():
            shown = argument.encode("utf-8", "backslashreplace").decode()
            raise UsageError(f"{shown} is not UTF-8.", where="the command line",
                             next_step="Rename the file, or check the terminal's encoding.")  # fmt: skip


def _usage(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "edgekit"
    return UsageError(error.format_message(), where=path, next_step=f"See {path} --help.")


def _fail(error: EdgekitError, as_json: bool, code: int | None = None, traceback: bool = False) -> int:
    from edgekit.cli import output

    return output.fail(error, as_json=as_json, code=code, traceback=traceback)


def entry() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
