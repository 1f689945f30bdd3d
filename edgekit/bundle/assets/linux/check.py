"""Runs the golden inputs on this machine and holds the outputs to their tolerance: ``python3 check.py``.

The native runner needs Python 3.8 and nothing else. Exit code 0: all are within; 1: one is
not, or can't be run; 2: wrong arguments.
"""

import argparse
import ast
import math
import struct
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

BUNDLE = Path(__file__).resolve().parent
sys.path.insert(0, str(BUNDLE / "python"))
sys.dont_write_bytecode = True  # a bundle with other files than its manifest's no longer verifies
# Behind the two lines that it needs.
from edgekit_runner import BundleProblem, read_config, run_by_runner, verified_path  # noqa: E402

# numpy's types -> those of the module array; float16 is read by struct.
CODES = {"f4": "f", "f8": "d", "i1": "b", "u1": "B", "b1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I",
         "i8": "q", "u8": "Q"}  # fmt: skip
MAX_PSNR_DB = 200.0
WIDEST_TIE = 0.05


def main():
    """Check every chosen variant; one line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--with",
        dest="how",
        choices=("runner", "python", "c"),
        help="default: the native runner, python for engines that it lacks; python: the packages of "
        "python/requirements.txt; c: the examples built in c/build",
    )
    parser.add_argument("--model", help="only this model (its identifier)")
    parser.add_argument("--variant", help="only this variant")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--public-key", metavar="FILE.pub", help="the key that must have signed the bundle")
    options = parser.parse_args()
    failed = checked = 0
    try:
        config = read_config(BUNDLE, options.public_key)
    except BundleProblem as problem:
        sys.stderr.write(f"check.py: {problem}\n")
        return 1
    for model in config["models"]:
        for variant in model["variants"]:
            if options.model in (None, model["identifier"]) and options.variant in (None, variant["id"]):
                passed = check(config, model, variant, options)
                checked += passed is not None
                failed += passed is False
    if not checked:
        sys.stderr.write("check.py: there is no such model or variant to check.\n")
        return 1
    return 1 if failed else 0


def check(config, model, variant, options):
    """Whether one variant passes, null if it can't be run in the way that was asked for; says so."""
    name = f"{model['identifier']} {variant['id']}"
    golden = variant["golden"]
    native = config["runner"] is not None and variant["engine"] in config["runner"]["engines"]
    how = options.how or ("runner" if native else "python")
    if (how == "runner" and not native) or (how == "c" and variant["c_api"] is None):
        print(f"left out {name}: {how} has no {variant['engine']}")
        return None
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        try:
            verified_path(BUNDLE, variant)
            RUN[how](config, model, variant, options.threads, folder)
            reasons = []
            for k, path in enumerate(golden["outputs"]):
                found, wanted = read_npy(Path(folder) / f"output_{k}.npy"), read_npy(BUNDLE / path)
                reasons += [f"output {k}: {reason}" for reason in differences(found, wanted, golden["tolerance"])]
        except BundleProblem as problem:
            reasons = [str(problem)]
    samples = golden["samples"]
    if reasons:
        print(f"FAILED  {name}: {'; '.join(reasons)}")
    else:
        print(f"ok      {name}: {samples} sample{'s' if samples != 1 else ''} by {how}")
    return not reasons


def by_runner(config, model, variant, threads, folder):
    """Outputs by the native runner."""
    del model
    run_by_runner(config, BUNDLE, variant, [BUNDLE / path for path in variant["golden"]["inputs"]], folder, threads)


def by_python(config, model, variant, threads, folder):
    """Outputs by the engine's Python package."""
    del config
    try:
        import numpy as np
        from edgekit_model import Model
    except ImportError as error:
        raise BundleProblem(f"A package of python/requirements.txt is missing: {error}.") from error
    loaded = Model(model["identifier"], variant=variant["id"], threads=threads, bundle=BUNDLE)
    stacks = [np.load(BUNDLE / path) for path in variant["golden"]["inputs"]]
    rows = [loaded.run(*(stack[i] for stack in stacks)) for i in range(len(stacks[0]))]
    for k in range(len(rows[0])):
        np.save(Path(folder) / f"output_{k}.npy", np.stack([row[k] for row in rows]))


def by_c(config, model, variant, threads, folder):
    """Outputs by the example in C."""
    del config, model
    program = BUNDLE / f"c/build/example_{variant['c_api']}"
    inputs = [str(BUNDLE / path) for path in variant["golden"]["inputs"]]
    command = [str(program), "--bundle", str(BUNDLE), "--variant", variant["id"], "--threads", str(threads),
               "--out", folder, "--tensors", *inputs]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise BundleProblem(f"{program} can't be started ({error.strerror}): run make -C c.") from error
    if done.returncode != 0:
        raise BundleProblem(done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}")


RUN = {"runner": by_runner, "python": by_python, "c": by_c}


def read_npy(path):
    """(shape, flat values) of a plain .npy file.

    Raises:
        BundleProblem: it is missing or no such file.
    """
    try:
        data = path.read_bytes()
        if data[:6] != b"\x93NUMPY":
            raise ValueError("it is no .npy file")
        length, begin = (struct.unpack_from("<H", data, 8)[0], 10) if data[6] == 1 else (
            struct.unpack_from("<I", data, 8)[0], 12)  # fmt: skip
        header = ast.literal_eval(data[begin : begin + length].decode("latin-1"))
        return header["shape"], _values(data[begin + length :], header["descr"][1:])
    except OSError as error:
        raise BundleProblem(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, KeyError, SyntaxError, IndexError, TypeError, struct.error) as error:
        raise BundleProblem(f"{path} is damaged: {error}.") from error


def _values(data, code):
    if code == "f2":
        return struct.unpack(f"<{len(data) // 2}e", data)
    values = array(CODES[code])
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def differences(found, wanted, tolerance):
    """What is out of tolerance for one output, in words; nothing if it passes. The figures are those of edgekit."""
    (shape, ours), (wanted_shape, theirs) = found, wanted
    if shape != wanted_shape or len(ours) != len(theirs):
        return [f"its shape is {shape}, not {wanted_shape}"]
    peak = max((abs(value) for value in theirs), default=0.0)
    worst = dot = norm_ours = norm_theirs = square = 0.0
    for a, r in zip(ours, theirs):
        if not math.isfinite(a):
            return ["a value is not finite"]
        worst, square = max(worst, abs(a - r)), square + (a - r) * (a - r)
        dot, norm_ours, norm_theirs = dot + a * r, norm_ours + a * a, norm_theirs + r * r
    norms = math.sqrt(norm_ours) * math.sqrt(norm_theirs)
    cosine = dot / norms if norms else float(worst == 0)
    psnr = 10 * math.log10(peak * peak * len(theirs) / square) if square and peak else MAX_PSNR_DB
    reasons = []
    if worst > tolerance["max_abs"] * peak:
        reasons.append(f"max_abs {worst:.3g} > {tolerance['max_abs'] * peak:.3g}")
    if cosine < tolerance["cosine"]:
        reasons.append(f"cosine {cosine:.6f} < {tolerance['cosine']}")
    if psnr < tolerance["psnr_db"]:
        reasons.append(f"PSNR {psnr:.1f} dB < {tolerance['psnr_db']:.0f} dB")
    return reasons + _classes(shape, ours, theirs, peak, tolerance)


def _classes(shape, ours, theirs, peak, tolerance):
    """The best classes, where an output is (samples, batch, classes). One that the reference itself puts within the
    tolerance of its best counts as the same."""
    if len(shape) != 3 or shape[2] < 2:
        return []
    width, tie = shape[2], min(tolerance["max_abs"], WIDEST_TIE) * peak
    starts, same = range(0, len(theirs), width), 0
    for start in starts:
        ours_at = max(range(width), key=lambda i: ours[start + i])
        best = max(theirs[start : start + width])
        same += best - theirs[start + ours_at] <= tie
    share = same / len(starts)
    if share >= tolerance["top1_agreement"]:
        return []
    return [f"top-1 agrees on {share:.1%}, not {tolerance['top1_agreement']:.0%}"]


if __name__ == "__main__":
    sys.exit(main())
