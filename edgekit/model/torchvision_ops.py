"""Makes ``import torchvision`` work where its compiled operators can't be loaded.

Package registries serve torchvision built for CUDA. Beside a CPU build of torch its library ``_C.so`` does not load,
and the import then dies with ``operator torchvision::nms does not exist``, because torchvision registers shape rules
for operators that were never declared. timm needs only torchvision's Python parts, for which declaring the two
operators (without an implementation) is enough. A model that really calls them still fails, by name.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# A torch library undoes its declarations when it is collected, so it has to live as long as the process.
_declared: list[torch.library.Library] = []


def make_importable() -> bool:
    """Declare torchvision's two operators if torchvision is installed and its own library can't be loaded.

    To be called before code that may import timm or torchvision. Returns whether the declaration is in force.
    """
    if _declared:
        return True
    if importlib.util.find_spec("torchvision") is None or _has_nms():
        return False
    _load_own_library()
    if _has_nms():
        return False
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(library)
    return True


def _has_nms() -> bool:
    return bool(torch._C._jit_get_schemas_for_operator("torchvision::nms"))


def _load_own_library() -> None:
    """Load torchvision's compiled operators the way torchvision does; a failure shows as nms still missing."""
    spec = importlib.util.find_spec("torchvision")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    for library in sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd")) if folder else []:
        try:
            torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError):
            continue
