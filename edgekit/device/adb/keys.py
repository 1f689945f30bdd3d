"""The RSA keys by which a phone knows this computer.

Looked for in this order: every file that ``ADB_VENDOR_KEYS`` lists (or ``*.adb_key`` of a directory in it), the stock
client's ``~/.android/adbkey``, and edgekit's own, which is made with mode 0600 when it is first needed.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import paths
from edgekit.errors import DeviceError

_MAX_KEY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Key:
    """One key: where it is, and what signs with it."""

    path: Path
    signer: Any

    def sign(self, token: bytes) -> bytes:
        """The signature of the device's 20-byte token."""
        return bytes(self.signer.Sign(token))

    @property
    def public(self) -> bytes:
        """The public key as adb sends it: base64 of Android's format, and the user's name.

        Always from the private half: a ``.pub`` beside it may be another key's.
        """
        from adb_shell.auth.keygen import encode_pubkey, get_user_info

        return base64.b64encode(encode_pubkey(str(self.path))) + str(get_user_info()).encode()

    @property
    def fingerprint(self) -> str:
        """The MD5 of the public key as the phone's prompt shows it."""
        digest = hashlib.md5(base64.b64decode(self.public.split()[0]), usedforsecurity=False).hexdigest()
        return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)).upper()


def load_all() -> list[Key]:
    """Every key there is, edgekit's own last; it is made if it does not exist.

    Raises:
        DeviceError: edgekit's own can't be made, or another user could read it.
    """
    found = [key for path in _others() if (key := _load(path)) is not None]
    return [*found, own()]


def own() -> Key:
    """Edgekit's own key. Raises DeviceError as :func:`load_all`."""
    path = paths.adb_key()
    try:
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise DeviceError(f"The adb key can't be made: {error}", where=str(path),
                          next_step="Set EDGEKIT_ADB_KEY to a file that you can write.") from error  # fmt: skip
    if mode & 0o077:
        raise DeviceError(f"The adb key may be read by others (mode {mode:04o}).", where=str(path),
                          next_step=f"chmod 600 {path}, or delete it and accept a new one on the phone.")  # fmt: skip
    key = _load(path)
    if key is None:
        raise DeviceError("The adb key can't be read.", where=str(path),
                          next_step="Delete it; a new one is made.")  # fmt: skip
    return key


def _others() -> list[Path]:
    listed: list[Path] = []
    for entry in os.environ.get("ADB_VENDOR_KEYS", "").split(os.pathsep):
        path = Path(entry) if entry else None
        if path is not None and path.is_dir():
            listed += sorted(path.glob("*.adb_key"))
        elif path is not None:
            listed.append(path)
    return [path for path in [*listed, Path.home() / ".android/adbkey"] if path.is_file()]


def _load(path: Path) -> Key | None:
    """The key in a file; None if the file is no key that can be used."""
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    try:
        with path.open("rb") as file:
            private = file.read(_MAX_KEY_BYTES).decode("ascii")
        return Key(path, PythonRSASigner(None, private))
    except Exception:  # noqa: BLE001 - three libraries parse it, each with errors of its own
        return None


def _make(path: Path) -> None:
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(parents=True, exist_ok=True)
    # Made in a directory that nobody else may enter: the library writes the file before a mode could be set on it.
    with tempfile.TemporaryDirectory(prefix=".adbkey-", dir=path.parent) as folder:
        made = Path(folder) / "adbkey"
        keygen(str(made))
        made.chmod(0o600)
        # Of two processes that make one at the same time, both use that of the first: the phone is asked once.
        with suppress(FileExistsError):
            path.hardlink_to(made)
            made.with_name("adbkey.pub").replace(path.with_name(path.name + ".pub"))
