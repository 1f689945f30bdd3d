"""One operator with its evaluated arguments: what an operator's function gets, and how it reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from edgekit.convert.mil.failures import NotEvaluated, refused
from edgekit.convert.mil.graph import Operation
from edgekit.convert.mil.limits import Budget
from edgekit.convert.mil.values import Value
from edgekit.errors import RuntimeCrashError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Call:
    """An operator about to run. Reading an argument that the program lacks, without a default, is an error."""

    operation: Operation
    arguments: Mapping[str, tuple[Value, ...]]
    budget: Budget
    opset: int

    def has(self, name: str) -> bool:
        """Whether the program gives this argument."""
        return bool(self.arguments.get(name))

    def tensor(self, name: str) -> Tensor:
        """An argument as a tensor; float16 is widened to float32, in which every operator computes."""
        return self._widened(self._one(name), name)

    def optional(self, name: str) -> Tensor | None:
        """Like ``tensor``, or None if the program leaves the argument out."""
        return self.tensor(name) if self.has(name) else None

    def tensors(self, name: str) -> list[Tensor]:
        """A list of tensors, each as ``tensor`` gives it."""
        if not self.has(name):
            raise self.wrong(f"lacks its argument {name!r}")
        return [self._widened(value, name) for value in self.arguments[name]]

    def integers(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """A vector (or scalar) of integers."""
        if not self.has(name) and default is not None:
            return list(default)
        return [int(value) for value in self.tensor(name).reshape(-1).tolist()]

    def integer(self, name: str, default: int | None = None) -> int:
        """One integer."""
        return int(self._scalar(name, default))

    def number(self, name: str, default: float | None = None) -> float:
        """One number."""
        return float(self._scalar(name, default))

    def boolean(self, name: str, default: bool | None = None) -> bool:
        """One truth value."""
        return bool(self._scalar(name, default))

    def booleans(self, name: str, default: Sequence[bool]) -> list[bool]:
        """A vector of truth values."""
        return [bool(value) for value in self.tensor(name).reshape(-1).tolist()] if self.has(name) else list(default)

    def text(self, name: str, default: str | None = None) -> str:
        """One string."""
        if not self.has(name) and default is not None:
            return default
        value = self._one(name)
        if not isinstance(value, str):
            raise self.wrong(f"has an argument {name!r} that is no string")
        return value

    def reserve(self, shape: Sequence[int], work: int = 0) -> None:
        """Check that a result of this shape, made with this many multiplications, is within the limits.

        To be called before a result is made whose size does not follow from the arguments' sizes.
        """
        if any(size < 0 for size in shape):
            raise self.wrong(f"makes a tensor of the sizes {list(shape)}")
        self.budget.reserve(shape, self.operation.name)
        self.budget.spend(work, self.operation.name)

    def wrong(self, what: str) -> RuntimeCrashError:
        """The error for a program that contradicts itself: "The Core ML operator ... ``what``"."""
        return refused(f"The Core ML operator {self.operation.type!r} {what}.", self.operation.name)

    def lacking(self, detail: str) -> NotEvaluated:
        """The result for a form of this operator that is not implemented."""
        return NotEvaluated(self.operation.type, self.operation.name, detail)

    def _one(self, name: str) -> Value:
        values = self.arguments.get(name, ())
        if len(values) != 1:
            raise self.wrong(f"lacks its argument {name!r}" if not values else f"has several arguments {name!r}")
        return values[0]

    def _widened(self, value: Value, name: str) -> Tensor:
        if isinstance(value, str):
            raise self.wrong(f"has a string as its argument {name!r}")
        if not isinstance(value, Tensor):
            raise self.lacking(f"with {value.kind} as {name!r}")
        return value.float() if value.dtype == torch.float16 else value

    def _scalar(self, name: str, default: _T | None) -> float | _T:
        if not self.has(name) and default is not None:
            return default
        value = self.tensor(name)
        if value.numel() != 1:
            raise self.wrong(f"has {value.numel()} values as its argument {name!r}")
        return value.item()
