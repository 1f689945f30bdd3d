"""Files written by torch.save: state dicts, and modules pickled whole."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

import torch

from edgekit.errors import ModelError
from edgekit.model import archive
from edgekit.model.source import PARSE_ERRORS, Loaded, first_line
from edgekit.model.torchvision_ops import make_importable

# Where training frameworks put the weights inside a checkpoint; the first one present is taken.
NESTS = ("state_dict", "model", "model_state_dict", "module", "net", "state_dict_ema", "model_ema", "ema")
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read(path: str, *, trust_pickle: bool) -> Any:
    """Unpickle a torch.save file: tensors and plain containers only, unless ``trust_pickle``.

    Raises:
        ModelError: the file is damaged, or holds other objects and is not trusted, or names a class that can't be
            imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except PARSE_ERRORS as error:
        if not archive.met_objects(error):
            raise archive.damaged(path, _detail(error)) from error
        if not trust_pickle:
            found = _GLOBAL.search(str(error))
            what = f"an object of {found[1]}" if found else "objects other than tensors"
            raise archive.refuse_pickle(path, f"it holds {what}") from None
    return _read_trusted(path)


def _detail(error: BaseException) -> str:
    """What the weights-only reader says, without its advice to read the file unsafely."""
    _, found, detail = str(error).partition("WeightsUnpickler error:")
    return detail.strip().partition("\n")[0][:300] if found else first_line(error)


def _read_trusted(path: str) -> Any:
    make_importable()
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling runs the file's own code, which may raise anything
        raise ModelError(
            f"{path} can't be unpickled: {first_line(error)}",
            where=path,
            next_step="Run edgekit where the model's own classes can be imported, or save the state_dict() and give "
            "--arch.",
        ) from error


def module_in(value: Any, path: str) -> Loaded | None:
    """The module that a trusted file holds, at its top or under a usual name; None if it holds only weights."""
    candidates = [("", value)]
    if isinstance(value, dict):
        candidates += [(key, value[key]) for key in NESTS if key in value]
    for key, candidate in candidates:
        if isinstance(candidate, torch.nn.Module):
            inside = f" ({key})" if key else ""
            return Loaded(weights=f"file {os.path.basename(path)}{inside}", module=candidate)
    return None


def tensors_in(value: Any, path: str) -> tuple[dict[str, torch.Tensor], str]:
    """The state dict in an unpickled file, plain or nested, and the name it was found under ("" for plain).

    Raises:
        ModelError: there is none.
    """
    candidates = [("", value)]
    if isinstance(value, dict):
        candidates += [(key, value[key]) for key in NESTS if key in value]
    for key, candidate in candidates:
        if isinstance(candidate, dict) and candidate and all(_is_entry(*item) for item in candidate.items()):
            return dict(candidate), key
    kind = type(value).__name__
    keys = f" with the keys {', '.join(map(str, list(value)[:10]))}" if isinstance(value, dict) else ""
    raise ModelError(
        f"{path} holds a {kind}{keys}, which is neither a model nor a state dict.",
        where=path,
        next_step="Save the model's state_dict() with torch.save, or the model with torch.export.save (.pt2).",
    )


def _is_entry(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, torch.Tensor)
