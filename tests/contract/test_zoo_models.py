"""A fast part of benchmarks/zoo_matrix.py: families that official converters stumble over, in all four formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.convert.backend import BACKENDS
from edgekit.convert.convert import convert
from edgekit.convert.request import ConvertRequest
from edgekit.model.request import LoadRequest

# Quantised formats have tests of their own.
FLOAT = tuple(name for name, info in BACKENDS.items() if not info.calibrated)

# Model, input size: small enough for seconds, large enough that every stage of the network still has pixels.
MODELS = {
    "mobilevig_ti": 64,  # max-relative graph convolution
    "mobilevigv2_ti": 64,  # conditional position encoding
    "mcuformer_min": None,  # low-rank attention
    "efficientformerv2_s0": 224,  # talking-head attention, which XNNPACK gets wrong as it is
    "ghostnetv2_100": 96,  # fractional nearest resize, which LiteRT gets wrong as it is
    "espcn_x2": None,  # pixel shuffle
}


@pytest.mark.parametrize("name", MODELS)
def test_every_format_is_at_parity(name: str, tmp_path: Path) -> None:
    size = MODELS[name]
    load = LoadRequest(spec=f"zoo:{name}", input_shape=((1, 3, size, size),) if size else None)
    request = ConvertRequest(load=load, formats=FLOAT, cache=str(tmp_path))
    outcome = convert(request, lambda event: None)
    assert outcome.errors == {}
    assert {a.format: (a.parity.passed, a.parity.reason) for a in outcome.artifacts} == dict.fromkeys(
        FLOAT, (True, None)
    )
