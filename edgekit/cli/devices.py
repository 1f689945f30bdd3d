"""``edgekit devices``. Prints without rich: this command must answer at once."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from edgekit.cli import options, output

_EPILOG = """\b
Examples:
  edgekit devices
  edgekit devices --json
  edgekit devices clean adb:R5CT1234ABC"""


@click.group(epilog=_EPILOG, invoke_without_command=True)
@options.output_options
@click.pass_context
def command(context: click.Context, as_json: bool, quiet: bool, traceback: bool) -> int:
    """List the devices that are there, with their state, profile, runtimes and who holds them."""
    if context.invoked_subcommand is not None:
        return 0
    from edgekit.device.resolve import list_devices

    found = list_devices()
    if as_json:
        output.document({"devices": [output.plain(device) for device in found]})
        return 0
    rows = [("DEVICE", "STATE", "ABI", "CORES", "MEMORY")]
    for d in found:
        state = f"{d.state}{' (emulated)' if d.emulated else ''}"
        cores = "-" if d.cores is None else str(d.cores)
        rows.append((d.spec, state, d.abi or "-", cores, output.size(d.ram_bytes)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    click.echo(lines[0])
    for d, line in zip(found, lines[1:], strict=True):
        click.echo(line)
        for detail in _details(d):
            click.echo(textwrap.fill(detail, 80, initial_indent="  ", subsequent_indent="    "))
    for d in found:
        if d.lease:
            click.echo(f"{d.spec} is held by {d.lease}.")
    return 0


def _details(device: Any) -> list[str]:
    """Name and build, profile and way, runtimes: what is known of it."""
    system = ", ".join(part for part in (device.name, device.os_build, device.soc) if part)
    way = device.transport if device.profile is None else f"profile {device.profile}; {device.transport}"
    if device.state not in ("ready", "busy"):
        return [system]
    return [system, f"{way}; runs {', '.join(device.engines) or 'nothing: no runtime is installed'}"]


@command.command("clean")
@click.argument("device")
@click.option("--wait", "wait_s", default=0.0, metavar="SECONDS", help="Wait for a busy device.")
@options.output_options
def clean(device: str, wait_s: float, as_json: bool, quiet: bool, traceback: bool) -> int:
    """Remove from DEVICE what edgekit keeps there: runner, runtimes, models, inputs. The next deploy sends it again."""
    from edgekit.device import lease
    from edgekit.device.adb.phone import AdbDevice
    from edgekit.device.resolve import open_device
    from edgekit.errors import UsageError

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    opened = open_device(device, say)
    if not isinstance(opened, AdbDevice):
        raise UsageError(f"edgekit keeps nothing on {device}.", where=device,
                         next_step="Name an Android device; edgekit devices lists them.")  # fmt: skip
    with lease.hold(opened.spec, wait_s=wait_s):
        removed = opened.clean()
    if as_json:
        output.document({"device": opened.spec, "removed_bytes": removed})
    else:
        click.echo(f"{opened.spec}: {output.size(removed)} removed.")
    return 0
