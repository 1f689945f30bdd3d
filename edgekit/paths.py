"""Where edgekit keeps things on this machine. Nothing is created by asking."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Conversions and exports; safe to delete. ``EDGEKIT_CACHE`` overrides it."""
    return Path(os.environ.get("EDGEKIT_CACHE") or platformdirs.user_cache_dir("edgekit", appauthor=False))


def data_dir() -> Path:
    """Results that can't be made again."""
    return Path(os.environ.get("EDGEKIT_DATA") or platformdirs.user_data_dir("edgekit", appauthor=False))


def profiles_dir() -> Path:
    """The user's own device profiles. ``EDGEKIT_PROFILES`` overrides it."""
    config = Path(platformdirs.user_config_dir("edgekit", appauthor=False))
    return Path(os.environ.get("EDGEKIT_PROFILES") or config / "device_profiles")


def adb_key() -> Path:
    """The private key by which phones know this computer. ``EDGEKIT_ADB_KEY`` overrides it."""
    config = Path(platformdirs.user_config_dir("edgekit", appauthor=False))
    return Path(os.environ.get("EDGEKIT_ADB_KEY") or config / "adbkey")


def keys_dir() -> Path:
    """The keys that sign bundles, and those of others that are trusted. ``EDGEKIT_KEYS`` overrides it."""
    config = Path(platformdirs.user_config_dir("edgekit", appauthor=False))
    return Path(os.environ.get("EDGEKIT_KEYS") or config / "keys")


def virtual_phones_dir() -> Path:
    """What runs of the virtual phones, one file each."""
    return data_dir().resolve() / "virtual"


def store_url() -> str:
    """SQLAlchemy URL of the results store: ``EDGEKIT_STORE``, or an SQLite file under the user's data directory."""
    return os.environ.get("EDGEKIT_STORE") or f"sqlite:///{data_dir() / 'results.sqlite'}"


def mcu_dir() -> Path:
    """The C sources for microcontrollers: in the installed package, or in the checkout that the package lies in."""
    package = Path(__file__).resolve().parent
    installed = package / "_mcu"
    return installed if installed.is_dir() else package.parent / "mcu"
