"""``edgekit keys``: the keys that sign bundles, and whose signatures are trusted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output

if TYPE_CHECKING:
    from edgekit.bundle.seal.keys import Entry

_EPILOG = """\b
Examples:
  edgekit keys new
  edgekit keys new release --passphrase
  edgekit keys trust ci.pub
  edgekit keys list --json"""
# What is left of 80 columns beside a key id and a kind.
_NAME_COLUMNS = 53


@click.group(epilog=_EPILOG)
def command() -> None:
    """Make and list the keys that sign bundles; trust those of others.

    They are in the user's configuration (EDGEKIT_KEYS overrides it). A private key never leaves its file, and the
    .pub beside it is what others need to trust it.
    """


@command.command()
@click.argument("name", required=False)
@click.option("--passphrase", "encrypt", is_flag=True, help="Encrypt the private key. The passphrase is asked for, or "
              "that of EDGEKIT_KEY_PASSPHRASE.")  # fmt: skip
@options.output_options
def new(name: str | None, encrypt: bool, as_json: bool, quiet: bool, traceback: bool) -> int:
    """Make a key of your own; its name is "default" unless given."""
    from edgekit.bundle.seal import keys

    made = keys.make(name or keys.DEFAULT_NAME, _new_passphrase() if encrypt else None)
    return _show(made, as_json, [f"{'private':<10}{made.path.with_suffix('.pem')}"])


@command.command("list")
@options.output_options
def list_keys(as_json: bool, quiet: bool, traceback: bool) -> int:
    """List your own keys and those that you trust."""
    from edgekit import paths
    from edgekit.bundle.seal import keys

    found = keys.entries()
    if as_json:
        output.document({"keys": [_fields(entry) for entry in found]})
        return 0
    for entry in found:
        gap = "\n    " if len(entry.name) > _NAME_COLUMNS else ""
        click.echo(f"{entry.public.key_id}  {_kind(entry):<7}  {gap}{entry.name}")
    if not found and not quiet:
        click.echo(f"There are no keys in {paths.keys_dir()}; `edgekit keys new` makes one.", err=True)
    return 0


@command.command()
@click.argument("name")
@options.output_options
def show(name: str, as_json: bool, quiet: bool, traceback: bool) -> int:
    """Show one key: its id, its public half and where that is."""
    from edgekit.bundle.seal import keys

    return _show(keys.named(name), as_json)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name", required=False)
@options.output_options
def trust(file: Path, name: str | None, as_json: bool, quiet: bool, traceback: bool) -> int:
    """Trust the signatures of somebody else's key from now on.

    FILE is the .pub that its owner gave you; compare the key id with what they say it is. NAME is the file's own
    without .pub unless given.
    """
    from edgekit.bundle.seal import keys

    return _show(keys.trust(file, name), as_json)


@command.command()
@click.argument("name")
@options.output_options
def forget(name: str, as_json: bool, quiet: bool, traceback: bool) -> int:
    """No longer trust a key of somebody else."""
    from edgekit.bundle.seal import keys

    gone = keys.forget(name)
    if as_json:
        output.document({"keys": [_fields(gone)]})
    else:
        click.echo(f"{gone.public.key_id} is no longer trusted.")
    return 0


def ask(path: str) -> str:
    """Ask for the passphrase of a private key; "" where nobody can be asked."""
    if not sys.stdin.isatty():
        return ""
    answer: str = click.prompt(f"Passphrase of {path}", hide_input=True, default="", show_default=False, err=True)
    return answer


def _new_passphrase() -> str:
    """A passphrase for a new key. Raises UsageError where there is none and nobody can be asked."""
    from edgekit.bundle.seal.key import PASSPHRASE_VARIABLE
    from edgekit.errors import UsageError

    if given := os.environ.get(PASSPHRASE_VARIABLE):
        return given
    if not sys.stdin.isatty():
        raise UsageError("There is no passphrase, and no terminal to ask for one.", where="--passphrase",
                         next_step=f"Set {PASSPHRASE_VARIABLE}.")  # fmt: skip
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    return answer


def _show(entry: Entry, as_json: bool, more: Sequence[str] = ()) -> int:
    if as_json:
        output.document({"keys": [_fields(entry)]})
        return 0
    click.echo(f"{'name':<10}{entry.name} ({_kind(entry)})")
    click.echo(f"{'key id':<10}{entry.public.key_id}")
    click.echo(f"{'public':<10}{entry.public.text}")
    for line in [f"{'file':<10}{entry.path}", *more]:
        click.echo(line)
    return 0


def _kind(entry: Entry) -> str:
    return "own" if entry.own else "trusted"


def _fields(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "key_id": entry.public.key_id, "public_key": entry.public.text,
            "private": entry.private, "own": entry.own, "path": str(entry.path)}  # fmt: skip
