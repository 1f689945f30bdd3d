"""The keys that sign bundles, and those of others whose signatures are trusted, in one folder.

That is ``paths.keys_dir()``: ``NAME.pem`` (mode 0600) and ``NAME.pub`` of a key of one's own, ``trusted/NAME.pub`` of
somebody else's.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit import paths
from edgekit.bundle.seal.key import PrivateKey, PublicKey, generate, private_pem, public_pem, read_private, read_public
from edgekit.errors import BundleError, UsageError

DEFAULT_NAME = "default"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)
_SUFFIXES = (".pem", ".pub")
_TRUSTED = "trusted"


@dataclass(frozen=True)
class Entry:
    """One key of the folder: one's ``own``, else somebody's that is trusted; ``path`` is its public half, ``private``
    whether the private half is there too."""

    public: PublicKey
    path: Path
    own: bool
    private: bool

    @property
    def name(self) -> str:
        return self.public.name


def make(name: str = DEFAULT_NAME, passphrase: str | None = None) -> Entry:
    """Make a key of one's own; the private half is encrypted if there is a passphrase.

    Raises:
        UsageError: the name can't be a key's, is taken, or the folder can't be written.
        BundleError: others can write the folder.
    """
    _free(name)
    key = generate(name)
    folder = _folder(make=True)
    _write(folder / f"{name}.pem", private_pem(key, passphrase), 0o600)
    try:
        _write(folder / f"{name}.pub", public_pem(key.public), 0o644)
    except BaseException:
        (folder / f"{name}.pem").unlink(missing_ok=True)
        raise
    return Entry(key.public, folder / f"{name}.pub", own=True, private=True)


def entries() -> tuple[Entry, ...]:
    """Every key of the folder by name, one's own first; none if there is no folder.

    Raises:
        BundleError: one of them is damaged, or others can write the folder.
    """
    folder = _folder()
    own = sorted({path.stem for path in _names(folder, (".pem", ".pub"))})
    return (*(_own(folder, name) for name in own),
            *(Entry(read_public(path, path.stem), path, own=False, private=False)
              for path in sorted(_names(folder / _TRUSTED, (".pub",)))))  # fmt: skip


def load(argument: str, ask: Callable[[str], str] | None = None) -> PrivateKey:
    """The private key to sign with: ``argument`` is a name, or a path (with a slash, or ending with .pem).

    The passphrase of an encrypted one is ``EDGEKIT_KEY_PASSPHRASE``, else what ``ask(path)`` answers
    (:func:`edgekit.cli.keys.ask` for commands).

    Raises:
        BundleError: there is none, others can read it, it is damaged or no Ed25519 key, or the passphrase is wrong.
        UsageError: the argument can't be a key's name.
    """
    if _is_path(argument):
        return read_private(Path(argument), ask)
    return read_private(_folder() / f"{_checked(argument)}.pem", ask, f"edgekit keys new {argument}")


def trusted(arguments: Sequence[str] = ()) -> tuple[PublicKey, ...]:
    """The keys to verify with: those named (each a name, or a path to a public key: with a slash, or ending with .pub)
    and no others; without any, all of the folder, one's own included.

    Raises:
        BundleError: as :func:`entries`; a key that is named is not there or damaged.
        UsageError: an argument can't be a key's name.
    """
    if not arguments:
        return tuple(entry.public for entry in entries())
    return tuple(read_public(Path(text), text) if _is_path(text) else named(text).public for text in arguments)


def named(name: str) -> Entry:
    """The key of that name. Raises BundleError if there is none, UsageError if it can't be a name."""
    folder = _folder()
    _checked(name)
    if any((folder / f"{name}{suffix}").exists() for suffix in _SUFFIXES):
        return _own(folder, name)
    path = folder / _TRUSTED / f"{name}.pub"
    if not path.exists():
        raise BundleError(f"There is no key {name!r}.", where=str(folder),
                          next_step="edgekit keys list shows those there are.")  # fmt: skip
    return Entry(read_public(path, name), path, own=False, private=False)


def trust(file: Path, name: str | None = None) -> Entry:
    """Trust somebody else's public key from now on; its name is the file's without ``.pub`` if none is given.

    Raises:
        BundleError: the file is no Ed25519 public key, or is a private one.
        UsageError: the name can't be a key's or is another key's, or the key is known by another name.
    """
    stem = file.name.removesuffix(".pub") if name is None else name
    # What the file is goes before its name: that of a private key is no fault of the name.
    public = read_public(file, stem)
    _checked(stem)
    for entry in entries():
        if entry.public == public:
            if entry.name == public.name:
                return entry
            raise UsageError(f"This key is known as {entry.name!r}.", where=str(file),
                             next_step=f"edgekit keys show {entry.name}")  # fmt: skip
    _free(public.name)
    path = _folder(make=True) / _TRUSTED / f"{public.name}.pub"
    _make_folder(path.parent)
    _write(path, public_pem(public), 0o644)
    return Entry(public, path, own=False, private=False)


def forget(name: str) -> Entry:
    """No longer trust somebody's key.

    Raises:
        BundleError: there is no such key.
        UsageError: it is one's own, can't be a name, or can't be removed.
    """
    entry = named(name)
    if entry.own:
        raise UsageError(f"{name!r} is a key of your own, which nothing could bring back.", where=str(entry.path),
                         next_step=f"If that is meant, delete {entry.path.with_suffix('.pem')} and the .pub beside "
                         "it.")  # fmt: skip
    try:
        entry.path.unlink()
    except OSError as failure:
        raise _unwritable(failure, entry.path) from failure
    return entry


def _own(folder: Path, name: str) -> Entry:
    """One's own key by its name; from the private half if the public one is not there and can be made again."""
    path, private = folder / f"{name}.pub", folder / f"{name}.pem"
    public = read_public(path, name) if path.exists() else load(name).public
    return Entry(public, path, own=True, private=private.exists())


def _is_path(argument: str) -> bool:
    return "/" in argument or argument.endswith(_SUFFIXES)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name.endswith(_SUFFIXES):
        raise UsageError(f"{name!r} can't be the name of a key.", where="NAME",
                         next_step="A name has 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with . or - or end with "
                         ".pem or .pub; a file is given as ./FILE.")  # fmt: skip
    return name


def _free(name: str) -> None:
    """Raises UsageError if the name is taken, or can't be one."""
    _checked(name)
    folder = _folder()
    taken = [folder / f"{name}.pem", folder / f"{name}.pub", folder / _TRUSTED / f"{name}.pub"]
    for path in taken:
        if os.path.lexists(path):
            raise UsageError(f"There is a key {name!r} already; it is not overwritten.", where=str(path),
                             next_step="Choose another name.")  # fmt: skip


def _folder(make: bool = False) -> Path:
    """The folder of the keys. Raises BundleError if others can write it: they could add a key to be trusted."""
    folder = paths.keys_dir()
    if make:
        _make_folder(folder)
    for place in (folder, folder / _TRUSTED):
        try:
            found = place.stat()
        except OSError:
            continue  # there is none, or what reads it next says why not
        if found.st_mode & 0o022:
            raise BundleError(f"Others can write the folder of the keys (mode {stat.S_IMODE(found.st_mode):04o}).",
                              where=str(place), next_step=f"chmod 700 {place}, and look at what is in it.")  # fmt: skip
    return folder


def _make_folder(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as failure:
        raise _unwritable(failure, folder) from failure


def _names(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix in suffixes and _NAME.fullmatch(path.stem)]
    except FileNotFoundError:
        return []
    except OSError as failure:
        raise BundleError(f"The keys can't be read: {failure.strerror}.", where=str(folder),
                          next_step="EDGEKIT_KEYS names the folder.") from failure  # fmt: skip


def _write(path: Path, data: bytes, mode: int) -> None:
    """Make a file that is not there yet; it never has more rights than ``mode``."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except OSError as failure:
        raise _unwritable(failure, path) from failure
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)  # whatever the umask took away
    except BaseException as failure:
        path.unlink(missing_ok=True)
        if isinstance(failure, OSError):
            raise _unwritable(failure, path) from failure
        raise


def _unwritable(failure: OSError, path: Path) -> UsageError:
    return UsageError(f"The key can't be kept: {failure.strerror}.", where=str(path),
                      next_step="Set EDGEKIT_KEYS to a folder that you can write.")  # fmt: skip
