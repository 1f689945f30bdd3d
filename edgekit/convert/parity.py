"""Does a converted file compute what the model computes? Pure comparisons on stacks of outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.records import Golden, Parity, Tolerance

Array = npt.NDArray[Any]

# max_abs is relative to the largest absolute value of the reference; psnr_db takes that value as the peak.
# fp32: a runtime may reorder sums (Winograd, FMA, blocked GEMM): measured over the zoo families it stays under 2e-5
# of the peak; one disturbed weight of one late block moves the output by over 1e-3. fp16: 11 bits of mantissa.
# int8: what 8 bits cost depends on the model. Static int8 of seven trained networks kept cosine >= 0.987 and >= 28 dB,
# of random ones (whose scores lie close together) cosine >= 0.91 and >= 18 dB; a vision transformer's fell to 0.77. The
# bounds catch a layer that is wrong as a whole; single wrong weights are caught by comparing every bit with LiteRT's
# reference kernels (convert/mcu/exact.py).
TOLERANCES: dict[str, Tolerance] = {
    t.precision: t
    for t in (
        Tolerance(precision="fp32", max_abs=2e-4, cosine=0.99999, psnr_db=80.0, top1_agreement=1.0),
        Tolerance(precision="fp16", max_abs=2e-2, cosine=0.9995, psnr_db=45.0, top1_agreement=0.98),
        Tolerance(precision="int8", max_abs=0.5, cosine=0.90, psnr_db=18.0, top1_agreement=0.6),
    )
}

# PSNR of equal stacks is infinite, which JSON can't hold; float32 itself ends near 150 dB.
MAX_PSNR_DB = 200.0
# However loose a tolerance is: scores further apart than this share of the largest are no tie.
WIDEST_TIE = 0.05


def compare(
    actual: Sequence[Array], reference: Sequence[Array], precision: str, golden_sha256: str | None = None
) -> Parity:
    """Compare stacked outputs (one array per output, leading sample axis) with the reference stacks.

    The worst output decides each figure. ``max_rel`` is the largest |a - r| / (|r| + 0.001 * max|r|): the second term
    keeps values near zero from dividing by nothing.
    """
    tolerance = TOLERANCES[precision]
    count = len(reference[0])
    if [a.shape for a in actual] != [r.shape for r in reference]:
        found, wanted = [a.shape[1:] for a in actual], [r.shape[1:] for r in reference]
        return Parity(
            passed=False,
            reason=f"the outputs have shapes {found}, PyTorch's have {wanted}",
            samples=count,
            tolerance=tolerance,
            golden_sha256=golden_sha256,
        )
    per_output = [figures(a, r, tolerance) for a, r in zip(actual, reference, strict=True)]
    # numpy's extremes, unlike Python's, are NaN if any value is.
    worst: dict[str, Any] = {
        "max_abs": float(np.max([f["max_abs"] for f in per_output])),
        "max_rel": float(np.max([f["max_rel"] for f in per_output])),
        "cosine": float(np.min([f["cosine"] for f in per_output])),
        "psnr_db": float(np.min([f["psnr_db"] for f in per_output])),
    }
    agreements = [f["top1"] for f in per_output if f["top1"] is not None]
    top1 = min(agreements) if agreements else None
    reasons = _failures(per_output, tolerance)
    return Parity(
        passed=not reasons,
        reason="; ".join(reasons) or None,
        top1_agreement=top1,
        samples=count,
        tolerance=tolerance,
        golden_sha256=golden_sha256,
        **{key: (value if np.isfinite(value) else None) for key, value in worst.items()},
    )


def not_checked(reason: str, golden: Golden | None = None) -> Parity:
    """A parity that was not decided, with the reason."""
    return Parity(passed=None, reason=reason, golden_sha256=golden.sha256 if golden else None)


def figures(actual: Array, reference: Array, tolerance: Tolerance) -> dict[str, Any]:
    """Every figure for one pair of stacks, with the reference's ``peak``; of ``tolerance`` counts what is a tie."""
    a, r = actual.astype(np.float64), reference.astype(np.float64)
    peak = float(np.abs(r).max()) if r.size else 0.0
    difference = np.abs(a - r)
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(r))
    mean_square = float(np.mean(difference**2)) if r.size else 0.0
    with np.errstate(all="ignore"):
        psnr = 10 * np.log10(peak**2 / mean_square) if mean_square > 0 and peak > 0 else MAX_PSNR_DB
        return {
            "peak": peak,
            "max_abs": float(difference.max()) if r.size else 0.0,
            "max_rel": float((difference / (np.abs(r) + 1e-3 * peak + 1e-300)).max()) if r.size else 0.0,
            "cosine": float(np.vdot(a, r)) / norms if norms != 0 else float(np.array_equal(a, r)),
            "psnr_db": float(min(psnr, MAX_PSNR_DB)) if not np.isnan(psnr) else float("nan"),
            "top1": _top1(a, r, reference.shape, min(tolerance.max_abs, WIDEST_TIE) * peak),
        }


def _top1(a: Array, r: Array, shape: tuple[int, ...], tie: float) -> float | None:
    """Share of rows with the same best class; null unless an output looks like class scores (N, batch, classes).

    Another class counts as equal if the reference itself puts it within ``tie`` of its best: each value may be that far
    off, so that the order of the two is no evidence.
    """
    if len(shape) != 3 or shape[2] < 2:
        return None
    a2, r2 = a.reshape(-1, shape[2]), r.reshape(-1, shape[2])
    best = r2.argmax(axis=1)
    ours = a2.argmax(axis=1)
    rows = np.arange(len(r2))
    tied = np.abs(r2[rows, best] - r2[rows, ours]) <= tie
    return float(np.mean((best == ours) | tied))


def within(found: dict[str, Any], tolerance: Tolerance) -> bool:
    """Whether one tensor's figures stay inside the tolerance."""
    return not _failures([found], tolerance)


def agree(actual: Sequence[Array], reference: Sequence[Array], tolerance: Tolerance) -> bool:
    """Whether every tensor of one sample is inside the tolerance, the best class apart."""
    pairs = zip(actual, reference, strict=True)
    return all(within({**figures(a[None], r[None], tolerance), "top1": None}, tolerance) for a, r in pairs)


def only_classes_differ(actual: Sequence[Array], reference: Sequence[Array], tolerance: Tolerance) -> bool:
    """Whether every value of these stacks is inside the tolerance, so that nothing but a best class can fail."""
    pairs = zip(actual, reference, strict=True)
    return all(within({**figures(a, r, tolerance), "top1": None}, tolerance) for a, r in pairs)


def _failures(per_output: Sequence[dict[str, Any]], tolerance: Tolerance) -> list[str]:
    """Sentences for each bound that is broken; a comparison with NaN counts as broken."""
    reasons = []
    for index, f in enumerate(per_output):
        bound = tolerance.max_abs * f["peak"]
        if not f["max_abs"] <= bound and f["max_abs"] != 0.0:
            reasons.append(f"output {index}: max_abs {f['max_abs']:.3g} > {bound:.3g}")
        if not f["cosine"] >= tolerance.cosine:
            reasons.append(f"output {index}: cosine {f['cosine']:.6f} < {tolerance.cosine}")
        if not f["psnr_db"] >= tolerance.psnr_db:
            reasons.append(f"output {index}: PSNR {f['psnr_db']:.1f} dB < {tolerance.psnr_db:.0f} dB")
        if f["top1"] is not None and f["top1"] < tolerance.top1_agreement:
            reasons.append(f"output {index}: top-1 agrees on {f['top1']:.1%}, not {tolerance.top1_agreement:.0%}")
    return reasons
