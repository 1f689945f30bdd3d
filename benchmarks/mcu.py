"""Int8 models on the virtual Cortex-M7: instructions per inference and SRAM, beside TFLM and TinyEngine.

``python benchmarks/mcu.py [--models DIR] [--device virtual:cortex-m7]``

The peers' figures are those that were counted on the same emulated core with the same files (TFLite Micro 90b983c2 with
CMSIS-NN 99f736a, TinyEngine 47bb283, arm-none-eabi-gcc 12.2 -O3). SRAM is static + arena + stack, the input resident;
the peers' is the arena alone (TFLM) or the static buffers (TinyEngine). Counted instructions are exact and repeatable:
each is counted in every run of three cold repeats, and a figure whose runs differ is marked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from common import EDGEKIT, ROOT, table

MODELS = Path(os.environ.get("EDGEKIT_MCU_MODELS", ROOT.parent / "shared/models"))


class Row(NamedTuple):
    """A model, what the peers need for it (millions of instructions, bytes), and what was aimed at."""

    label: str
    spec: str
    tflm: tuple[float, int] | None
    tinyengine: tuple[float | None, int] | None
    aim: tuple[float, int] | None


ROWS = (
    Row("visual wake words 96", "vww_96_int8.tflite", (24.48, 100_708), (19.31, 60_728), (12.2, 56_000)),
    Row("MobileNetV2-0.35 @144", "mobilenetv2_035_144_int8.tflite", (105.94, 508_900), (80.13, 302_120), (52, 300_000)),
    Row("ResNet-8", "benchmarks/resnet8.py:resnet8", (29.94, 54_996), (None, 49_152), (16, 50_000)),
    Row("ViT block 49x192", "vit_block_49x192_int8.tflite", (80.84, 160_692), None, None),
    Row("ViT block 196x192", "vit_block_196x192_int8.tflite", (391.9, 584_052), None, None),
)


def measured(spec: str, device: str, work: Path) -> dict[str, Any] | str:
    """The measurement of ``edgekit deploy --json``, after it was bit-equal on the board; or why there is none."""
    environment = {"EDGEKIT_STORE": f"sqlite:///{work}/results.sqlite", "EDGEKIT_CACHE": str(work / "cache")}
    options = ["--device", device, "--calibration", "synthetic", "--json", "--quiet"]
    command = [*EDGEKIT, "deploy", spec, *options]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=False)
    document = json.loads(done.stdout)
    if done.returncode:
        message: str = document["error"]["message"]
        return message
    (deployment,) = document["deployments"]
    assert deployment["device_parity"]["bit_equal"] is True, deployment["device_parity"]
    found: dict[str, Any] = deployment["measurement"]
    return found


def pair(figures: tuple[float | None, int] | None) -> str:
    """Millions of instructions and kilobytes."""
    if figures is None:
        return "-"
    millions, size = figures
    return f"{'-' if millions is None else f'{millions:.2f} M'}, {size / 1000:.1f} KB"


def line(row: Row, device: str, work: Path, models: Path) -> list[str]:
    """One row of the table."""
    path = models / row.spec
    if row.spec.endswith(".tflite") and not path.is_file():
        return [row.label, "the file is not here", *[""] * 6]
    found = measured(str(path) if row.spec.endswith(".tflite") else row.spec, device, work)
    if isinstance(found, str):
        return [row.label, found, "-", pair(row.tflm), pair(row.tinyengine), "-", pair(row.aim), "no"]
    millions, sram = found["instructions"] / 1e6, found["sram_bytes"]
    parts = found["footprint"]
    made = f"{millions:.2f} M, {sram / 1000:.1f} KB{'' if found['verdict'] == 'ok' else ' *'}"
    split = f"{parts['static_bytes']} + {parts['arena_bytes']} + {parts['stack_bytes']}"
    ratio = f"{row.tflm[0] / millions:.2f}x, {row.tflm[1] / sram:.2f}x" if row.tflm else "-"
    reached = "-" if row.aim is None else "yes" if millions <= row.aim[0] and sram <= row.aim[1] else "no"
    return [row.label, made, split, pair(row.tflm), pair(row.tinyengine), ratio, pair(row.aim), reached]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the int8 files")
    parser.add_argument("--device", default="virtual:cortex-m7")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = [line(row, given.device, Path(work), given.models) for row in ROWS]
    heads = ["model", "edgekit", "static + arena + stack", "TFLM", "TinyEngine", "TFLM / edgekit", "aim", "reached"]
    table(f"Instructions per inference and SRAM on {given.device}", heads, rows)


if __name__ == "__main__":
    main()
