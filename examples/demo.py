"""The worked example, end to end: ``make demo``.

1. Train a small network on the UCI digits, deploy it to this machine in every format, and print the test accuracy of
   each converted file beside PyTorch's.
2. Deploy MobileNetV2 at 224 x 224 on real photographs.

Runs the same commands that a user types, and prints each before it runs. Nothing is downloaded.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = HERE / "digits" / "out"
EDGEKIT = [sys.executable, "-m", "edgekit.cli.main"]


def run(command: list[str]) -> None:
    """Print and run one command in the checkout; end the demo if it fails."""
    shown = ["edgekit" if command[:3] == EDGEKIT else "python", *command[3 if command[:3] == EDGEKIT else 1 :]]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def digits() -> None:
    """The user's own model, from training to the accuracy of each converted file."""
    weights, arch = "examples/digits/out/digits.pt", "examples/digits/model.py:digits_net"
    run([sys.executable, "examples/digits/train.py"])
    deploy = ["deploy", "--device", "host", weights, "--arch", arch, "--to", "executorch,litert,coreml,onnx"]
    run([*EDGEKIT, *deploy, "-o", "examples/digits/out"])
    files = [str(path.relative_to(ROOT)) for path in sorted(OUT.glob("digits_*_fp32.*"))]
    run([*EDGEKIT, "evaluate", weights, *files, "--arch", arch, "--data", "examples/digits/data.py:test_set"])


def photographs() -> None:
    """A timm model on photographs; its weights are random where there is no network, which the output says."""
    run([sys.executable, "examples/photos.py", "examples/digits/out/photos"])
    run([*EDGEKIT, "deploy", "--device", "host", "timm:mobilenetv2_100", "--inputs", "examples/digits/out/photos"])


if __name__ == "__main__":
    digits()
    photographs()
