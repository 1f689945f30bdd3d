"""The C compiler that these tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(program: str, what: str) -> pytest.MarkDecorator:
    """Skip where a program is missing; in CI, where nothing may be skipped, the test fails for want of it."""
    missing = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"no {what} ({program}) on this machine")


needs_compiler = needs("cc", "C compiler")
