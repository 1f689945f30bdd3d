"""The user's own Python functions, named ``pkg.module:function`` or ``path/file.py:function``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekit.errors import UsageError

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_callable_spec(text: str) -> bool:
    """Whether the text has the form of such a name."""
    module, _, name = text.rpartition(":")
    return bool(_NAME.fullmatch(name)) and (module.endswith(".py") or bool(_NAME.fullmatch(module)))


class UserFunction:
    """A function of the user's; calling it reports what goes wrong inside with its line.

    Raises:
        UsageError: on creation, that there is no such function or its module can't be imported; on a call, whatever
            the function raised.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        place, _, name = spec.rpartition(":")
        self._path = Path(place).resolve() if place.endswith(".py") else None
        with self._importing():
            module = self._import(place)
        self._function = self._find(module, name)

    def __call__(self, *arguments: Any) -> Any:
        """The function's own result for these arguments."""
        with self._importing():
            return self._guarded(lambda: self._function(*arguments), f"{self.spec} raised")

    def _import(self, place: str) -> ModuleType:
        if self._path is None:
            found: ModuleType = self._guarded(lambda: importlib.import_module(place), f"{place} can't be imported:")
            return found
        if not self._path.is_file():
            raise UsageError(f"There is no file {self._path}.", where=self.spec, next_step="Check the path.")
        # Named by its full path, so that two files called data.py don't take each other's place.
        digest = hashlib.sha256(str(self._path).encode()).hexdigest()[:12]
        name = f"edgekit_user_{digest}"
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, self._path)
        assert spec is not None and spec.loader is not None  # the path ends in .py, which always has a loader
        module, loader = importlib.util.module_from_spec(spec), spec.loader
        sys.modules[name] = module
        try:
            self._guarded(lambda: loader.exec_module(module), f"{self._path} can't be imported:")
        except UsageError:
            del sys.modules[name]
            raise
        return module

    def _find(self, module: ModuleType, name: str) -> Callable[..., Any]:
        value: Any = module
        for part in name.split("."):
            value = getattr(value, part, None)
        if not callable(value):
            own = [key for key, item in vars(module).items() if callable(item) and not key.startswith("_")]
            raise UsageError(
                f"{self.spec.rpartition(':')[0]} has no function {name}.", where=self.spec,
                next_step=f"It has: {', '.join(own[:10])}." if own else "Define the function.",
            )  # fmt: skip
        function: Callable[..., Any] = value
        return function

    @contextmanager
    def _importing(self) -> Iterator[None]:
        # The file may import its neighbours; a package is looked for in the working directory too.
        folder = str(self._path.parent if self._path else Path.cwd())
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)

    def _guarded(self, action: Callable[[], Any], what: str) -> Any:
        try:
            return action()
        except UsageError:
            raise
        except (Exception, SystemExit) as error:  # the user's own code: whatever it raises is reported with its line
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if not frame.filename.startswith(("<frozen", str(Path(__file__).parent)))]
            where = f"{own[-1].filename}:{own[-1].lineno}" if own else self.spec
            text = str(error).strip().splitlines()
            raise UsageError(
                f"{what} {type(error).__name__}: {text[0][:300] if text else 'no message'}", where=where,
                next_step="Check that the function runs by itself in Python.",
            ) from error  # fmt: skip
