"""Device profiles: what is known of a phone or tablet before it is attached, one TOML file each.

A profile says by which Android properties its device is recognised, what is inside it, and where each of these facts
comes from. It is a description, not a measurement: whatever the attached device reports about itself goes before it.
The grammar is in ``device_profiles/README.md``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edgekit import paths
from edgekit.device import toml_folder
from edgekit.errors import DeviceError
from edgekit.records import Record

_WHAT = "device profile"
MAX_VALUE = 128  # characters of a property; Android bounds most of them to 91

DEVICE = "ro.product.device"
MODEL = "ro.product.model"
SOC_MODEL = "ro.soc.model"
BOARD_PLATFORM = "ro.board.platform"
ABI_LIST = "ro.product.cpu.abilist"
ABI = "ro.product.cpu.abi"
PROPERTIES = (DEVICE, MODEL, SOC_MODEL, BOARD_PLATFORM, ABI_LIST, ABI)
"""The properties that :func:`match` looks at; a transport need not ask a device for more."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*\S)?\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=48, pattern=r"^[a-z0-9][a-z0-9_]*\Z")]
Source = Annotated[str, msgspec.Meta(min_length=10, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
Abi = Literal["arm64-v8a", "armeabi-v7a", "armeabi", "x86_64", "x86"]
Delegate = Literal["xnnpack", "gpu", "nnapi", "npu"]
Ram = Annotated[int, msgspec.Meta(ge=512 * 2**20, le=64 * 2**30)]
Some = Annotated[tuple[Text, ...], msgspec.Meta(max_length=64)]


class Match(Record, frozen=True, kw_only=True):
    """By which values of its properties a device is recognised.

    One listed ``device`` or ``model`` is enough. ``soc_model`` and ``board_platform`` keep look-alikes out: where the
    profile lists values and the device reports one, it must be among them (case aside).
    """

    device: Some = ()
    model: Some = ()
    soc_model: Some = ()
    board_platform: Some = ()


class Soc(Record, frozen=True, kw_only=True):
    """The chip: its name on the market and its maker's part name (``gs201``, ``SM8550``)."""

    name: Text
    part: Text | None = None


class Cluster(Record, frozen=True, kw_only=True):
    """``count`` equal cores; ``max_khz`` is the published ceiling, rounded as it was published."""

    count: Annotated[int, msgspec.Meta(ge=1, le=16)]
    core: Text
    max_khz: Annotated[int, msgspec.Meta(ge=300_000, le=6_000_000)] | None = None


class Runtimes(Record, frozen=True, kw_only=True):
    """The runtimes that can be used, each with the delegates that can be used with it; null: not usable or unknown."""

    executorch: tuple[Delegate, ...] | None = None
    litert: tuple[Delegate, ...] | None = None


class Sources(Record, frozen=True, kw_only=True):
    """Where each fact comes from: for every fact of the profile at least one page, file or repository path."""

    match: tuple[Source, ...] = ()
    soc: tuple[Source, ...] = ()
    clusters: tuple[Source, ...] = ()
    abis: tuple[Source, ...] = ()
    ram_bytes: tuple[Source, ...] = ()
    launch_api: tuple[Source, ...] = ()
    runtimes: tuple[Source, ...] = ()


class Profile(Record, frozen=True, kw_only=True):
    """One device. What could not be confirmed is absent.

    ``clusters`` go from the fastest to the slowest, ``ram_bytes`` are the sizes it was sold with, ``launch_api`` is
    the Android API level it was sold with first.
    """

    name: Name
    label: Text
    kind: Literal["phone", "tablet", "generic"]
    abis: Annotated[tuple[Abi, ...], msgspec.Meta(min_length=1)]
    sources: Sources
    match: Match = Match()
    soc: Soc | None = None
    clusters: Annotated[tuple[Cluster, ...], msgspec.Meta(max_length=8)] = ()
    ram_bytes: Annotated[tuple[Ram, ...], msgspec.Meta(max_length=8)] = ()
    launch_api: Annotated[int, msgspec.Meta(ge=21, le=99)] | None = None
    runtimes: Runtimes | None = None

    def __post_init__(self) -> None:
        """Refuse what the types can't: facts without source, sources without fact, rules that fit the kind badly."""
        if self.kind == "generic" and self.match != Match():
            raise ValueError("a generic profile is matched by its abis, so it has no [match] rules")
        if self.kind != "generic" and not (self.match.device or self.match.model):
            raise ValueError("[match] lists neither a device nor a model")
        for fact in Sources.__struct_fields__:
            present, sourced = getattr(self, fact) not in (None, (), Match()), bool(getattr(self.sources, fact))
            if present != sourced:
                raise ValueError(f"{fact} has no source" if present else f"{fact} has a source, but is not stated")
        lists = (*(getattr(self.match, key) for key in Match.__struct_fields__), self.abis, self.ram_bytes)
        if any(len(set(values)) != len(values) for values in lists):
            raise ValueError("a value is listed twice")


def load(path: Path) -> Profile:
    """The profile in the file ``path``. Raises UsageError: see :func:`edgekit.device.toml_folder.load`."""
    return toml_folder.load(path, Profile, _WHAT)


@cache
def shipped() -> tuple[Profile, ...]:
    """The profiles that come with edgekit, by name. Raises DeviceError: they are missing from the installation."""
    return toml_folder.load_shipped("", Profile, _WHAT)


def known(directory: Path | None = None) -> tuple[Profile, ...]:
    """The shipped profiles and the user's own, by name; the user's go before shipped ones of the same name.

    Args:
        directory: where the user's are, default :func:`edgekit.paths.profiles_dir`; it need not exist.

    Raises:
        UsageError: one of the user's can't be used.
    """
    own = toml_folder.load_all(paths.profiles_dir() if directory is None else directory, Profile, _WHAT)
    merged = {profile.name: profile for profile in (*shipped(), *own)}
    return tuple(merged[name] for name in sorted(merged))


def find(name: str, profiles: Iterable[Profile] | None = None) -> Profile:
    """The profile called ``name``, out of ``profiles`` (default: :func:`known`).

    Raises:
        DeviceError: there is none; the nearest names are in the message and in the fact ``near``.
    """
    by_name = {profile.name: profile for profile in (known() if profiles is None else profiles)}
    if name in by_name:
        return by_name[name]
    near = nearest(name, by_name)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise DeviceError(
        f"There is no device profile {name[:MAX_VALUE]!r}.",
        where=name[:MAX_VALUE],
        next_step=f"{hint}Name a profile of device_profiles/, or the device itself as adb:SERIAL.",
        near=near,
    )


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """Up to three of ``names`` that ``name`` begins or may be a slip of; spaces, dashes and case aside."""
    plain, names = name[:MAX_VALUE].lower().replace("-", "_").replace(" ", "_"), list(names)
    begun = sorted((longer for longer in names if len(plain) > 3 and longer.startswith(plain)), key=len)
    close = difflib.get_close_matches(plain, names, n=3)
    return [*begun, *(other for other in close if other not in begun)][:3]


def match(properties: Mapping[str, str], profiles: Iterable[Profile] | None = None) -> Profile | None:
    """The most specific of ``profiles`` (default: :func:`known`) for a device with these properties, or null.

    A profile that lists the device's codename goes before one that lists its model only, two agreeing properties go
    before one, and a generic profile comes last. The properties are the device's word: each counts as text only, one
    that is no text, too long or with control characters counts as not reported, and unknown ones are not looked at.

    Raises:
        DeviceError: two profiles match equally well.
    """
    reported = {key: text for key in PROPERTIES if (text := _text(properties.get(key)))}
    scored = [(score, profile) for profile in (known() if profiles is None else profiles)
              if (score := _score(profile, reported))]  # fmt: skip
    if not scored:
        return None
    best = max(score for score, _ in scored)
    equal = [profile for score, profile in scored if score == best]
    if len(equal) > 1:
        names = sorted(profile.name for profile in equal)
        raise DeviceError(
            f"The profiles {' and '.join(names)} match the device equally well.",
            where=reported.get(DEVICE, reported.get(MODEL, "")),
            next_step="Tell their [match] rules apart, or remove one of them from your own profiles.",
            profiles=names,
        )
    return equal[0]


def _text(value: object) -> str:
    """A property as text; empty where it can't be taken for one."""
    if not isinstance(value, str) or len(value) > MAX_VALUE or not value.isprintable():
        return ""
    return value.strip()


def _score(profile: Profile, reported: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """How well a profile fits, greater is better; null if it does not. All zero for a generic one that fits."""
    if profile.kind == "generic":
        abis = {abi.strip() for key in (ABI_LIST, ABI) for abi in reported.get(key, "").split(",")}
        return (0, 0, 0, 0) if abis & set(profile.abis) else None
    device = reported.get(DEVICE) in profile.match.device
    model = reported.get(MODEL) in profile.match.model
    if not (device or model):
        return None
    agreeing = 0
    for key, listed in ((SOC_MODEL, profile.match.soc_model), (BOARD_PLATFORM, profile.match.board_platform)):
        if listed and key in reported:
            if reported[key].casefold() not in {value.casefold() for value in listed}:
                return None
            agreeing += 1
    return (1, int(device), int(model), agreeing)
