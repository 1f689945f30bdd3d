"""Models built by the user's own Python function."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn

import torch

from edgekit.errors import ModelError
from edgekit.model.request import ModelSpec
from edgekit.model.source import Loaded, first_line
from edgekit.model.torchvision_ops import make_importable
from edgekit.records import TensorSpec

_RETURNS = "Return a torch.nn.Module, or a tuple (module, example_inputs) with a tensor or a tuple of tensors."


def load(spec: ModelSpec, seed: int) -> Loaded:
    """Import the user's code and call its factory, with torch's random generator seeded before.

    Raises:
        ModelError: the code can't be imported, the factory is missing, raises, or returns something else.
    """
    make_importable()
    with _import_path(spec):
        module = _import(spec)
        factory = _attribute(module, spec)
        built = _call(factory, spec, seed)
    return _loaded(built, spec, seed)


@contextmanager
def _import_path(spec: ModelSpec) -> Iterator[None]:
    """Let the code import its neighbours: the file's folder, or the working directory for a package."""
    folder = str(Path(spec.path).resolve().parent) if spec.path else str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _import(spec: ModelSpec) -> ModuleType:
    if spec.path is None:
        assert spec.module is not None
        try:
            return importlib.import_module(spec.module)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code; reported with its line
            _refuse_import(error, spec)
    file = Path(spec.path).resolve()
    name = file.stem if file.stem.isidentifier() and file.stem not in sys.modules else f"edgekit_user_{file.stem}"
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None, "a path that ends in .py always has a loader"
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    # Dataclasses and pickles look their module up by name while it is being imported.
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        del sys.modules[name]
        _refuse_import(error, spec)
    return module


def _refuse_import(error: BaseException, spec: ModelSpec) -> NoReturn:
    what = spec.path or spec.module
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    if absent and f"{spec.module}.".startswith(f"{absent}."):
        raise ModelError(
            f"There is no Python module {absent}.",
            where=spec.text,
            next_step="Run edgekit in the folder that holds the package, install it, or name the file: "
            "path/file.py:factory.",
        ) from error
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}"
    else:
        where = user_line(error.__traceback__) or spec.text
    raise ModelError(
        f"{what} can't be imported: {type(error).__name__}: {first_line(error)}",
        where=where,
        next_step="Check that Python can import the file by itself.",
    ) from error


def _attribute(module: ModuleType, spec: ModelSpec) -> Any:
    assert spec.attribute is not None
    value: Any = module
    for part in spec.attribute.split("."):
        if not hasattr(value, part):
            names = [name for name, item in vars(module).items() if callable(item) and not name.startswith("_")]
            own = [name for name in names if getattr(vars(module)[name], "__module__", "") == module.__name__]
            raise ModelError(
                f"{spec.path or spec.module} has no {spec.attribute}.",
                where=spec.text,
                next_step=f"It defines: {', '.join(own[:10])}." if own else "Define a function that returns the model.",
            )
        value = getattr(value, part)
    return value


def _call(factory: Any, spec: ModelSpec, seed: int) -> Any:
    if isinstance(factory, torch.nn.Module):
        return factory
    if not callable(factory):
        message = f"{spec.attribute} is a {type(factory).__name__}, not a function that returns a model."
        raise ModelError(message, where=spec.text, next_step=_RETURNS)
    torch.manual_seed(seed)
    try:
        return factory()
    except (Exception, SystemExit) as error:  # the user's own code: whatever it raises is reported with its line
        raise ModelError(
            f"{spec.attribute}() raised {type(error).__name__}: {first_line(error)}",
            where=user_line(error.__traceback__) or spec.text,
            next_step="The factory is called without arguments; check that it runs by itself.",
        ) from error


def _loaded(built: Any, spec: ModelSpec, seed: int) -> Loaded:
    module, example = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"{spec.attribute}() returns a TorchScript module.",
            where=spec.text,
            next_step="Return the original torch.nn.Module, or save the script with .save(FILE.pt) and name that file.",
        )
    if not isinstance(module, torch.nn.Module):
        message = f"{spec.attribute}() returns a {type(built).__name__}, not a model."
        raise ModelError(message, where=spec.text, next_step=_RETURNS)
    inputs = None if example is None else _example_specs(example, module, spec)
    weights = f"from {spec.text}, seed {seed}"
    return Loaded(weights=weights, module=module, inputs=inputs, inputs_source="the factory's example inputs")


def _example_specs(example: Any, module: torch.nn.Module, spec: ModelSpec) -> tuple[TensorSpec, ...]:
    if isinstance(example, dict):
        raise ModelError(
            f"{spec.attribute}() gives its example inputs as a dict.",
            where=spec.text,
            next_step="Give a tuple of tensors in the order of forward's parameters; keyword inputs are not supported.",
        )
    tensors = (example,) if isinstance(example, torch.Tensor) else tuple(example) if _is_sequence(example) else ()
    if not tensors or not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        message = f"{spec.attribute}() gives example inputs that are not tensors ({type(example).__name__})."
        raise ModelError(message, where=spec.text, next_step=_RETURNS)
    names = input_names(module.forward, len(tensors))
    return tuple(
        TensorSpec(name=name, shape=tuple(tensor.shape), dtype=str(tensor.dtype).removeprefix("torch."))
        for name, tensor in zip(names, tensors, strict=True)
    )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def input_names(forward: Callable[..., Any], count: int) -> tuple[str, ...]:
    """The names of forward's first ``count`` positional parameters; ``input_K`` where it does not name them."""
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [parameter.name for parameter in parameters if parameter.kind in kinds][:count]
    return tuple(names + [f"input_{index}" for index in range(len(names), count)])


def user_line(trace: TracebackType | None) -> str:
    """``file:line`` of the innermost frame in the user's own code, or "" if there is none."""
    paths = sysconfig.get_paths()
    library = [os.path.realpath(paths[key]) + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    edgekit = str(Path(__file__).resolve().parents[1]) + os.sep
    for frame in reversed(traceback.extract_tb(trace)):
        file = os.path.realpath(frame.filename)
        if not frame.filename.startswith("<") and not file.startswith((edgekit, *library)):
            return f"{frame.filename}:{frame.lineno}"
    return ""
