"""``edgekit mcu``: what a model needs on a microcontroller, its packed file or C source, and the agent on a board."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output

if TYPE_CHECKING:
    from edgekit.convert.mcu.compile import Compiled
    from edgekit.convert.mcu.planning.report import WorkingSet
    from edgekit.device.mcu.boards import Board
    from edgekit.device.mcu.images import Manifest
    from edgekit.errors import EdgekitError

_EPILOG = """\b
Examples:
  edgekit mcu plan model.tflite --board stm32f746g-disco
  edgekit mcu plan model.tflite --board rp2040 --picture arena.html
  edgekit mcu compile model.tflite --c-source -o firmware/
  edgekit mcu flash --board stm32f746g-disco"""
# Buffers named at the peak, and layers without a DSP kernel; --json has them all.
_LISTED = 6
_WIDTH = 80

_board = click.option("--board", "-b", metavar="NAME", help="A board; edgekit mcu boards lists them.")


@click.group(epilog=_EPILOG)
def command() -> None:
    """Microcontrollers: plan a model's memory, compile it, put the agent on a board."""


@command.command(epilog=_EPILOG, short_help="Tell what SRAM and flash a model needs.")
@click.argument("model")
@_board
@click.option("--picture", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Draw the arena over time into FILE.svg or FILE.html.")  # fmt: skip
@options.convert_options
@options.model_options
@options.output_options
def plan(
    model: str, board: str | None, picture: Path | None, as_json: bool, quiet: bool, traceback: bool, **given: Any
) -> int:
    """Tell what SRAM and flash MODEL needs (an int8 .tflite, or a PyTorch model), before anything is flashed.

    No device is needed. Over the board's memory is exit 1, naming the operator that needs the most.
    """
    from edgekit.convert.mcu.planning.report import working_set

    if picture is not None:
        _check_picture(picture)
    found = _find(board)
    image = _image(found) if found else None
    compiled = _compiled(model, given, found, quiet)
    if picture is not None:
        _draw(compiled, picture, image)
    too_much = _over(compiled, image) if image else None
    peak = working_set(compiled.program, compiled.plan, compiled.plan.peak_step)
    if as_json:
        failure = {"error": output.public(too_much)} if too_much else {}
        told = {**_fields(compiled, image, peak), "picture": str(picture) if picture else None}
        output.document({"plan": told, **failure})
    else:
        _show(compiled, image, peak)
        if picture is not None:
            click.echo(f"Drawn into {picture}.")
    if too_much is None:
        return 0
    output.report(too_much)
    return too_much.code


@command.command("compile", epilog=_EPILOG, short_help="Write a model's packed file or its C source.")
@click.argument("model")
@_board
@click.option("--c-source", is_flag=True, help="C source instead of a packed .ekm, for firmware of your own.")
@click.option("--output", "-o", default=".", show_default=True, metavar="DIR", type=click.Path(path_type=Path),
              help="Where the files go.")  # fmt: skip
@options.convert_options
@options.model_options
@options.output_options
def compile_model(
    model: str, board: str | None, c_source: bool, as_json: bool, quiet: bool, traceback: bool, **given: Any
) -> int:
    """Compile MODEL (an int8 .tflite, or a PyTorch model) to a packed model or C source.

    Without --board it is for cores with the DSP extension (Cortex-M4, M7, M33, M55). A packed model that is too large
    for the board is exit 1, and nothing is written. The header of C source tells how to build it.
    """
    from edgekit.convert import convert
    from edgekit.device.mcu import images

    folder: Path = given.pop("output")
    found = _find(board)
    convert.check_output(folder)
    compiled = _compiled(model, given, found, quiet)
    # Firmware of one's own has other memory than the agent's.
    if found and not c_source and images.is_built(found.name):
        too_much = _over(compiled, _image(found))
        if too_much is not None:
            raise too_much
    written = convert.write_files(_files(compiled, c_source), folder)
    _tell_files(compiled, written, c_source, as_json)
    return 0


@command.command()
@options.output_options
def boards(as_json: bool, quiet: bool, traceback: bool) -> int:
    """List the boards that edgekit knows, with their memory, and whether anyone has run them."""
    from edgekit.device.mcu import boards as known
    from edgekit.device.mcu import images

    rows, listed = [], []
    for b in known.known():
        built = images.is_built(b.name)
        listed.append({"spec": b.spec, **output.plain(b, drop=("sources",)), "image_built": built})
        rows.append([b.spec, b.core, f"{b.clock_hz / 1e6:g}", _kib(b.sram_bytes), _kib(b.flash_bytes), b.kernels,
                     "yes" if b.run_by_us else "no", "yes" if built else "no"])  # fmt: skip
    if as_json:
        output.document({"boards": listed})
        return 0
    heads = [("Board", "left"), ("Core", "left"), ("MHz", "right"), ("SRAM KiB", "right"), ("Flash KiB", "right"),
             ("Kernels", "left"), ("Run", "left"), ("Image", "left")]  # fmt: skip
    console = output.print_table(f"{len(rows)} boards", heads, rows)
    console.print("Run: whether edgekit's makers ever ran the agent on it.\nImage: whether the agent is built for it "
                  "(make agents).", soft_wrap=True)  # fmt: skip
    return 0


@command.command(short_help="Put the agent on a board.")
@click.option("--board", "-b", metavar="NAME", required=True, help="Which board is attached.")
@click.option("--probe", metavar="ID", help="Which debug probe, if several are attached (pyocd list).")
@click.option("--yes", is_flag=True, help="Do not ask: what is in the board's flash is overwritten.")
@options.output_options
def flash(board: str, probe: str | None, yes: bool, as_json: bool, quiet: bool, traceback: bool) -> int:
    """Put the agent on a board, through its debug probe (pyOCD). Overwrites what is in its flash."""
    from edgekit.cli.progress import ProgressView
    from edgekit.device.mcu import boards as known
    from edgekit.device.mcu import flash as flashing
    from edgekit.device.mcu.images import find_image

    found = known.find(board)
    flashing.check(found)
    image = find_image(found.name)
    if not yes:
        _ask(found, as_json)
    with ProgressView(quiet) as progress:
        progress.say(f"flashing {found.label}")
        flashing.flash(found, image, permitted=True, probe_id=probe)
    if as_json:
        output.document({"flashed": {"board": found.name, "image_bytes": image.manifest.image_bytes}})
    else:
        click.echo(f"The agent is on the {found.label}: edgekit devices shows its serial port.")
    return 0


def _ask(board: Board, as_json: bool) -> None:
    """Whether the firmware on the board may be lost; someone must be there to answer."""
    from edgekit.errors import UsageError

    if as_json or not _interactive():
        raise UsageError(f"Flashing replaces the firmware of the {board.label}, and nobody can be asked.",
                         where="--yes", next_step="Give --yes to agree to that.")  # fmt: skip
    if not click.confirm(f"Replace the firmware of the {board.label} by edgekit's agent?", err=True):
        raise UsageError("Nothing was flashed.", where=board.spec, next_step="Answer y, or give --yes.")


def _interactive() -> bool:
    return sys.stdin.isatty()


def _compiled(model: str, given: dict[str, Any], board: Board | None, quiet: bool) -> Compiled:
    from edgekit import prepare
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import convert_request
    from edgekit.errors import UsageError

    request = convert_request(model, given, ("mcu",))
    for flag, value, only in (("--to", ",".join(request.formats), "mcu"), ("--precision", request.precision, "int8")):
        if value not in ("", only):
            raise UsageError(f"{flag} {value} is not for microcontrollers, which take {only} only.", where=flag,
                             next_step=f"Leave {flag} out, or use edgekit convert.")  # fmt: skip
    with ProgressView(quiet) as progress:
        return prepare.compile_for_mcu(request, progress.on_event, dsp=board is None or board.kernels == "dsp")


def _find(board: str | None) -> Board | None:
    from edgekit.device.mcu import boards as known

    return known.find(board) if board else None


def _image(board: Board) -> Manifest:
    from edgekit.device.mcu.images import find_image
    from edgekit.errors import DeviceError

    try:
        return find_image(board.name).manifest
    except DeviceError as error:
        error.next_step += " Without --board, edgekit mcu plan tells the arena and the model's size."
        raise


def _files(compiled: Compiled, c_source: bool) -> dict[str, bytes]:
    if not c_source:
        return {f"{compiled.program.name}_mcu_int8.ekm": compiled.ekm}
    from edgekit.convert.mcu.csource import c_source as make

    made = make(compiled.program, compiled.plan)
    # The long one first: on a full disk no header of a new model is left beside the code of an old one.
    return {f"{made.name}.c": made.code.encode(), f"{made.name}.h": made.header.encode()}


def _tell_files(compiled: Compiled, written: list[Path], c_source: bool, as_json: bool) -> None:
    from edgekit import paths

    listed = [{"path": str(path), "bytes": path.stat().st_size} for path in written]
    arena, kernels = compiled.plan.arena_bytes, _kernels(compiled)
    if as_json:
        output.document({
            "files": listed, "model": compiled.program.name, "kernels": kernels, "arena_bytes": arena,
            "constants_bytes": compiled.data_bytes, "runtime": str(paths.mcu_dir()) if c_source else None,
        })  # fmt: skip
        return
    for one in listed:
        click.echo(f"{one['path']}  {one['bytes']:,} bytes")
    click.echo(f"For {kernels} kernels; it needs an arena of {arena:,} bytes"
               + (f" and {compiled.data_bytes:,} of constants in flash." if c_source else "."))  # fmt: skip
    if c_source:
        click.echo(f"How to build it is in the header; the runtime is {paths.mcu_dir()}.")


def _over(compiled: Compiled, image: Manifest) -> EdgekitError | None:
    """The error if the arena or the packed file is too large for the board."""
    from edgekit.convert.mcu.planning.report import over_budget
    from edgekit.errors import RegressedError

    too_much = over_budget(compiled.program, compiled.plan, image.arena_bytes, image.board)
    size = len(compiled.ekm)
    if too_much or size <= image.store_bytes:
        return too_much
    return RegressedError(
        f"The packed model has {size:,} bytes, {size - image.store_bytes:,} more than {image.board} has room for "
        f"({image.store_bytes:,}).",
        where=f"{compiled.data_bytes:,} bytes of weights", next_step="Take a narrower model, or a board with more "
        "flash.", model_bytes=size, budget_bytes=image.store_bytes,
    )  # fmt: skip


def _check_picture(picture: Path) -> None:
    from edgekit.convert import convert
    from edgekit.errors import EdgekitError, UsageError

    if picture.suffix.lower() not in (".svg", ".html"):
        raise UsageError(f"A picture can't be drawn into {picture.name}.", where="--picture",
                         next_step="End the name with .svg or .html.")  # fmt: skip
    try:
        convert.check_output(picture.parent)
    except EdgekitError as error:
        raise UsageError(error.message, where=str(picture.parent), next_step="Name a file in a writable folder with "
                         "--picture.") from error  # fmt: skip


def _draw(compiled: Compiled, picture: Path, image: Manifest | None) -> None:
    from edgekit.convert import convert
    from edgekit.convert.mcu import picture as drawing

    make = drawing.svg if picture.suffix.lower() == ".svg" else drawing.html
    text = make(compiled.program, compiled.plan, budget_bytes=image.arena_bytes if image else None)
    convert.write_files({picture.name: text.encode()}, picture.parent)


def _kernels(compiled: Compiled) -> str:
    return "dsp" if compiled.program.dsp else "portable"


def _kib(count: int) -> str:
    """As data sheets tell memory."""
    return f"{count / 1024:,.0f}"


def _fields(compiled: Compiled, image: Manifest | None, peak: WorkingSet) -> dict[str, Any]:
    from edgekit.convert.mcu.planning.report import portable_layers

    made, program = compiled.plan, compiled.program
    static, stack = (image.static_bytes, image.stack_bytes) if image else (None, None)
    fixed = None if image is None else image.static_bytes + image.stack_bytes
    return {
        "model": program.name,
        "board": image.board if image else None,
        "kernels": _kernels(compiled),
        "operators": len(program.steps),
        "macs": sum(step.macs for step in program.steps),
        "arena_bytes": made.arena_bytes,
        "lower_bound_bytes": made.lower_bound_bytes,
        "optimal": made.optimal,
        "plan_seconds": round(made.seconds, 3),
        "static_bytes": static,
        "stack_reserved_bytes": stack,
        "sram_bytes": None if fixed is None else fixed + made.arena_bytes,
        "sram_available_bytes": image.sram_bytes if image else None,
        "arena_available_bytes": image.arena_bytes if image else None,
        "model_bytes": len(compiled.ekm),
        "agent_bytes": image.image_bytes if image else None,
        "flash_bytes": len(compiled.ekm) + image.image_bytes if image else None,
        "store_bytes": image.store_bytes if image else None,
        "fits": image and made.arena_bytes <= image.arena_bytes and len(compiled.ekm) <= image.store_bytes,
        "peak": {
            "operator": peak.name,
            "step": made.order.index(peak.step) + 1,
            "bytes": peak.bytes,
            "buffers": [{"name": p.name, "made_by": p.maker, "offset_bytes": p.offset, "bytes": p.bytes}
                        for p in peak.pieces],
        },
        "portable_layers": [{"operator": layer.name, "macs": layer.macs, "reason": layer.reason}
                            for layer in portable_layers(program)],
    }  # fmt: skip


def _show(compiled: Compiled, image: Manifest | None, peak: WorkingSet) -> None:
    fields, made = _fields(compiled, image, peak), compiled.plan
    verdict = "" if image is None else f" on {image.board}: {'it fits' if fields['fits'] else 'it does NOT fit'}"
    click.echo(f"{fields['model']}{verdict}")
    click.echo(f"       {fields['operators']} operators, {fields['macs'] / 1e6:,.2f} M multiply-accumulates, "
               f"{fields['kernels']} kernels")  # fmt: skip
    if image is None:
        click.echo(f"Flash  {fields['model_bytes']:,} bytes for the model")
    else:
        click.echo(f"SRAM   {fields['sram_bytes']:,} of {image.sram_bytes:,} bytes: static {image.static_bytes:,} + "
                   f"arena {made.arena_bytes:,}\n       + stack {image.stack_bytes:,} (reserved)")  # fmt: skip
        click.echo(f"Flash  {fields['flash_bytes']:,} bytes: agent {image.image_bytes:,} + model "
                   f"{fields['model_bytes']:,}\n       (room for a model of {image.store_bytes:,})")  # fmt: skip
    proof = "proved the smallest" if made.optimal else f"the smallest is at least {made.lower_bound_bytes:,}"
    room = "" if image is None else f" of {image.arena_bytes:,}"
    click.echo(f"Arena  {made.arena_bytes:,}{room} bytes, {proof} ({made.seconds:.1f} s)")
    _show_peak(compiled, peak)
    _show_portable(fields["portable_layers"])
    if image is None:
        click.echo("Name a board with --board to count its program and stack, and whether it fits.")


def _show_peak(compiled: Compiled, peak: WorkingSet) -> None:
    order = compiled.plan.order
    click.echo(f"Peak   {peak.bytes:,} bytes in use, in step {order.index(peak.step) + 1} of {len(order)}:")
    click.echo(f"       {_cut(peak.name, _WIDTH - 7)}")
    for piece in peak.pieces[:_LISTED]:
        what = piece.maker if piece.maker in ("input", "scratch") else f"output of {piece.maker}"
        click.echo(f"         {piece.bytes:>9,}  {what}")
    if len(peak.pieces) > _LISTED:
        click.echo(f"         and {len(peak.pieces) - _LISTED} more (--json lists them)")


def _show_portable(layers: list[dict[str, Any]]) -> None:
    """Layers that another width or multiplier would make faster."""
    if not layers:
        return
    count = len(layers)
    click.echo(f"Slow   {count} {'layer has' if count == 1 else 'layers have'} no DSP kernel, only the portable one:")
    for layer in layers[:_LISTED]:
        click.echo(f"       {_cut(layer['operator'], _WIDTH - 7)}")
        click.echo(f"         {layer['macs'] / 1e6:,.2f} M multiply-accumulates; {layer['reason']}")
    if count > _LISTED:
        click.echo(f"       and {count - _LISTED} more (--json lists them)")


def _cut(text: str, width: int) -> str:
    """In one line of a terminal, without what steers one; the end of a long name says more than its middle."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= width else f"{plain[: width - 25]}…{plain[-24:]}"
