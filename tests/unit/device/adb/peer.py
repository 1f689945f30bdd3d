"""A device made of a script, for what a real adbd can't be made to do: ask for keys, break the protocol, dribble."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from edgekit.device.adb import messages
from edgekit.device.adb.connection import Connection, Wire
from edgekit.device.adb.direct import DirectLink, connect_tcp
from edgekit.device.adb.link import Patience
from edgekit.device.adb.messages import AUTH, AUTH_TOKEN, CLSE, CNXN, OKAY, OPEN, WRTE, Header
from edgekit.device.adb.sockets import BoundedSocket

QUICK = Patience(ask_s=0.1, notice_s=0.2, limit_s=0.6)
BANNER = b"device::ro.product.name=peer;features=shell_v2,cmd\0"
_HEADER = struct.Struct("<6I")


class Peer:
    """The device's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.verify_checksums = False

    def send(self, command: int, arg0: int, arg1: int, data: bytes = b"") -> None:
        self.socket.sendall(messages.pack(command, arg0, arg1, data, with_checksum=True) + data)

    def read(self) -> tuple[Header, bytes]:
        header = messages.unpack(self.exactly(24))
        data = self.exactly(header.length)
        if self.verify_checksums:
            assert header.checksum == sum(data) & 0xFFFFFFFF
        return header, data

    def expect(self, command: int) -> tuple[Header, bytes]:
        header, data = self.read()
        assert header.command == command, (header, data[:100])
        return header, data

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def accept(self, banner: bytes = BANNER, version: int = messages.VERSION, payload: int = 1 << 20) -> None:
        """Let the host in without a key."""
        self.expect(CNXN)
        self.send(CNXN, version, payload, banner)

    def service(self, identity: int = 7) -> tuple[int, bytes]:
        """Accept the next service: the host's id and the service's name."""
        header, data = self.expect(OPEN)
        self.send(OKAY, identity, header.arg0)
        return header.arg0, data

    def write(self, host_id: int, data: bytes, identity: int = 7) -> None:
        """Send data and wait until they are acknowledged."""
        self.send(WRTE, identity, host_id, data)
        assert self.expect(OKAY)[0].arg1 == identity

    def refuse_all(self) -> None:
        """Refuse every further service, as the sign of life that a patient host asks for."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                header, _ = self.read()
                if header.command == OPEN:
                    self.send(CLSE, 0, header.arg0)

    def wait_for_end(self) -> None:
        """Until the host hangs up."""
        while self.socket.recv(1 << 16):
            pass

    def authenticate(self, accepts: Callable[[bytes, bytes], bool]) -> bytes | None:
        """Send tokens until a signature is right: None; or until a public key is offered: that."""
        self.expect(CNXN)
        while True:
            token = os.urandom(20)
            self.send(AUTH, AUTH_TOKEN, 0, token)
            header, data = self.expect(AUTH)
            if header.arg0 == messages.AUTH_PUBLIC_KEY:
                return data
            assert header.arg0 == messages.AUTH_SIGNATURE
            if accepts(token, data):
                return None


Script = Callable[[Peer], None]


@contextlib.contextmanager
def device(*scripts: Script) -> Iterator[tuple[str, int]]:
    """A device that plays one script per connection; the address. What fails in a script fails the test."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    failures: list[Exception] = []

    def serve() -> None:
        for script in scripts:
            connection, _ = listener.accept()
            connection.settimeout(10)
            with connection:
                try:
                    script(Peer(connection))
                except (EOFError, ConnectionError):
                    pass  # the host hung up
                except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
                    failures.append(error)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
        thread.join(15)
        assert not thread.is_alive(), "the script waits for what the host never sends"
    finally:
        listener.close()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def linked(script: Script, patience: Patience = QUICK, **accept: object) -> Iterator[DirectLink]:
    """A link to a device that lets the host in and then plays the script."""

    def whole(peer: Peer) -> None:
        peer.accept(**accept)  # type: ignore[arg-type]
        script(peer)

    with device(whole) as (host, port):
        link = connect_tcp(host, port, patience=patience, say=print)
        try:
            yield link
        finally:
            link.close()


def pair() -> tuple[Connection, Peer]:
    """A connection past its handshake, and its device."""
    near, far = socket.socketpair()
    far.settimeout(10)
    # A UNIX socket has no TCP_NODELAY to set.
    wire = Wire(_Local(near), "peer")
    wire.with_checksum = False
    return Connection(wire, "peer", 1 << 20), Peer(far)


class _Local(BoundedSocket):
    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection


def verifier(key: rsa.RSAPublicKey) -> Callable[[bytes, bytes], bool]:
    """What adbd does with a signature: RSA over the token, which stands for a SHA-1."""

    def accepts(token: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, token, padding.PKCS1v15(), Prehashed(hashes.SHA1()))
        except InvalidSignature:
            return False
        return True

    return accepts


def public_of(path: Path) -> rsa.RSAPublicKey:
    """The public half of a key file."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.public_key()


def nobody(_token: bytes, _signature: bytes) -> bool:
    """No signature is right."""
    return False
