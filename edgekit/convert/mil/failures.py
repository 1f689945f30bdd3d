"""The two ways in which evaluation ends without outputs: the file is wrong, or the evaluator lacks something."""

from __future__ import annotations

from edgekit.errors import RuntimeCrashError

_AGAIN = "Convert the model again, and check that the whole .mlpackage directory was copied."


def refused(message: str, where: str, next_step: str = _AGAIN) -> RuntimeCrashError:
    """The error for a package that can't be read, or a program that contradicts itself."""
    return RuntimeCrashError(message, where=where, next_step=next_step)


class NotEvaluated(RuntimeCrashError):
    """The program may be right, but this evaluator can't tell: it lacks ``operator``, or one of its forms.

    Args:
        operator: the MIL operator, or the kind of model or input.
        name: the operator's own name in the program.
        detail: which form of it is missing; empty if all of it is.
    """

    def __init__(self, operator: str, name: str, detail: str = "") -> None:
        form = f" {detail}" if detail else ""
        super().__init__(
            f"Core ML operator '{operator}'{form} (in {name}) is not implemented by the reference evaluator",
            where=name,
            next_step="Check the file with Core ML itself, on a Mac or an iPhone.",
            operator=operator,
        )
        self.operator = operator
