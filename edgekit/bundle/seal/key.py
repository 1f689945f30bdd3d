"""One Ed25519 key (RFC 8032), and its file: PEM as openssl writes and reads it, the private half in PKCS 8."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.bundle.seal import plain_file
from edgekit.errors import BundleError, UsageError

# cryptography takes up to a second to import; most commands need none of it.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PASSPHRASE_VARIABLE = "EDGEKIT_KEY_PASSPHRASE"  # noqa: S105 - its name, not its value
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
_MAX_FILE_BYTES = 64 * 1024
_MAX_PASSPHRASE_BYTES = 1023
_NEED_PUBLIC = "Ask for the .pub file that edgekit keys new made."


@dataclass(frozen=True)
class PublicKey:
    """What checks signatures: the 32 bytes of RFC 8032, and the name under which it is known here ("" if it is not)."""

    raw: bytes
    name: str = field(default="", compare=False)

    @property
    def key_id(self) -> str:
        """The first 16 hex digits of the sha256 of ``raw``: for people; nothing is decided by it."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """``raw`` in base64."""
        return base64.b64encode(self.raw).decode()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the private half of this key made the signature of the message."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """What signs."""

    signer: Ed25519PrivateKey = field(repr=False)
    name: str = ""

    @property
    def public(self) -> PublicKey:
        """Its public half."""
        return PublicKey(self.signer.public_key().public_bytes_raw(), self.name)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the message's signature; always the same ones."""
        return self.signer.sign(message)


def generate(name: str) -> PrivateKey:
    """A new key, from the system's source of randomness."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return PrivateKey(Ed25519PrivateKey.generate(), name)


def private_pem(key: PrivateKey, passphrase: str | None) -> bytes:
    """The content of a .pem file; encrypted if there is a passphrase. Raises UsageError if that is too long."""
    from cryptography.hazmat.primitives import serialization as pem

    given = _secret(passphrase or "")
    if len(given) > _MAX_PASSPHRASE_BYTES:
        raise UsageError(f"The passphrase has more than {_MAX_PASSPHRASE_BYTES} bytes, the most that openssl takes.",
                         where=PASSPHRASE_VARIABLE, next_step="Choose a shorter one.")  # fmt: skip
    secret = pem.BestAvailableEncryption(given) if given else pem.NoEncryption()
    return key.signer.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, secret)


def public_pem(key: PublicKey) -> bytes:
    """The content of a .pub file."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    made = Ed25519PublicKey.from_public_bytes(key.raw)
    return made.public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)


def read_private(path: Path, ask: Callable[[str], str] | None = None, missing: str = "Check the path.") -> PrivateKey:
    """The private key in a file.

    Args:
        path: a PEM file that only its owner may read. It may be a link, as mounted secrets are.
        ask: answers the passphrase of an encrypted one, given the path, where ``EDGEKIT_KEY_PASSPHRASE`` is not set.
        missing: what to do if there is no such file.

    Raises:
        BundleError: there is none, others can read it, it is damaged or no Ed25519 key, the passphrase is wrong, or the
            .pub beside it is another key's.
    """
    data, mode = _read(path, missing)
    if mode & 0o077:
        raise BundleError(f"The private key may be read by others (mode {mode:04o}).", where=str(path),
                          next_step=f"chmod 600 {path}, and make a new one if somebody may have read it.")  # fmt: skip
    key = PrivateKey(_signer(data, path, ask), path.stem)
    beside = path.with_suffix(".pub")
    if path.suffix == ".pem" and beside.exists() and read_public(beside) != key.public:
        raise BundleError("The public key beside the private one is another's.", where=str(beside),
                          next_step=f"openssl pkey -in {path} -pubout -out {beside}")  # fmt: skip
    return key


def read_public(path: Path, name: str = "") -> PublicKey:
    """The public key in a PEM file, under a name.

    Raises:
        BundleError: there is none, it is damaged or no Ed25519 key, or a private one.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data, _ = _read(path)
    if b"PRIVATE KEY-----" in data:
        raise BundleError("This is a private key; a public one is needed, and nobody else may have this one.",
                          where=str(path), next_step="Take the .pub file that was made with it.")  # fmt: skip
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as failure:
        raise BundleError("The file is no public key in PEM.", where=str(path), next_step=_NEED_PUBLIC) from failure
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError("The public key is not of Ed25519.", where=str(path), next_step=_NEED_PUBLIC)
    return PublicKey(key.public_bytes_raw(), name)


def _read(path: Path, missing: str = "Check the path.") -> tuple[bytes, int]:
    """A key file's bytes and mode."""
    try:
        with plain_file.opened(path, follow=True) as (file, status):
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as failure:
        raise BundleError("There is no such key.", where=str(path), next_step=missing) from failure
    except (OSError, ValueError) as failure:
        reason = plain_file.reason(failure) if isinstance(failure, OSError) else "has no name that a file can have"
        raise BundleError(f"The key {reason}.", where=str(path), next_step="Check the path.") from failure
    if len(data) > _MAX_FILE_BYTES:
        raise BundleError("The file is too large for a key.", where=str(path), next_step="Check the path.")
    return data, stat.S_IMODE(status.st_mode)


def _signer(data: bytes, path: Path, ask: Callable[[str], str] | None) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        try:
            key = load_pem_private_key(data, None)
        except TypeError:  # it is encrypted
            key = load_pem_private_key(data, _secret(_passphrase(path, ask)))
    except (ValueError, UnsupportedAlgorithm) as failure:
        wrong = "passphrase" in str(failure) or "password" in str(failure)
        raise BundleError("The passphrase is wrong." if wrong else "The file is no private key in PEM.",
                          where=str(path), next_step=f"{PASSPHRASE_VARIABLE} has the passphrase, if it is set."
                          if wrong else "edgekit keys new makes one.") from failure  # fmt: skip
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError("The private key is not of Ed25519.", where=str(path),
                          next_step="edgekit keys new makes one.")  # fmt: skip
    return key


def _secret(passphrase: str) -> bytes:
    """The bytes that were typed or are in the environment, whether or not they are UTF-8: openssl takes those too."""
    return passphrase.encode("utf-8", "surrogateescape")


def _passphrase(path: Path, ask: Callable[[str], str] | None) -> str:
    given = os.environ.get(PASSPHRASE_VARIABLE) or (ask(str(path)) if ask is not None else "")
    if not given:
        raise BundleError("The private key is encrypted, and there is no passphrase.", where=str(path),
                          next_step=f"Set {PASSPHRASE_VARIABLE}.")  # fmt: skip
    return given
