"""``config.json``, as ``CONFIG.md`` in the bundle describes it."""

from __future__ import annotations

import json
from typing import Any

from edgekit.bundle import golden
from edgekit.bundle.linux.c_api import apis
from edgekit.bundle.linux.native import COMMAND, Native
from edgekit.bundle.linux.places import golden_file, model_file
from edgekit.bundle.preprocessing import steps_for
from edgekit.bundle.recipe import Member, Part, Recipe
from edgekit.bundle.records import Quantisation, Tensor, Variant
from edgekit.job import ENGINE_OF_FORMAT
from edgekit.version import __version__

SCHEMA = 1


def encode(recipe: Recipe, native: Native | None, abi: str) -> bytes:
    """The document's bytes; the same for the same recipe and runner."""
    runner = None if native is None else {
        "version": __version__, "engines": dict(sorted(native.engines.items())), "command": list(COMMAND),
    }  # fmt: skip
    document = {
        "schema": SCHEMA, "name": recipe.name, "abi": abi, "edgekit_version": __version__, "runner": runner,
        "models": [_model(part) for part in recipe.parts],
    }  # fmt: skip
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _model(part: Part) -> dict[str, Any]:
    model = part.model
    prefixes = {member.variant.id: api.name for api in apis(part) for member in api.members}
    return {
        "name": model.name, "identifier": model.identifier,
        "variants": [_variant(part, member, prefixes.get(member.variant.id)) for member in part.members],
        "devices": [
            {"device_name": row.device_name, "soc": row.soc, "variant": row.variant, "threads": row.threads,
             "p50_ms": row.p50_ms, "measurement_id": row.measurement_id}
            for row in model.devices
        ],
    }  # fmt: skip


def _variant(part: Part, member: Member, c_api: str | None) -> dict[str, Any]:
    variant = member.variant
    contract = variant.contract
    return {
        "id": variant.id, "format": variant.format, "precision": variant.precision,
        "engine": ENGINE_OF_FORMAT[variant.format], "file": model_file(part.model, variant), "bytes": variant.bytes,
        "sha256": variant.artifact_sha256, "threads": variant.threads,
        "inputs": [_tensor(tensor) for tensor in contract.inputs],
        "outputs": [_tensor(tensor) for tensor in contract.outputs],
        "labels": None if contract.labels is None else list(contract.labels),
        "preprocessing": _preprocessing(variant), "c_api": c_api, "golden": _golden(part, member),
    }  # fmt: skip


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "identifier": tensor.identifier, "shape": list(tensor.shape), "dtype": tensor.dtype,
            "quantisation": _quantisation(tensor.quantisation)}  # fmt: skip


def _quantisation(found: Quantisation | None) -> dict[str, Any] | None:
    return None if found is None else {"scale": found.scale, "zero_point": found.zero_point}


def _preprocessing(variant: Variant) -> dict[str, Any] | None:
    steps = steps_for(variant.contract)
    return None if steps is None else {
        "channels": steps.channels, "height": steps.height, "width": steps.width,
        "channels_last": steps.channels_last, "base_height": steps.base_height, "base_width": steps.base_width,
        "interpolation": steps.interpolation, "mean": list(steps.mean), "std": list(steps.std),
        "quantisation": _quantisation(steps.quantisation),
    }  # fmt: skip


def _golden(part: Part, member: Member) -> dict[str, Any]:
    variant = member.variant
    bounds = golden.tolerance(variant)
    sides = (("input", len(member.golden_inputs)), ("output", len(member.golden_outputs)))
    paths = {f"{side}s": [golden_file(part.model, variant, side, k) for k in range(count)] for side, count in sides}
    return {
        **paths, "samples": variant.golden_samples, "source": variant.golden_source,
        "outputs_from": "file" if variant.parity.tolerance is None else "pytorch",
        "tolerance": {"max_abs": bounds.max_abs, "cosine": bounds.cosine, "psnr_db": bounds.psnr_db,
                      "top1_agreement": bounds.top1_agreement},
    }  # fmt: skip
