"""``edgekit virtual``: devices that exist only in this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output

if TYPE_CHECKING:
    from edgekit.device.virtual_phone import Running

_EPILOG = """\b
Examples:
  edgekit virtual phone start
  edgekit deploy --device virtual:phone-arm64 model.pt
  edgekit virtual phone stop"""

_name = click.option("--name", default="phone-arm64", show_default=True, help="Which phone; several may run.")


@click.group(epilog=_EPILOG)
def command() -> None:
    """Start and stop virtual devices. What is measured there is marked as emulated."""


@command.group(epilog=_EPILOG)
def phone() -> None:
    """A virtual arm64 phone with a real adb daemon, in QEMU."""


@phone.command()
@_name
@click.option("--image", type=click.Path(path_type=Path), help="Directory of an image. Default: built when needed.")
@click.option("--port", type=click.IntRange(1024, 65535), help="adb's port on 127.0.0.1. Default: a free one.")
@click.option("--memory", default="2GiB", show_default=True, metavar="SIZE", help="The machine's memory.")
@click.option("--storage", default="1GiB", show_default=True, metavar="SIZE", help="Size of /data, in that memory.")
@options.output_options
def start(
    name: str, image: Path | None, port: int | None, memory: str, storage: str, as_json: bool, quiet: bool,
    traceback: bool,
) -> int:  # fmt: skip
    """Boot the phone, or show the one that runs. The first start builds its image."""
    from edgekit.cli.progress import ProgressView
    from edgekit.device import virtual_phone

    before = virtual_phone.running(name)
    with ProgressView(quiet) as view:
        made = virtual_phone.start(
            name, image=image, port=port, memory_mib=_mib(memory, "--memory"), storage_mib=_mib(storage, "--storage"),
            say=view.say,
        )  # fmt: skip
    if as_json:
        output.document({"virtual_phone": {**_fields(made), "state": "running"}})
        return 0
    again = "runs already" if before == made else f"is up after {made.boot_s:.1f} s"
    click.echo(f"{made.spec} {again}: adb at {made.host}:{made.port}, process {made.pid}.")
    return 0


@phone.command()
@_name
@options.output_options
def stop(name: str, as_json: bool, quiet: bool, traceback: bool) -> int:
    """Switch the phone off. What is on it is gone."""
    from edgekit.device import virtual_phone

    ran = virtual_phone.stop(name)
    if as_json:
        output.document({"virtual_phone": {"name": name, "state": "stopped", "stopped": ran}})
    else:
        click.echo(f"virtual:{name} {'is stopped' if ran else 'was not running'}.")
    return 0


@phone.command("list")
@options.output_options
def list_phones(as_json: bool, quiet: bool, traceback: bool) -> int:
    """List the phones that were started, and whether they still run."""
    from edgekit.device import virtual_phone

    found = virtual_phone.phones()
    if as_json:
        rows = [{"name": p.name, **(_fields(p.running) if p.running else {}), "state": p.state,
                 "console": str(p.console)} for p in found]  # fmt: skip
        output.document({"virtual_phones": rows})
        return 0
    for p in found:
        where = f"  adb at {p.running.host}:{p.running.port}, process {p.running.pid}" if p.running else ""
        click.echo(f"virtual:{p.name}  {p.state}{where}")
    if not found and not quiet:
        click.echo("No virtual phone was started; `edgekit virtual phone start` does.", err=True)
    return 0


def _fields(made: Running) -> dict[str, Any]:
    return {"spec": made.spec, "emulated": True, **output.plain(made, drop=("schema", "started"))}


def _mib(text: str, where: str) -> int:
    """A size option in whole MiB."""
    from edgekit.errors import UsageError

    try:
        return options.parse_size(text) >> 20
    except UsageError as error:
        raise UsageError(error.message, where=where, next_step=error.next_step) from error
