"""From parsed options to the records that the pipeline takes."""

from __future__ import annotations

from typing import Any

import msgspec

from edgekit import paths
from edgekit.cli.options import cores, free_memory_bytes, parse_formats, parse_size
from edgekit.convert.request import CalibrationRequest, ConvertRequest, GoldenRequest
from edgekit.doctor.request import DoctorRequest
from edgekit.model.request import LoadRequest, parse_input_shape, parse_input_spec
from edgekit.quantize.calibration import DEFAULT_LIMIT
from edgekit.records import Plan

_MEMORY_SHARE = 0.6


def load_request(model: str, options: dict[str, Any]) -> LoadRequest:
    """The model and how to load it, from ``model_options``."""
    shape, spec = options.get("input_shape"), options.get("input_spec")
    return LoadRequest(
        spec=model,
        arch=options.get("arch"),
        trust_pickle=bool(options.get("trust_pickle")),
        input_shape=parse_input_shape(shape) if shape else None,
        input_spec=parse_input_spec(spec) if spec else None,
        seed=options.get("seed") or 0,
        weights=options.get("weights"),
        pretrained=bool(options.get("pretrained")),
    )


def convert_request(model: str, options: dict[str, Any], default_formats: tuple[str, ...]) -> ConvertRequest:
    """What to convert, from ``model_options`` and ``convert_options``."""
    limit = options.get("memory_limit")
    seed = options.get("seed") or 0
    return ConvertRequest(
        load=load_request(model, options),
        formats=parse_formats(options.get("formats"), default_formats),
        precision=options["precision"] or "",
        golden=GoldenRequest(directory=options.get("inputs"), count=options["golden_count"], seed=seed),
        check_parity=not options["no_parity"],
        jobs=options.get("jobs") or cores(),
        memory_limit_bytes=parse_size(limit) if limit else int(free_memory_bytes() * _MEMORY_SHARE),
        cache=str(paths.cache_dir()),
        calibration=CalibrationRequest(
            source=options.get("calibration"), limit=options.get("calibration_count") or DEFAULT_LIMIT
        ),
    )


def doctor_request(model: str, options: dict[str, Any], default_formats: tuple[str, ...]) -> DoctorRequest:
    """What to examine, from ``model_options``, ``worker_options`` and the doctor's own."""
    limit = options.get("memory_limit")
    golden = GoldenRequest(
        directory=options.get("inputs"), count=options["golden_count"], seed=options.get("seed") or 0
    )
    return DoctorRequest(
        load=load_request(model, options),
        formats=parse_formats(options.get("formats"), default_formats),
        precision=options["precision"],
        golden=golden,
        jobs=options.get("jobs") or cores(),
        memory_limit_bytes=parse_size(limit) if limit else int(free_memory_bytes() * _MEMORY_SHARE),
    )


def plan(options: dict[str, Any]) -> Plan:
    """The measuring plan, from ``plan_options``; what is not given keeps the protocol's default."""
    given = {
        "min_runs": options.get("runs"),
        "warmup_min_runs": options.get("warmup"),
        "min_seconds": options.get("min_secs"),
        "max_seconds": options.get("max_secs"),
        "repeats": options.get("repeats"),
    }
    return msgspec.structs.replace(Plan(), **{key: value for key, value in given.items() if value is not None})
