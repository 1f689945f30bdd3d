"""Runs a model of this bundle on a picture: ``python3 example.py picture.jpg``. Prints the five best classes."""

import argparse
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a bundle with other files than its manifest's no longer verifies
try:
    import numpy as np
    from edgekit_model import BUNDLE, BundleProblem, Model
except ModuleNotFoundError as missing:
    sys.exit(f"example.py: {missing}: python3 -m pip install -r python/requirements.txt")

BEST = 5


def main():
    """Exit code 0, 1 if the bundle or the input is at fault (said on stderr), or 2 for wrong arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", help="a picture's file")
    parser.add_argument("--tensors", nargs="+", metavar="FILE.npy", help="one per input, samples first, for a picture")
    parser.add_argument("--model", help="a model of the bundle; default: the first")
    parser.add_argument("--variant", help="default: the one measured best on this device, else the first")
    parser.add_argument("--device", help="a name of the table of devices; default: what /proc/cpuinfo says")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runtime", choices=("python", "runner"), default="python")
    parser.add_argument("--public-key", metavar="FILE.pub", help="the key that must have signed the bundle")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep input_K.npy and output_K.npy there")
    options = parser.parse_args()
    if (options.picture is None) == (options.tensors is None):
        parser.error("give a picture, or --tensors")
    try:
        model = Model(options.model, variant=options.variant, device=options.device, threads=options.threads,
                      runtime=options.runtime, bundle=BUNDLE, public_key=options.public_key)  # fmt: skip
        stacks = [model.read_picture(options.picture)[None]] if options.picture else read_stacks(options.tensors)
        rows = [model.run(*sample) for sample in zip(*stacks)]
    except BundleProblem as problem:
        sys.stderr.write(f"example.py: {problem}\n")
        return 1
    print(f"{model.facts['name']}, variant {model.variant['id']}, threads: {model.threads}")
    for index, outputs in enumerate(rows):
        if len(rows) > 1:
            print(f"sample {index}")
        show(model, outputs)
    if options.save:
        save(options.save, stacks, [np.stack(values) for values in zip(*rows)])
    return 0


def read_stacks(paths):
    """Arrays from .npy files, each with the same number of samples in front."""
    try:
        stacks = [np.load(path, allow_pickle=False) for path in paths]
    except (OSError, ValueError, EOFError) as error:
        raise BundleProblem(f"A tensor can't be read: {error}") from error
    counts = {stack.shape[0] if stack.ndim else 0 for stack in stacks}
    if len(counts) != 1 or counts == {0}:
        raise BundleProblem("The files need the same number of samples on their first axis, at least one.")
    return stacks


def show(model, outputs):
    """Classes with their scores where the first output is a list of them, else shape and range of every output."""
    first = outputs[0]
    if first.ndim == 2 and first.shape[0] == 1:
        scores = first[0]
        for index in np.argsort(-scores.astype(np.float64), kind="stable")[:BEST]:
            name = model.labels[index] if model.labels is not None else f"class {index}"
            print(f"{scores[index]:12.6g}  {name if name.isprintable() else repr(name)}")
        return
    for tensor, value in zip(model.variant["outputs"], outputs):
        print(f"{tensor['name']}: {value.dtype} {value.shape}, {value.min():.6g} to {value.max():.6g}")


def save(folder, inputs, outputs):
    """Write the stacks, samples first."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (("input", inputs), ("output", outputs)):
        for k, value in enumerate(values):
            np.save(folder / f"{kind}_{k}.npy", value)


if __name__ == "__main__":
    sys.exit(main())
