"""The parity of a file that nobody has judged with the runtime of today: judged when it is bundled.

A conversion's parity is kept by the runtime or evaluator that ran the file. After another version of that, or if the
conversion left parity out, there is none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.bundle.gather.contract import run_file
from edgekit.convert import entries, parity
from edgekit.convert.cache import Cache
from edgekit.convert.mcu import exact
from edgekit.convert.mil.failures import NotEvaluated
from edgekit.errors import BundleError
from edgekit.records import Artifact, Exported, Parity


def judged(artifact: Artifact, exported: Exported, run: Path, int8: Path, cache: Cache) -> Parity:
    """The parity that the cache has, or else a new one, on all golden inputs.

    A new one is kept with the file's answers, as a conversion does, unless the file failed: a conversion also says why.

    Args:
        artifact, exported: the file's record, and the program that it was converted from.
        run: the file, which is run here unless nothing here can.
        int8: of a packed model for microcontrollers, the model that it was packed from.

    Raises:
        BundleError: the golden data can't be read.
        EdgekitError: the file can't be run.
    """
    settled = entries.settled_parity(cache, artifact, exported, check=True)
    if settled is not None:
        return settled
    golden, key = exported.golden, entries.parity_key(artifact, exported)
    try:
        inputs = [np.load(name, mmap_mode="r", allow_pickle=False) for name in golden.inputs]
        reference = [np.load(name, allow_pickle=False) for name in golden.outputs]
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"The golden inputs of {exported.name} can't be read: {error}", where=golden.sha256,
                          next_step="Convert the model again.") from error  # fmt: skip
    try:
        answers = run_file(artifact.format, run, artifact.sha256, inputs)
    except NotEvaluated as gap:
        return parity.not_checked(gap.message, golden)
    made = parity.compare(answers, reference, artifact.precision, golden.sha256)
    if artifact.format == "mcu":
        made = exact.judged(made, run, inputs, int8)
    if made.passed is not True:
        return made

    def fill(work: Path) -> None:
        entries.write(work / "parity.json", made)
        for number, stack in enumerate(answers):
            np.save(work / f"output_{number}.npy", stack, allow_pickle=False)

    cache.ensure("parity", key, fill)
    return made
