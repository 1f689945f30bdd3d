"""``edgekit bundle``: a folder for an app or firmware; ``edgekit bundle verify``: whether one is what was sealed."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli import options, output

if TYPE_CHECKING:
    from edgekit.bundle.records import Bundle, Evidence, Manifest, Model
    from edgekit.bundle.request import BundleRequest
    from edgekit.bundle.seal.verify import Verified

_EPILOG = """\b
Examples:
  edgekit choose -d pixel7 --maximize top1 --json > choice.json
  edgekit bundle choice.json --for android -o app/models
  edgekit bundle net=big.tflite net=small.tflite --for android -o app/models
  edgekit bundle digits.tflite --for mcu --labels digits.txt -o digits
  edgekit bundle 3f2a9c01 --for linux --key release -o board
  edgekit bundle verify app/models

\b
SOURCE is [NAME=]FILE or [NAME=]SHA256: a converted file, the beginning of its
sha256, or what edgekit choose --json printed. Sources with one NAME= are
variants of one model, and the first is for devices that were not measured.
For mcu, give the int8 .tflite, or what edgekit deploy measured.
A file that is called verify is given as ./verify.

\b
Exit code: 0 it was written, 2 usage, 17 it can't be made, or verify found
something wrong; else that of the stage that failed (edgekit --help)."""
_VERIFY_EPILOG = """\b
Examples:
  edgekit bundle verify app/models
  edgekit bundle verify app/models --require-signature --key release

\b
Exit code: 0 it is what was sealed, 17 it is not."""
_WIDTH = 80
_FLAGS = ("package", "delivery", "board", "abi")


class WithVerify(click.Command):
    """The command, and ``verify`` as its sub-command; a group would take the first source for a sub-command."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["verify"]:
            return verify.make_context(f"{info_name} verify", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_usage(ctx, formatter)
        formatter.write_usage(f"{ctx.command_path} verify", "[OPTIONS] DIR")


@click.command(epilog=_VERIFY_EPILOG)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--require-signature", is_flag=True, help="Refuse a bundle that no trusted key signed.")
@click.option("--key", "keys", multiple=True, metavar="NAME|FILE", help="Trust this key and no other; several times. "
              "[default: all that edgekit keys lists]")  # fmt: skip
@options.output_options
def verify(
    folder: Path, require_signature: bool, keys: tuple[str, ...], as_json: bool, quiet: bool, traceback: bool
) -> int:
    """Check every file of the bundle in DIR against its manifest, and who signed that."""
    from edgekit.bundle.seal import keys as known
    from edgekit.bundle.seal import verify as verifying

    found = verifying.check(folder, trusted=known.trusted(keys), require_signature=require_signature)
    if as_json:
        output.document({"verified": output.plain(found, drop=("schema", "manifest"))})
    else:
        _show_verified(found, quiet)
    return 0


@click.command(cls=WithVerify, epilog=_EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--for", "target", required=True, type=click.Choice(["android", "ios", "mcu", "linux"]),
              help="What it is for.")  # fmt: skip
@click.option("--output", "-o", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path),
              help="The folder to make. It must not be there, or be empty.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a bundle that is in the folder.")
@click.option("--name", metavar="NAME", help="What the bundle is called. [default: as its only model, else models]")
@click.option("--key", metavar="NAME|FILE", help="Sign with this key; edgekit keys new makes one.")
@click.option("--labels", multiple=True, metavar="[MODEL=]FILE", help="The classes' names, one per line.")
@click.option("--licence", "licences", multiple=True, metavar="[MODEL=]SPDX", help="The model's licence, where the "
              "zoo does not know it.")  # fmt: skip
@click.option("--accept-licence", is_flag=True, help="Bundle a model although its licence forbids redistribution.")
@click.option("--preprocess", multiple=True, metavar="[MODEL=]FILE.toml", help="How an image becomes the first "
              "input: height, width, crop_fraction, interpolation, mean, std. [default: the model's own]")  # fmt: skip
@click.option("--package", metavar="NAME", help="Android: the Kotlin package, such as com.example.models.")
@click.option("--delivery", type=click.Choice(["assets", "asset-pack"]), help="Android: how the model files "
              "come along. [default: assets]")  # fmt: skip
@click.option("--compute-units", type=click.Choice(["all", "cpu", "cpu-and-gpu", "cpu-and-neural-engine"]),
              help="iOS: what Core ML may use.")  # fmt: skip
@click.option("--board", "-b", metavar="NAME", help="mcu: the board; edgekit mcu boards lists them.")
@click.option("--abi", type=click.Choice(["x86_64", "arm64-v8a"]), help="Linux: the board's processor.")
@options.output_options
def command(as_json: bool, quiet: bool, traceback: bool, **given: Any) -> int:
    """Make a folder of sources, model files and a manifest that an app or firmware takes as it is.

    It has typed code for the models' inputs and outputs, their preprocessing, a test on golden inputs, and a manifest
    with every file's sha256, the measurements and the licences. The same sources give the same bytes.
    """
    from edgekit.bundle.make import make, warnings_of
    from edgekit.cli.keys import ask
    from edgekit.store.store import Store

    request = bundle_request(given)
    with Store.open() as store:
        made = make(request, store, ask)
    for warning in warnings_of(made.manifest):
        click.echo(_wrapped(f"warning: {warning}", "  "), err=True)
    if as_json:
        output.document({"bundle": fields(made)})
    elif not quiet:
        _show(made)
    return 0


def bundle_request(given: dict[str, Any]) -> BundleRequest:
    """The request from the options."""
    from edgekit import paths
    from edgekit.bundle.request import BundleRequest, for_model, source_text

    units = given["compute_units"]
    return BundleRequest(
        sources=tuple(source_text(text) for text in given["sources"]), target=given["target"], output=given["folder"],
        cache=paths.cache_dir(), name=given["name"], key=given["key"],
        labels=tuple(for_model(text, "--labels") for text in given["labels"]),
        licences=tuple(for_model(text, "--licence") for text in given["licences"]),
        preprocess=tuple(for_model(text, "--preprocess") for text in given["preprocess"]),
        compute_units=units.replace("-", "_") if units else None, accept_licence=given["accept_licence"],
        options={flag: given[flag] for flag in _FLAGS if given[flag] is not None}, force=given["force"],
    )  # fmt: skip


def fields(made: Bundle) -> dict[str, Any]:
    """The ``bundle`` object of the JSON document."""
    from edgekit.bundle.make import warnings_of

    manifest = made.manifest
    return {
        "path": made.path, "name": manifest.name, "target": manifest.target, "manifest_sha256": made.manifest_sha256,
        "key_id": made.key_id, "options": manifest.options, "models": [output.plain(one) for one in manifest.models],
        "runtimes": [output.plain(one) for one in manifest.runtimes], "warnings": list(warnings_of(manifest)),
        "files": len(manifest.files), "bytes": sum(one.bytes for one in manifest.files),
    }  # fmt: skip


def _show(made: Bundle) -> None:
    from edgekit.bundle.make import next_step

    manifest = made.manifest
    signed = f"signed with {made.key_id}" if made.key_id else "not signed"
    total = output.size(sum(one.bytes for one in manifest.files))
    click.echo(_wrapped(f"{made.path}: {manifest.name} for {manifest.target}, {len(manifest.files)} files, {total}, "
                        f"{signed}", "  "))  # fmt: skip
    for model in manifest.models:
        _show_model(model, manifest)
    click.echo(f"\n{'manifest':<10}{made.manifest_sha256}")
    click.echo(_wrapped(f"{'next':<10}{next_step(manifest.target, Path(made.path))}", " " * 10))
    click.echo(_wrapped(f"{'check':<10}edgekit bundle verify {made.path}", " " * 10))


def _show_model(model: Model, manifest: Manifest) -> None:
    click.echo()
    click.echo(_wrapped(f"{model.name} ({model.licence.name})", "  "))
    for number, variant in enumerate(model.variants):
        where = "fall-back" if number == 0 and len(model.variants) > 1 else ""
        text = f"{variant.id}, {output.size(variant.bytes)}, parity {_parity(variant.parity.passed)}"
        click.echo(_wrapped("  " + ", ".join(part for part in (text, where) if part), "    "))
        for one in variant.evidence:
            click.echo(_wrapped(f"    {_figure(one)} on {one.device_name}, {one.verdict}", "      "))
    for row in model.devices:
        if len(model.variants) > 1:
            click.echo(_wrapped(f"  {row.device_name} runs {row.variant}, threads: {row.threads}", "    "))


def _parity(passed: bool | None) -> str:
    return {True: "ok", False: "failed", None: "not checked"}[passed]


def _figure(one: Evidence) -> str:
    if one.instructions is not None:
        return f"{one.instructions:,} instructions"
    if one.cycles is not None:
        return f"{one.cycles:,} cycles"
    return f"{output.milliseconds(one.p50_ms)} ms ({one.threads} thread{'s' if one.threads != 1 else ''})"


def _show_verified(found: Verified, quiet: bool) -> None:
    who = {
        "trusted": f"signed by {found.key_name} ({found.key_id})",
        "unknown-key": f"signed by {found.key_id}, a key that is not known here", "none": "not signed",
    }[found.signature]  # fmt: skip
    manifest = found.manifest
    click.echo(_wrapped(f"{found.path} is what was sealed: {manifest.name} for {manifest.target}, {found.files} files, "
                        f"{output.size(found.bytes)}, {who}.", "  "))  # fmt: skip
    for warning in () if quiet else found.warnings:
        click.echo(_wrapped(f"warning: {warning}", "  "), err=True)


def _wrapped(text: str, indent: str) -> str:
    from edgekit.bundle.text import printable

    # A manifest that is shown may be anybody's. A path is given whole: one that is cut can't be copied.
    return textwrap.fill(
        printable(text), _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
