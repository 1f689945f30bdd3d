"""Structure checks, run by ``make lint``: import layers, light imports, and the size of modules and functions.

Prints one line per finding and exits 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "edgekit"

# A package may import those before it, never those after it; the names in one tuple are of one rank.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("version", "errors"),
    ("records", "paths", "processes", "whole_file"),
    ("diagnosis", "selection"),
    ("job",),
    ("harness",),
    ("model",),
    ("export",),
    ("quantize",),
    ("convert",),
    ("doctor",),
    ("device",),
    ("measure",),
    ("evaluate",),
    ("store",),
    ("choose",),
    ("compare",),
    ("report", "bundle"),
    ("prepare",),
    ("sweep", "gate"),
    ("pipeline",),
    ("api",),
    ("cli",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Importing these at module level costs seconds or pulls in an extra; only the listed packages may, and they are only
# imported inside worker processes.
HEAVY = ("torch", "executorch", "litert_torch", "ai_edge_litert", "coremltools", "onnx", "onnxruntime", "timm")
HEAVY_ALLOWED = ("model", "export", "convert", "doctor", "harness/engines", "evaluate/eager.py")

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
# Name -> why it may be longer. A row that is no longer needed is a finding too.
LONGER: dict[str, str] = {}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the package with its syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import anywhere in the tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def layer_of(dotted: str) -> str | None:
    """``edgekit.convert.cache`` -> ``convert``; null outside the package."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "edgekit" and len(parts) > 1 else None


def check_layers(path: Path, tree: ast.Module) -> Iterator[str]:
    """A stage never imports a later one."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    if own not in RANK:
        yield f"{path.relative_to(ROOT)}: {own!r} is not in the layer table"
        return
    for line, dotted in imported(tree):
        other = layer_of(dotted)
        if other in RANK and other != own and RANK[other] >= RANK[own]:
            yield f"{path.relative_to(ROOT)}:{line}: {own} imports the later {other}"


def check_heavy(path: Path, tree: ast.Module) -> Iterator[str]:
    """Heavy packages are imported at module level only where a worker process imports the module."""
    relative = str(path.relative_to(PACKAGE))
    if relative.startswith(HEAVY_ALLOWED):
        return
    for node in tree.body:
        for line, dotted in imported(node) if isinstance(node, (ast.Import, ast.ImportFrom)) else ():
            if dotted.split(".")[0] in HEAVY:
                yield f"{path.relative_to(ROOT)}:{line}: imports {dotted.split('.')[0]} at module level"


def check_size(path: Path, tree: ast.Module, used: set[str]) -> Iterator[str]:
    """Modules and functions stay short; the exceptions are listed by name."""
    relative = str(path.relative_to(ROOT))
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MAX_MODULE_LINES:
        used.add(relative)
        if relative not in LONGER:
            yield f"{relative}: {lines} lines, at most {MAX_MODULE_LINES}"
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.end_lineno is None:
            continue
        docstring = node.body[0].end_lineno if ast.get_docstring(node) else node.body[0].lineno - 1
        length = node.end_lineno - (docstring or node.lineno)
        name = f"{relative}:{node.name}"
        if length > MAX_FUNCTION_LINES:
            used.add(name)
            if name not in LONGER:
                yield f"{relative}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"


def findings() -> Iterator[str]:
    """Every finding in the package."""
    used: set[str] = set()
    for path, tree in modules():
        yield from check_layers(path, tree)
        yield from check_heavy(path, tree)
        yield from check_size(path, tree, used)
    for name in sorted(set(LONGER) - used):
        yield f"{name} is listed as longer but is not"


def main() -> int:
    """Print the findings."""
    found = list(findings())
    for line in found:
        print(line)
    print(f"structure: {len(found)} finding{'s' if len(found) != 1 else ''}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
