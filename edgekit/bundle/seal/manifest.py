"""The manifest of a bundle as a file, and the rules for the paths in it.

``manifest.json`` lists every file with its sha256; ``manifest.json.sha256`` names the manifest itself and is read by
``sha256sum -c``; ``manifest.json.sig`` is there if the bundle is signed (:mod:`edgekit.bundle.seal.signature`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

import msgspec

from edgekit.bundle.records import FileEntry, Manifest
from edgekit.bundle.seal import canonical
from edgekit.errors import BundleError
from edgekit.records import SCHEMA

MANIFEST = "manifest.json"
CHECKSUM = "manifest.json.sha256"
SIGNATURE = "manifest.json.sig"
SEALS = (MANIFEST, CHECKSUM, SIGNATURE)
MAX_BYTES = 16 << 20
MAX_FILES = 10_000
_MAX_PATH = 240
_MAX_PARTS = 32
_MAX_FILE_BYTES = 1 << 50
# What every file system can have: printable ASCII, without what Windows forbids. macOS spells accents in its own way,
# and both take names that differ by case only for the same.
_PART = re.compile(r'[^\x00-\x1f\x7f-\U0010ffff"*/:<>?\\|]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.ASCII | re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# Made before there are threads: two that make a type's decoder at the same time crash msgspec 0.22.
_DECODER = msgspec.json.Decoder(Manifest)


def encode(manifest: Manifest) -> bytes:
    """The bytes of ``manifest.json``: the same for equal manifests.

    Raises:
        BundleError: it holds what can't be read back as it is (a number that is not finite, text that is no Unicode),
            breaks a rule of :func:`decode`, or is larger than 16 MiB.
    """
    try:
        data = canonical.encode(manifest)
        same = decode(data) == manifest
    except UnicodeEncodeError as failure:
        raise _unwritable(f"it holds text that is no Unicode: {failure.object[:80]!a}") from failure
    except BundleError as failure:
        raise _unwritable(failure.message.rstrip(".")) from failure
    if not same:
        raise _unwritable("it holds a value that JSON can't, such as a number that is not finite")
    return data


def decode(data: bytes) -> Manifest:
    """Read ``manifest.json``, strictly: only the very bytes that :func:`encode` writes are taken.

    Raises:
        BundleError: it is damaged, of another schema, re-ordered or re-formatted, or lists what no bundle may have.
    """
    if len(data) > MAX_BYTES:
        raise _refused(f"{MANIFEST} is larger than {MAX_BYTES >> 20} MiB.")
    found = canonical.decode(data, _DECODER, MANIFEST)
    if found.schema != SCHEMA:
        raise BundleError(f"{MANIFEST} has the schema {found.schema}, not {SCHEMA}.", where=MANIFEST,
                          next_step="Use the edgekit that made the bundle, or a newer one.")  # fmt: skip
    paths = [entry.path for entry in found.files]
    wrong = [*path_problems(paths), *(text for entry in found.files if (text := _entry_problem(entry)))]
    if paths != sorted(paths):
        wrong.append("the files are not sorted")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise _refused(f"{MANIFEST} lists files that no bundle can have: {wrong[0]}{more}.")
    return found


def checksum(data: bytes) -> bytes:
    """The content of ``manifest.json.sha256`` for a manifest's bytes."""
    return f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n".encode()


def path_problems(paths: Sequence[str]) -> list[str]:
    """What is wrong with the paths of a bundle's files; nothing if they can be unpacked on every system.

    A path is relative with forward slashes, in printable ASCII, has at most 240 characters and 32 parts, no ``.`` or
    ``..``, nothing that Windows forbids, and is not a seal's; no two may differ by case only, or be a file and a
    folder at once. There are at most 10,000.
    """
    if len(paths) > MAX_FILES:
        return [f"there are {len(paths)} of them, at most {MAX_FILES}"]
    found = [f"{path!a} {problem}" for path in paths if (problem := _path_problem(path))]
    if found:  # what comes now is made for paths of bounded length
        return found
    spelled: dict[str, tuple[str, bool]] = {}
    for path in paths:
        parts = path.split("/")
        for count in range(1, len(parts) + 1):
            prefix, is_file = "/".join(parts[:count]), count == len(parts)
            before = spelled.setdefault(prefix.lower(), (prefix, is_file))
            if before[0] != prefix:
                found.append(f"{prefix!a} and {before[0]!a} differ by case only")
            elif before[1] != is_file:
                found.append(f"{prefix!a} is a file and a folder")
    return found + [f"{path!a} is there {count} times" for path, count in Counter(paths).items() if count > 1]


def _path_problem(path: str) -> str | None:
    if not path or len(path) > _MAX_PATH:
        return f"has {len(path)} characters, not 1 to {_MAX_PATH}"
    if path.lower() in SEALS:
        return "is a name that the bundle needs itself"
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts or len(parts) > _MAX_PARTS:
        return f"is not a plain relative path of at most {_MAX_PARTS} parts"
    for part in parts:
        if not _PART.fullmatch(part) or part[0] == " " or part[-1] in " ." or _RESERVED.fullmatch(part):
            return "has a part that not every file system can have"
    return None


def _entry_problem(entry: FileEntry) -> str | None:
    if not 0 <= entry.bytes <= _MAX_FILE_BYTES:
        return f"{entry.path!a} has {entry.bytes} bytes"
    if not _SHA256.fullmatch(entry.sha256):
        return f"the sha256 of {entry.path!a} is none"
    return None


def _refused(message: str) -> BundleError:
    return BundleError(message, where=MANIFEST, next_step=canonical.AGAIN)


def _unwritable(reason: str) -> BundleError:
    return BundleError(f"The manifest can't be written: {reason}.", where=MANIFEST,
                       next_step="Rename what it is about, or measure again without it.")  # fmt: skip
