"""Options that several commands share, with the names that users of other tools know as aliases."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgekit.errors import UsageError

_F = TypeVar("_F", bound=Callable[..., Any])
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def stack(*options: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """Several options as one decorator, shown in the order given."""

    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


output_options = stack(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option("--quiet", "-q", is_flag=True, help="No progress; tables and errors only."),
    click.option("--traceback", is_flag=True, help="On failure, also print the library's own traceback."),
)

model_options = stack(
    click.option("--arch", metavar="SPEC", help="Architecture of a state dict: timm:NAME, file.py:factory, …"),
    click.option("--weights", metavar="FILE", help="Weights for a zoo: or timm: model (.pt, .pth, .safetensors)."),
    click.option("--pretrained", is_flag=True, help="Published weights for a zoo: or timm: model, from the network."),
    click.option("--trust-pickle", is_flag=True, help="Unpickle the file. It can run any code in it."),
    click.option("--input-shape", metavar="SHAPE", help='For example "1,3,224,224"; several inputs with ";".'),
    click.option(
        "--input-spec", "--input-specs", "--input_specs", "input_spec", metavar="DICT",
        help="For example \"{'x': ((1,3,224,224),'float32')}\".",
    ),
    click.option("--seed", default=0, show_default=True, help="Seed of random weights and generated inputs."),
)  # fmt: skip

golden_options = stack(
    click.option(
        "--inputs", "inputs", metavar="DIR", type=click.Path(),
        help="Golden inputs: a folder of images or .npy files. Default: seeded natural-statistics images.",
    ),
    click.option("--golden-count", default=8, show_default=True, type=click.IntRange(1, 10_000),
                 help="How many golden inputs."),
)  # fmt: skip

worker_options = stack(
    click.option("--jobs", "-j", type=click.IntRange(1), help="Conversions at once. Default: the number of cores."),
    click.option("--memory-limit", metavar="SIZE", help="Bound for all conversions together, e.g. 8GiB. "
                 "Default: 60% of the free memory."),
)  # fmt: skip

convert_options = stack(
    click.option("--to", "formats", metavar="LIST", help="Formats: executorch,litert,coreml,onnx,mcu."),
    click.option("--precision", metavar="NAME", help="fp32; coreml also fp16; mcu int8. [default: the first]"),
    golden_options,
    click.option(
        "--calibration",
        metavar="PATH",
        help="For int8: your data, as a folder of images or .npy files, an "
        ".npy or an .npz. The word synthetic takes generated inputs.",
    ),
    click.option(
        "--calibration-count",
        default=128,
        show_default=True,
        type=click.IntRange(1, 100_000),
        help="At most so many samples of it.",
    ),
    click.option("--no-parity", is_flag=True, help="Don't compare with PyTorch; recorded as not checked."),
    worker_options,
)

device_options = stack(
    click.option("--device", "-d", default="host", show_default=True, metavar="SPEC", help="Where to run; see "
                 "edgekit devices."),
    click.option("--engine", "harness", type=click.Choice(["python", "native"]), help="The program that runs and times "
                 "the model on the host: native is the one that phones run. [default: python; phones: native]"),
    click.option("--threads", "--num-threads", "--num_threads", "threads", default=1, show_default=True,
                 type=click.IntRange(1, 1024), help="Threads of the runtime."),
    click.option("--wait", "wait_s", default=0.0, metavar="SECONDS", help="Wait for a busy device."),
)  # fmt: skip

plan_options = stack(
    click.option("--clocks", type=click.Choice(["free", "pinned"]), default="free", show_default=True, help="pinned: "
                 "hold the phone's clocks while it is measured, to compare two models on it; restored afterwards."),
    click.option("--runs", "--num-runs", "--num_runs", "runs", type=click.IntRange(1), help="At least this many timed "
                 "runs per repeat. [default: 50]"),
    click.option("--warmup", "--warmup-runs", "--warmup_runs", "warmup", type=click.IntRange(0),
                 help="At least this many warm-up runs. [default: 5]"),
    click.option("--min-secs", "--min_secs", "min_secs", type=float, help="At least this long per repeat. "
                 "[default: 1]"),
    click.option("--max-secs", "--max_secs", "max_secs", type=float, help="At most this long per repeat. "
                 "[default: 150]"),
    click.option("--repeats", type=click.IntRange(1, 100), help="Cold repeats, interleaved over the formats. "
                 "[default: 3]"),
)  # fmt: skip


def parse_formats(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """``"a,b"`` → names without repetition; each is checked by the convert stage."""
    if text is None:
        return default
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UsageError("--to names no format.", where="--to", next_step="For example --to executorch,litert.")
    return tuple(dict.fromkeys(names))


def parse_size(text: str) -> int:
    """``8GiB``, ``500M`` or plain bytes → bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise UsageError(f"{text!r} is not a size.", where="--memory-limit", next_step="For example 8GiB or 500M.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def free_memory_bytes() -> int:
    """Memory that can be had without swapping; half of all where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
