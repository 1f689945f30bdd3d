"""JSON with one spelling for each record, so that equal content is equal bytes and has equal sha256."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from edgekit.bundle.text import printable
from edgekit.errors import BundleError
from edgekit.records import Record

_MOST = 200  # characters of a library's message, which may quote the file
AGAIN = "Get the bundle again from where it was made."
_R = TypeVar("_R", bound=Record)


def encode(record: Record) -> bytes:
    """The record's one spelling: its fields in their order, keys of dicts sorted, indented by one, a newline at the
    end. Raises UnicodeEncodeError for text that is no Unicode."""
    return msgspec.json.format(msgspec.json.encode(record, order="deterministic"), indent=1) + b"\n"


def decode(data: bytes, decoder: msgspec.json.Decoder[_R], what: str) -> _R:
    """Read what :func:`encode` wrote.

    Args:
        data: the file's bytes.
        decoder: of the record's type.
        what: the file's name, for the error.

    Raises:
        BundleError: it is no such record, or is one in another spelling.
    """
    try:
        record = decoder.decode(data)
        same = encode(record) == data
    except RecursionError as failure:
        raise _damaged(what, "it is nested too deeply") from failure
    except ValueError as failure:  # msgspec's own errors, and text that is not UTF-8
        raise _damaged(what, str(failure).rstrip(".")) from failure
    if not same:
        raise BundleError(f"{what} is not as edgekit writes it: re-ordered, or spelled in another way.", where=what,
                          next_step=AGAIN)  # fmt: skip
    return record


def _damaged(what: str, reason: str) -> BundleError:
    return BundleError(f"{what} is damaged: {printable(reason[:_MOST])}.", where=what, next_step=AGAIN)
