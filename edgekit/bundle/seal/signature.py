"""The signature of a manifest: Ed25519 (RFC 8032) over ``DOMAIN`` and the bytes of ``manifest.json``.

The domain keeps a signature of anything else from being one of a bundle.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgekit.bundle.seal import canonical
from edgekit.bundle.seal.key import PUBLIC_BYTES, SIGNATURE_BYTES, PrivateKey, PublicKey
from edgekit.bundle.seal.manifest import SIGNATURE
from edgekit.errors import BundleError
from edgekit.records import SCHEMA, Record

DOMAIN = b"edgekit bundle manifest 1\n"
MAX_BYTES = 4096


class Signature(Record, frozen=True, kw_only=True):
    """``manifest.json.sig``. ``public_key`` (32 bytes) and ``signature`` (64) are base64 in JSON; ``key_id`` is the
    first 16 hex digits of the public key's sha256."""

    schema: int = SCHEMA
    algorithm: Literal["ed25519"] = "ed25519"
    key_id: str
    public_key: bytes
    signature: bytes

    @property
    def key(self) -> PublicKey:
        """The key that is said to have signed; whether it is trusted is for the caller to find out."""
        return PublicKey(self.public_key)


_DECODER = msgspec.json.Decoder(Signature)


def sign(manifest: bytes, key: PrivateKey) -> bytes:
    """The content of ``manifest.json.sig``; the same for the same manifest and key."""
    public = key.public
    return canonical.encode(
        Signature(key_id=public.key_id, public_key=public.raw, signature=key.sign(DOMAIN + manifest))
    )


def verified(data: bytes, manifest: bytes) -> Signature:
    """Read ``manifest.json.sig`` and check it against the manifest's bytes.

    Raises:
        BundleError: it is damaged, or not the signature of this manifest by the key in it.
    """
    found = canonical.decode(data, _DECODER, SIGNATURE)
    sizes = len(found.public_key), len(found.signature)
    if found.schema != SCHEMA or sizes != (PUBLIC_BYTES, SIGNATURE_BYTES) or found.key_id != found.key.key_id:
        raise BundleError(f"{SIGNATURE} is damaged: its fields do not fit each other.", where=SIGNATURE,
                          next_step=canonical.AGAIN)  # fmt: skip
    if not found.key.verifies(found.signature, DOMAIN + manifest):
        raise BundleError(f"{SIGNATURE} is not the signature of this manifest.", where=SIGNATURE,
                          next_step=canonical.AGAIN)  # fmt: skip
    return found
