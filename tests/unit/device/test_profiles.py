from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import msgspec.toml
import pytest

from edgekit.device import profiles, toml_folder
from edgekit.device.profiles import Profile, find, known, load, match, shipped
from edgekit.device.resolve import open_device
from edgekit.errors import DeviceError, UsageError

CHECKOUT = Path(profiles.__file__).resolve().parents[2]
REAL = tuple(profile for profile in shipped() if profile.kind != "generic")
GENERIC = "generic_android_arm64"

GOOD = """
name = "mine"
label = "My phone"
kind = "phone"
abis = ["arm64-v8a"]
ram_bytes = [4_294_967_296]
launch_api = 33

[match]
device = ["mycode"]
model = ["MY-1"]
soc_model = ["SM0001"]

[soc]
name = "Some chip"

[[clusters]]
count = 4
core = "Cortex-A78"
max_khz = 2_400_000

[runtimes]
executorch = ["xnnpack"]

[sources]
match = ["read from the phone with getprop"]
soc = ["https://example.org/chip"]
clusters = ["https://example.org/chip"]
abis = ["read from the phone with getprop"]
ram_bytes = ["https://example.org/phone"]
launch_api = ["https://example.org/phone"]
runtimes = ["it was tried on the phone"]
"""


@pytest.fixture(autouse=True)
def no_profiles_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_PROFILES", str(tmp_path / "none"))


def written(directory: Path, text: str, name: str = "mine") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def properties(profile: Profile, device: str = "", model: str = "") -> dict[str, str]:
    """What a phone of this profile reports, if it is stock."""
    full = {
        "ro.product.device": device,
        "ro.product.model": model,
        "ro.soc.model": next(iter(profile.match.soc_model), ""),
        "ro.board.platform": next(iter(profile.match.board_platform), ""),
        "ro.product.cpu.abilist": ",".join(profile.abis),
    }
    return {key: value for key, value in full.items() if value}


# -- what is shipped ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((CHECKOUT / "device_profiles").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_a_profile_and_survives_a_round_trip(path: Path) -> None:
    profile = load(path)
    assert profile in shipped()
    assert msgspec.convert(msgspec.to_builtins(profile), Profile) == profile
    assert path.stat().st_size < toml_folder.MAX_BYTES / 2, "the bound leaves room for a user's longer file"


def test_the_families_that_are_promised_are_shipped() -> None:
    names = {profile.name for profile in shipped()}
    assert len(REAL) >= 25
    assert {f"pixel{number}" for number in range(4, 10)} <= names
    assert {f"pixel{number}a" for number in range(4, 10)} <= names
    assert {f"galaxy_s2{n}_{soc}" for n in (1, 2, 4) for soc in ("exynos", "snapdragon")} | {"galaxy_s23"} <= names
    assert {"pixel_tablet", "galaxy_tab_s7", GENERIC} <= names
    assert {profile.kind for profile in shipped()} == {"phone", "tablet", "generic"}


def test_the_clusters_of_every_shipped_profile_go_from_fast_to_slow_and_make_whole_chips() -> None:
    for profile in REAL:
        speeds = [cluster.max_khz for cluster in profile.clusters if cluster.max_khz]
        assert speeds == sorted(speeds, reverse=True), profile.name
        assert sum(cluster.count for cluster in profile.clusters) in (8, 9, 10), profile.name


@pytest.mark.parametrize("profile", REAL, ids=lambda profile: profile.name)
def test_every_match_rule_of_a_profile_resolves_to_that_profile(profile: Profile) -> None:
    rules = profile.match
    for device, model in itertools.product((*rules.device, ""), (*rules.model, "")):
        if device or model:
            assert match(properties(profile, device, model)) == profile
    for soc, board in itertools.product(rules.soc_model, rules.board_platform):
        reported = {"ro.product.device": rules.device[0], "ro.soc.model": soc.lower(), "ro.board.platform": board}
        assert match(reported) == profile


def test_no_two_shipped_profiles_can_match_the_same_properties() -> None:
    for one, other in itertools.combinations(REAL, 2):
        for rule in ("device", "model"):
            shared = set(getattr(one.match, rule)) & set(getattr(other.match, rule))
            assert not shared, f"{one.name} and {other.name} both match {rule} {shared}"
    abis = [abi for profile in shipped() if profile.kind == "generic" for abi in profile.abis]
    assert len(set(abis)) == len(abis), "two generic profiles match the same ABI"


def test_the_galaxies_of_one_name_are_told_apart_by_their_codes() -> None:
    assert match({"ro.product.model": "SM-S921B"}) == find("galaxy_s24_exynos")
    assert match({"ro.product.model": "SM-S921U"}) == find("galaxy_s24_snapdragon")
    assert match({"ro.product.device": "e1s", "ro.product.model": "SM-S921X"}) == find("galaxy_s24_exynos")


def test_a_wheel_takes_the_profiles_along_to_where_an_installed_edgekit_reads_them() -> None:
    project = msgspec.toml.decode((CHECKOUT / "pyproject.toml").read_bytes())
    targets = project["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["force-include"]["device_profiles"] == "edgekit/device_profiles"
    assert "/device_profiles" in targets["sdist"]["include"], "a wheel may be built from the source archive"
    assert not (CHECKOUT / "edgekit" / "device_profiles").exists(), "it would hide the folder of the checkout"


# -- matching ----------------------------------------------------------------------------------------------------------


def test_an_unknown_arm64_phone_gets_the_generic_profile_and_any_other_device_none() -> None:
    phone = {"ro.product.device": "nothing_known", "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a"}
    assert match(phone) == find(GENERIC)
    assert match({"ro.product.cpu.abi": "arm64-v8a"}) == find(GENERIC)
    assert match({"ro.product.cpu.abilist": "x86_64,x86"}) is None
    assert match({}) is None


def test_the_codename_goes_before_the_model_and_a_contradicting_chip_rules_a_profile_out() -> None:
    assert match({"ro.product.device": "panther", "ro.product.model": "Pixel 8"}) == find("pixel7")
    other_chip = {"ro.product.device": "panther", "ro.soc.model": "SM8550", "ro.product.cpu.abilist": "arm64-v8a"}
    assert match(other_chip) == find(GENERIC)


@pytest.mark.parametrize(
    "value",
    ["panther" * 99, "panther\x1b[2J", "panther\0", "../panther", "{panther}", "panther.*", " ", None, 7, b"panther"],
)
def test_hostile_property_values_match_nothing(value: object) -> None:
    assert match({"ro.product.device": value, "ro.product.model": value, "other\nkey": value}) is None  # type: ignore[dict-item]


def test_an_overlong_property_counts_as_not_reported() -> None:
    assert match({"ro.product.device": "panther", "ro.soc.model": "x" * 10_000}) == find("pixel7")


def test_two_profiles_that_match_equally_are_refused_by_name(tmp_path: Path) -> None:
    twin = load(written(tmp_path / "p", GOOD.replace('"mine"', '"twin"'), "twin"))
    mine = load(written(tmp_path / "p", GOOD))
    with pytest.raises(DeviceError) as caught:
        match({"ro.product.device": "mycode"}, [mine, twin])
    assert (caught.value.code, caught.value.facts["profiles"]) == (13, ["mine", "twin"])
    other = msgspec.structs.replace(twin, match=msgspec.structs.replace(twin.match, soc_model=("SM0002",)))
    assert match({"ro.product.device": "mycode", "ro.soc.model": "SM0002"}, [mine, other]) == other


# -- finding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slip", "meant"), [("pixel-7", "pixel7"), ("Pixel 7 pro", "pixel7_pro"), ("galaxy_s24", "galaxy_s24_exynos")]
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(slip: str, meant: str) -> None:
    with pytest.raises(DeviceError) as caught:
        find(slip)
    assert caught.value.code == 13
    assert meant in caught.value.facts["near"]
    assert meant in caught.value.next_step


def test_an_absurd_name_is_refused_in_bounded_length() -> None:
    with pytest.raises(DeviceError) as caught:
        find("x" * 1_000_000)
    assert len(str(caught.value.to_dict())) < 1000


def test_a_profile_without_an_attached_device_is_named_as_such() -> None:
    with pytest.raises(DeviceError, match=r"No attached device matches the profile pixel7 \(Google Pixel 7\)"):
        open_device("pixel7")
    with pytest.raises(DeviceError) as caught:
        open_device("pixel-7")
    assert "pixel7" in caught.value.next_step


# -- the user's own ----------------------------------------------------------------------------------------------------


def test_profiles_of_the_user_are_read_and_go_before_shipped_ones_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    written(own, GOOD)
    written(own, GOOD.replace('"mine"', '"pixel7"'), "pixel7")
    monkeypatch.setenv("EDGEKIT_PROFILES", str(own))
    assert find("mine").label == "My phone"
    assert find("pixel7").label == "My phone"
    assert len(known()) == len(shipped()) + 1
    assert match({"ro.product.device": "panther"}) is None
    assert known(tmp_path / "absent") == tuple(sorted(shipped(), key=lambda profile: profile.name))


def test_a_broken_profile_of_the_user_is_named(tmp_path: Path) -> None:
    written(tmp_path / "own", "name = 1", "bad")
    with pytest.raises(UsageError, match=r"bad\.toml") as caught:
        known(tmp_path / "own")
    assert caught.value.code == 2


# -- the grammar -------------------------------------------------------------------------------------------------------


def test_the_example_of_these_tests_is_a_good_profile(tmp_path: Path) -> None:
    profile = load(written(tmp_path / "p", GOOD))
    assert profile.clusters[0].max_khz == 2_400_000
    assert match({"ro.product.model": "MY-1"}, [profile]) == profile


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('label = "My phone"', 'label = "My phone"\ncolour = "red"', "unknown field `colour`"),
        ("[match]", '[match]\nbrand = ["x"]', "unknown field `brand`"),
        ("count = 4", "count = 4\ncache = 1", "unknown field `cache`"),
        ("[runtimes]", "[runtimes]\ntvm = []", "unknown field `tvm`"),
        ("[sources]", '[sources]\nlabel = ["https://example.org"]', "unknown field `label`"),
        ('name = "mine"', 'name = "yours"', "not the file's"),
        ('name = "mine"', 'name = "../mine"', "matching regex"),
        ('kind = "phone"', 'kind = "toaster"', "Invalid enum value"),
        ('kind = "phone"', 'kind = "generic"', "no [match] rules"),
        ('device = ["mycode"]\nmodel = ["MY-1"]', "", "neither a device nor a model"),
        ('device = ["mycode"]', 'device = ["mycode", "mycode"]', "listed twice"),
        ('device = ["mycode"]', 'device = ["my\\u001bcode"]', "matching regex"),
        ('device = ["mycode"]', 'device = [""]', "length >= 1"),
        ('abis = ["arm64-v8a"]', 'abis = ["arm65"]', "Invalid enum value"),
        ('abis = ["arm64-v8a"]', "abis = []", "length >= 1"),
        ("count = 4", "count = 0", ">= 1"),
        ("count = 4", "count = 4.5", "Expected `int`"),
        ("2_400_000", "2_400", ">= 300000"),
        ("2_400_000", "2_400_000_000", "<= 6000000"),
        ("4_294_967_296", "4", ">= 536870912"),
        ("launch_api = 33", "launch_api = 3", ">= 21"),
        ('["xnnpack"]', '["magic"]', "Invalid enum value"),
        ('soc = ["https://example.org/chip"]', "", "soc has no source"),
        ('clusters = ["https://example.org/chip"]', "clusters = []", "clusters has no source"),
        ('match = ["read from the phone with getprop"]', "", "match has no source"),
        ('soc = ["https://example.org/chip"]', 'soc = ["?"]', "length >= 10"),
        ("launch_api = 33", "", "launch_api has a source, but is not stated"),
        ("[sources]", "[source]", "unknown field `source`"),
        ("count = 4", "count = ", "Invalid value"),
        ("count = 4", "count = " + "9" * 5000, "can't be used"),
        ('label = "My phone"', "label = " + "[" * 5000, "can't be used"),
        ('label = "My phone"', "# " + "x" * toml_folder.MAX_BYTES, "larger than"),
    ],
)  # fmt: skip
def test_a_file_that_breaks_the_grammar_is_refused_with_the_reason(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path / "p", GOOD.replace(old, new, 1)))
    assert words in caught.value.message
    assert caught.value.where.endswith("mine.toml")


def test_a_file_without_any_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sources"):
        load(written(tmp_path / "p", GOOD.partition("[sources]")[0]))


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(UsageError, match="No such file"):
        load(path)
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(UsageError, match=r"mine\.toml"):
        load(path)
