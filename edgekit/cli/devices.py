"""``edgekit devices``. Prints without rich: this command must answer at once."""

from __future__ import annotations

import click

from edgekit.cli import options, output

_EPILOG = """\b
Examples:
  edgekit devices
  edgekit devices --json"""


@click.command(epilog=_EPILOG)
@options.output_options
def command(as_json: bool, quiet: bool, traceback: bool) -> int:
    """List the devices that can be used now, with their runtimes and who holds them."""
    from edgekit.device.resolve import list_devices

    found = list_devices()
    if as_json:
        output.document({"devices": [output.plain(device) for device in found]})
        return 0
    rows = [("DEVICE", "STATE", "ABI", "CORES", "MEMORY", "RUNTIMES", "NAME")]
    for d in found:
        state = f"{d.state}{' (emulated)' if d.emulated else ''}"
        cores = "-" if d.cores is None else str(d.cores)
        runtimes = ",".join(d.engines) or "none installed"
        rows.append((d.spec, state, d.abi or "-", cores, output.size(d.ram_bytes), runtimes, d.name))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for d in found:
        if d.lease:
            click.echo(f"{d.spec} is held by {d.lease}.")
    return 0
