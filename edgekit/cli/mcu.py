"""``edgekit mcu``: what a model needs on a microcontroller, its packed file or C source, and the agent on a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output

if TYPE_CHECKING:
    from edgekit.convert.mcu.compile import Compiled
    from edgekit.convert.mcu.planning.report import WorkingSet
    from edgekit.device.mcu.images import Manifest

_EPILOG = """\b
Examples:
  edgekit mcu plan model.tflite --board stm32f746g-disco
  edgekit mcu plan model.tflite --board rp2040 --picture arena.html
  edgekit mcu compile model.tflite --c-source -o firmware/
  edgekit mcu flash --board stm32f746g-disco"""
# Buffers named at the peak; --json and the picture have them all.
_LISTED = 6

_board = click.option("--board", "-b", metavar="NAME", help="A board; edgekit mcu boards lists them.")


@click.group(epilog=_EPILOG)
def command() -> None:
    """Microcontrollers: plan a model's memory, compile it, put the agent on a board."""


@command.command(epilog=_EPILOG)
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
    from edgekit.convert.mcu.planning.report import over_budget, working_set

    if picture is not None:
        _check_picture(picture)
    image = _image(board) if board else None
    compiled = _compiled(model, given, image, quiet)
    if picture is not None:
        _draw(compiled, picture, image)
    too_much = over_budget(compiled.program, compiled.plan, image.arena_bytes, image.board) if image else None
    too_much = too_much or (_over_store(compiled, image) if image else None)
    peak = working_set(compiled.program, compiled.plan, compiled.plan.peak_step)
    if as_json:
        failure = {"error": output.public(too_much)} if too_much else {}
        output.document({"plan": _fields(compiled, image, peak), **failure})
    else:
        _show(compiled, image, peak)
    if too_much is None:
        return 0
    output.report(too_much)
    return too_much.code


@command.command("compile", epilog=_EPILOG)
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

    The kernels for C source are in the folder mcu/ of edgekit's checkout: include/ and src/.
    """
    from edgekit.convert import convert

    folder: Path = given.pop("output")
    convert.check_output(folder)
    compiled = _compiled(model, given, _image(board) if board else None, quiet)
    written = convert.write_files(_files(compiled, c_source), folder)
    listed = [{"path": str(path), "bytes": path.stat().st_size} for path in written]
    if as_json:
        output.document({"files": listed, "arena_bytes": compiled.plan.arena_bytes})
    else:
        for one in listed:
            click.echo(f"{one['path']}  {one['bytes']:,} bytes")
        click.echo(f"It needs an arena of {compiled.plan.arena_bytes:,} bytes.")
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
        listed.append({**output.plain(b, drop=("sources",)), "image_built": built})
        rows.append([b.name, b.core, f"{b.clock_hz / 1e6:g}" if b.clock_hz else "-", output.size(b.sram_bytes),
                     output.size(b.flash_bytes), b.kernels, "yes" if b.run_by_us else "no",
                     "yes" if built else "no"])  # fmt: skip
    if as_json:
        output.document({"boards": listed})
        return 0
    heads = [("Board", "left"), ("Core", "left"), ("MHz", "right"), ("SRAM", "right"), ("Flash", "right"),
             ("Kernels", "left"), ("Run", "left"), ("Image", "left")]  # fmt: skip
    console = output.print_table(f"{len(rows)} boards", heads, rows)
    console.print("Run: whether the agent was ever run on it by edgekit's makers. Image: whether the agent is built "
                  "(make agents).", soft_wrap=True)  # fmt: skip
    return 0


@command.command()
@click.option("--board", "-b", metavar="NAME", required=True, help="Which board is attached.")
@click.option("--probe", metavar="ID", help="Which debug probe, if several are attached (pyocd list).")
@click.option("--yes", is_flag=True, help="Do not ask: what is in the board's flash is overwritten.")
@options.output_options
def flash(board: str, probe: str | None, yes: bool, as_json: bool, quiet: bool, traceback: bool) -> int:
    """Put the agent on a board, through its debug probe (pyOCD). Overwrites what is in its flash."""
    from edgekit.cli.progress import ProgressView
    from edgekit.device.mcu import boards as known
    from edgekit.device.mcu.flash import flash as put
    from edgekit.device.mcu.images import find_image
    from edgekit.errors import UsageError

    found = known.find(board)
    image = find_image(found.name)
    if not yes:
        if as_json:
            raise UsageError("Flashing overwrites the board's flash.", where="--yes", next_step="Give --yes.")
        click.confirm(f"Overwrite the flash of the {found.label} with edgekit's agent?", abort=True, err=True)
    with ProgressView(quiet) as progress:
        progress.say(f"flashing {found.label}")
        put(found, image, permitted=True, probe_id=probe)
    if as_json:
        output.document({"flashed": {"board": found.name, "image_bytes": image.manifest.image_bytes}})
    else:
        click.echo(f"The agent is on the {found.label}: edgekit devices shows its serial port.")
    return 0


def _compiled(model: str, given: dict[str, Any], image: Manifest | None, quiet: bool) -> Compiled:
    from edgekit import pipeline
    from edgekit.cli.progress import ProgressView
    from edgekit.cli.requests import convert_request
    from edgekit.device.mcu import boards as known

    dsp = image is None or known.find(image.board).kernels == "dsp"
    with ProgressView(quiet) as progress:
        return pipeline.compile_for_mcu(convert_request(model, given, ("mcu",)), progress.on_event, dsp=dsp)


def _image(board: str) -> Manifest:
    from edgekit.device.mcu import boards as known
    from edgekit.device.mcu.images import find_image

    return find_image(known.find(board).name).manifest


def _files(compiled: Compiled, c_source: bool) -> dict[str, bytes]:
    if not c_source:
        return {f"{compiled.program.name}_mcu_int8.ekm": compiled.ekm}
    from edgekit.convert.mcu.csource import c_source as make

    made = make(compiled.program, compiled.plan)
    return {f"{made.name}.h": made.header.encode(), f"{made.name}.c": made.code.encode()}


def _over_store(compiled: Compiled, image: Manifest) -> Any:
    from edgekit.errors import RegressedError

    size = len(compiled.ekm)
    if size <= image.store_bytes:
        return None
    return RegressedError(
        f"The packed model has {size:,} bytes, {size - image.store_bytes:,} more than {image.board} has room for "
        f"({image.store_bytes:,}).",
        where=f"{compiled.data_bytes:,} bytes of weights", next_step="Take a narrower model, or a board with more "
        "flash.", model_bytes=size, budget_bytes=image.store_bytes,
    )  # fmt: skip


def _check_picture(picture: Path) -> None:
    from edgekit.errors import UsageError

    if picture.suffix not in (".svg", ".html"):
        raise UsageError(f"A picture can't be drawn into {picture.name}.", where="--picture",
                         next_step="End the name with .svg or .html.")  # fmt: skip


def _draw(compiled: Compiled, picture: Path, image: Manifest | None) -> None:
    from edgekit.convert import convert
    from edgekit.convert.mcu import picture as drawing

    make = drawing.svg if picture.suffix == ".svg" else drawing.html
    text = make(compiled.program, compiled.plan, budget_bytes=image.arena_bytes if image else None)
    convert.check_output(picture.parent)
    convert.write_files({picture.name: text.encode()}, picture.parent)


def _fields(compiled: Compiled, image: Manifest | None, peak: WorkingSet) -> dict[str, Any]:
    made, program = compiled.plan, compiled.program
    static, stack = (image.static_bytes, image.stack_bytes) if image else (None, None)
    fixed = None if image is None else image.static_bytes + image.stack_bytes
    return {
        "model": program.name,
        "board": image.board if image else None,
        "kernels": "dsp" if program.dsp else "portable",
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
        "model_bytes": len(compiled.ekm),
        "agent_bytes": image.image_bytes if image else None,
        "flash_bytes": len(compiled.ekm) + image.image_bytes if image else None,
        "store_bytes": image.store_bytes if image else None,
        "fits": image and made.arena_bytes <= image.arena_bytes and len(compiled.ekm) <= image.store_bytes,
        "peak": {
            "operator": peak.name,
            "step": made.order.index(peak.step) + 1,
            "bytes": peak.bytes,
            "buffers": [{"name": p.name, "made_by": p.maker, "offset": p.offset, "bytes": p.bytes}
                        for p in peak.pieces],
        },
    }  # fmt: skip


def _show(compiled: Compiled, image: Manifest | None, peak: WorkingSet) -> None:
    fields = _fields(compiled, image, peak)
    made = compiled.plan
    click.echo(f"{fields['model']}: {fields['operators']} operators, {fields['macs'] / 1e6:,.2f} M "
               f"multiply-accumulates, {fields['kernels']} kernels")  # fmt: skip
    proof = "proved the smallest" if made.optimal else f"the smallest is at least {made.lower_bound_bytes:,}"
    click.echo(f"Arena  {made.arena_bytes:,} bytes, {proof} ({made.seconds:.1f} s)")
    if image is None:
        click.echo(f"Flash  {fields['model_bytes']:,} bytes for the model")
        click.echo("Name a board with --board to count its program and stack, and to check that it fits.")
    else:
        click.echo(f"SRAM   {fields['sram_bytes']:,} of {image.sram_bytes:,} bytes: static {image.static_bytes:,} + "
                   f"arena {made.arena_bytes:,} + stack {image.stack_bytes:,} (reserved)")  # fmt: skip
        click.echo(f"Flash  {fields['flash_bytes']:,} bytes: agent {image.image_bytes:,} + model "
                   f"{fields['model_bytes']:,} (room for {image.store_bytes:,})")  # fmt: skip
    step = made.order.index(peak.step) + 1
    click.echo(f"Peak   step {step} of {len(made.order)}, {peak.name}: {peak.bytes:,} bytes in use")
    for piece in peak.pieces[:_LISTED]:
        what = piece.maker if piece.maker in ("input", "scratch") else f"output of {piece.maker}"
        click.echo(f"         {piece.bytes:>9,}  {what}")
    if len(peak.pieces) > _LISTED:
        click.echo(f"         and {len(peak.pieces) - _LISTED} more (--json lists them)")
