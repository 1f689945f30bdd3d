"""Every failure that edgekit reports, one branch per stage.

An error says what failed (``message``), where (``where``) and what to do next (``next_step``). The process exit code
and the JSON failure document are made from the same fields, so text and machine output cannot disagree.
"""

from __future__ import annotations

from typing import Any, ClassVar


class EdgekitError(Exception):
    """Base of all reported failures.

    Args:
        message: what failed, one sentence.
        where: the file, operator, device or module it failed at.
        next_step: what the user can do about it.
        facts: further JSON-ready fields, for programs.
    """

    code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, *, where: str = "", next_step: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.next_step = next_step
        self.facts = facts

    def to_dict(self) -> dict[str, Any]:
        """The ``error`` object of the JSON failure document."""
        head = {"code": self.code, "kind": self.kind, "message": self.message}
        return {**head, "where": self.where, "next_step": self.next_step, **self.facts}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> EdgekitError:
        """Rebuild an error that a worker process sent as :meth:`to_dict`."""
        facts = dict(data)
        kind = facts.pop("kind")
        facts.pop("code")
        return ERRORS.get(kind, EdgekitError)(facts.pop("message"), **facts)


class RegressedError(EdgekitError):
    """A result is over its budget or worse than its baseline."""

    code, kind = 1, "regressed"


class UsageError(EdgekitError):
    """The request itself is wrong: a flag, a format name, an input file."""

    code, kind = 2, "usage"


class IncomparableError(EdgekitError):
    """Results that may not be compared with each other."""

    code, kind = 2, "incomparable"


class ModelError(EdgekitError):
    """The model can't be loaded."""

    code, kind = 10, "model"


class MissingExtraError(ModelError):
    """A Python package that this model or format needs is not installed."""

    kind = "missing-extra"


class ExportError(EdgekitError):
    """torch.export refused the model."""

    code, kind = 11, "export"


class ConvertError(EdgekitError):
    """A backend failed to convert the exported program."""

    code, kind = 11, "convert"


class MissingConverterError(ConvertError):
    """The Python package of a backend is not installed."""

    kind = "missing-converter"


class ParityError(EdgekitError):
    """A converted file does not compute what the model computes, or that can't be decided."""

    code, kind = 12, "parity"


class DeviceError(EdgekitError):
    """There is no such device, or it was lost."""

    code, kind = 13, "device"


class LinkLostError(DeviceError):
    """The connection to the device ended before the answer did; a new connection may succeed."""

    kind = "link-lost"


class UnauthorisedError(DeviceError):
    """The device does not know this computer's key."""

    kind = "unauthorised"


class RuntimeCrashError(DeviceError):
    """The runtime on the device crashed or refused the file."""

    kind = "runtime"


class UntrustworthyError(EdgekitError):
    """``--strict`` was given and a verdict is not ``ok``."""

    code, kind = 14, "untrustworthy"


class DeadlineError(EdgekitError):
    """Something took longer than its bound."""

    code, kind = 15, "timeout"


class StoreError(EdgekitError):
    """The results store can't be opened, read or written."""

    code, kind = 16, "store"


class BundleError(EdgekitError):
    """A bundle can't be made, or its signature is wrong."""

    code, kind = 17, "bundle"


ERRORS: dict[str, type[EdgekitError]] = {
    cls.kind: cls
    for cls in (
        RegressedError, UsageError, IncomparableError, ModelError, MissingExtraError, ExportError, ConvertError,
        MissingConverterError, ParityError, DeviceError, LinkLostError, UnauthorisedError, RuntimeCrashError,
        UntrustworthyError, DeadlineError, StoreError, BundleError,
    )
}  # fmt: skip
