from __future__ import annotations

from typing import Any

import pytest

from edgekit.bundle.gather.licences import NONE_STATED, licence_of, redistributable, settled
from edgekit.bundle.records import Licence
from edgekit.errors import BundleError, UsageError
from edgekit.model import zoo
from edgekit.records import Exported, Golden


def exported(spec: str, weights: str = "random, seed 0") -> Exported:
    golden = Golden(sha256="0", count=1, source="", inputs=(), outputs=())
    fields: dict[str, Any] = {"sha256": "0", "name": "net", "inputs": (), "outputs": (), "parameters": 1, "program": ""}
    return Exported(**fields, spec=spec, weights=weights, golden=golden)


@pytest.mark.parametrize(
    ("spec", "weights", "name", "may"),
    [
        ("zoo:mobilenetv2_100", "random, seed 0", "Apache-2.0", True),
        ("zoo:mobilenetv2_100?num_classes=10", "pretrained, timm", "Apache-2.0", True),
        ("timm:mobilenetv2_100", "random, seed 0", "Apache-2.0", True),
        ("timm:mobilenetv2_100.ra_in1k?num_classes=10", "pretrained, timm", "Apache-2.0", True),
        # One architecture, and other weights by the tag.
        ("timm:resnet18.fb_ssl_yfcc100m_ft_in1k", "pretrained, timm", "CC-BY-NC-4.0", False),
        ("timm:resnet18.a1_in1k", "pretrained, timm", "Apache-2.0", True),
        ("timm:regnety_004", "random, seed 0", "BSD-3-Clause", True),
        ("zoo:tv_shufflenet_v2_x1_0", "random, seed 0", "BSD-3-Clause", True),
        ("zoo:emo_1m", "random, seed 0", NONE_STATED, None),
        ("zoo:mobilenetv2_100", "file my.pt", "Apache-2.0", None),
        ("my.pt", "file my.pt, arch timm:mobilenetv2_100", "Apache-2.0", None),
        ("my.pt", "file my.pt", NONE_STATED, None),
        ("nets.py:mobilenetv2_100", "from nets.py", NONE_STATED, None),
        ("timm:no_such_model", "random, seed 0", NONE_STATED, None),
    ],
)
def test_the_zoo_knows_the_licences_of_its_models(spec: str, weights: str, name: str, may: bool | None) -> None:
    found = licence_of(exported(spec, weights), None)
    assert (found.name, found.redistributable, found.accepted) == (name, may, False)
    assert found.source and ("the weights are a file's" in found.source) == (name != NONE_STATED and may is None)


def test_a_file_made_elsewhere_has_no_licence() -> None:
    assert licence_of(None, None) == Licence(name=NONE_STATED, source="the model's source states none")


def test_the_users_word_goes_before_the_zoos() -> None:
    assert licence_of(exported("zoo:mobilenetv2_100"), "CC-BY-NC-4.0") == Licence(
        name="CC-BY-NC-4.0", source="command line", redistributable=False
    )


@pytest.mark.parametrize(
    "text", ["MIT", "Apache-2.0", "LicenseRef-our.own", "(MIT OR Apache-2.0) AND CC-BY-4.0", "GPL-2.0+ WITH Bison"]
)
def test_spdx_expressions_are_taken(text: str) -> None:
    assert licence_of(None, text).name == text


@pytest.mark.parametrize("text", ["", " MIT", "MIT and BSD", "MIT OR", "a\nb", 'MIT"', "x" * 300, "MIT*/"])
def test_what_is_no_spdx_expression_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no SPDX licence expression"):
        licence_of(None, text)


@pytest.mark.parametrize(
    ("spdx", "may"),
    [("MIT", True), ("ISC", True), ("CC-BY-NC-4.0", False), ("CC-BY-NC-SA-2.0", False), ("AGPL-3.0", None),
     ("LicenseRef-mine", None), ("MIT OR Apache-2.0", None)],
)  # fmt: skip
def test_only_what_is_known_is_said_to_be_redistributable(spdx: str, may: bool | None) -> None:
    assert redistributable(spdx) is may


def test_every_licence_of_the_zoo_is_settled() -> None:
    for entry in zoo.entries():
        found = licence_of(exported(f"zoo:{entry.name}"), None)
        assert (found.name, found.redistributable) == (entry.licence, entry.redistributable)


def test_a_licence_that_forbids_redistribution_has_to_be_accepted() -> None:
    forbids = Licence(name="CC-BY-NC-4.0", source="command line", redistributable=False)
    with pytest.raises(BundleError, match=r"The licence of net \(CC-BY-NC-4\.0.*passed on") as caught:
        settled(forbids, "net", False)
    assert "--accept-licence" in caught.value.next_step and caught.value.facts["licence"] == "CC-BY-NC-4.0"
    accepted, (warning,) = settled(forbids, "net", True)
    assert accepted.accepted and accepted.redistributable is False and accepted.name == forbids.name
    assert "--accept-licence was given" in warning


def test_what_is_to_be_looked_up_is_a_warning() -> None:
    assert settled(Licence(name="MIT", source="x", redistributable=True), "net", True)[1] == ()
    (unknown,) = settled(Licence(name=NONE_STATED, source="x"), "net", False)[1]
    assert unknown.startswith("Nothing states the licence of net") and "--licence" in unknown
    (own,) = settled(Licence(name="LicenseRef-mine", source="command line"), "net", False)[1]
    assert "LicenseRef-mine" in own and "Look up" in own
