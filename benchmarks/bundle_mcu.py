"""Flash and RAM that a bundled C library adds to a firmware: ``python benchmarks/bundle_mcu.py BUNDLE...``.

Each BUNDLE (``edgekit bundle --for mcu``) is built by its own Makefile for the virtual Cortex-M7 and linked into a
firmware that calls init and invoke; the same firmware without it is taken off. Beside it the resident agent, which
takes the same model as a packed file: image and file, static RAM and arena. Bytes are exact for one compiler; there is
nothing to repeat. Without an agent image (make agents) its columns are empty.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "mcu"))  # which is no package, so what it has is imported after this

import self_tests  # noqa: E402
from board_table import find  # noqa: E402

CORE = "cortex-m7"
AGENT = ROOT / "mcu/build/virtual_cortex_m7/manifest.json"


def main(bundles: list[str]) -> int:
    """Print the table."""
    if not bundles:
        sys.stderr.write("usage: python benchmarks/bundle_mcu.py BUNDLE...\n")
        return 2
    agent = json.loads(AGENT.read_text()) if AGENT.is_file() else None
    print(f"{'bundle':<24}{'library flash':>15}{'agent flash':>13}{'library RAM':>13}{'agent RAM':>11}")
    for bundle in map(Path, bundles):
        flash, ram = added(bundle)
        models = json.loads((bundle / "manifest.json").read_text())["models"]
        packed = sum(model["variants"][0]["bytes"] for model in models)
        arena = max(arenas(bundle))
        beside = ("-", "-") if agent is None else (
            f"{agent['image_bytes'] + packed:,}", f"{agent['static_bytes'] + arena:,}")  # fmt: skip
        print(f"{bundle.name:<24}{flash:>15,}{beside[0]:>13}{ram:>13,}{beside[1]:>11}")
    return 0


def arenas(bundle: Path) -> list[int]:
    """The arena of each model in bytes."""
    headers = "".join(path.read_text() for path in (bundle / "src").glob("*.h"))
    return [int(size) for size in re.findall(r"_ARENA_BYTES (\d+) /\*", headers)]


def added(bundle: Path) -> tuple[int, int]:
    """Bytes of flash and of static RAM, the arena included, that the library adds."""
    with tempfile.TemporaryDirectory() as work:
        folder, flags = Path(work) / "bundle", " ".join(find(self_tests.profile_of(CORE)).core)
        self_tests.shutil.copytree(bundle, folder)
        self_tests.call(["make", "-s", f"ARCH={flags}", "CORE=here", "all"], folder)
        libraries = list((folder / "build/here").glob("*.a"))
        names = [path.name.removesuffix("_golden.h") for path in sorted((folder / "test").glob("*_golden.h"))]
        with_it = size(folder, "with", used(folder, names), libraries)
        without = size(folder, "without", "", [])
    return with_it[0] - without[0], with_it[1] - without[1]


def used(folder: Path, names: list[str]) -> str:
    """A function body that calls init and invoke of every model, with inputs and outputs in its arena."""
    lines = []
    for name in names:
        header = (folder / "src" / f"{name}.h").read_text()
        signature = re.search(rf"{name}_invoke\((.*?)\)", header, re.DOTALL)
        assert signature is not None
        nulls = ", ".join("0" for _ in signature[1].split(","))
        lines.append(f"    if ({name}_init() == 0) {{ (void){name}_invoke({nulls}); }}")
    return "".join(f'#include "{name}.h"\n' for name in names) + "@" + "\n".join(lines)


def size(folder: Path, name: str, code: str, libraries: list[Path]) -> tuple[int, int]:
    """Flash (text and data) and RAM (data and bss) of a firmware."""
    includes, _, body = code.partition("@")
    program = folder.parent / f"{name}.c"
    program.write_text(
        f'#include "cortex_m.h"\n{includes}int main(void)\n{{\n    ek_port_init();\n{body}\n    return 0;\n}}\n'
    )
    elf = self_tests.link_program(find(self_tests.profile_of(CORE)), [program], program.with_suffix(".elf"),
                                  includes=[folder / "src"], libraries=libraries)  # fmt: skip
    told = subprocess.run(["arm-none-eabi-size", elf], capture_output=True, text=True, check=True).stdout.splitlines()[
        1
    ]
    text, data, bss = map(int, told.split()[:3])
    return text + data, data + bss


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
