from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from edgekit.bundle import make as making
from edgekit.bundle.gather.parts import without_folders
from edgekit.bundle.make import GENERATORS, generator_of, make, manifest_of, next_step, options_of, recipe_of
from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.records import Runtime, Target
from edgekit.bundle.request import BundleRequest, for_models, source_texts
from edgekit.bundle.seal.verify import check
from edgekit.errors import BundleError, UsageError
from edgekit.records import Preprocess, TensorSpec
from tests.unit.bundle.kept import Kept, choice, write_choice
from tests.unit.bundle.made import digest


class Plain:
    """A target that takes the files as they are."""

    formats = ("litert", "onnx")
    options = MappingProxyType({"delivery": "assets"})

    def check(self, recipe: Recipe) -> None:
        if recipe.identifier == "forbidden":
            raise BundleError("No.", where="here", next_step="Ask again.")

    def content(self, recipe: Recipe) -> Content:
        members = [(part, one) for part in recipe.parts for one in part.members]
        files = {f"{part.model.identifier}/{one.variant.id}": one.path for part, one in members}
        runtimes = (Runtime(name="LiteRT", version="2.3", licence="Apache-2.0", source="here", inside=True),)
        return Content({**files, "README.md": b"hello\n"}, runtimes, ("it was not built",))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Plain:
    made = Plain()
    monkeypatch.setattr(making, "generator_of", lambda target: made)
    return made


Ask = Callable[..., BundleRequest]


@pytest.fixture
def ask(kept: Kept) -> Ask:
    def request(*sources: object, target: Target = "android", **changes: Any) -> BundleRequest:
        for name in ("labels", "licences", "preprocess"):
            changes[name] = for_models(changes.get(name))
        return BundleRequest(sources=source_texts([str(one) for one in sources]), target=target, cache=kept.cache.root,
                             **{"output": kept.folder / "out", **changes})  # fmt: skip

    return request


def recipe(kept: Kept, request: BundleRequest) -> Recipe:
    return recipe_of(request, Plain(), {}, kept.store)


def refused(kept: Kept, request: BundleRequest, text: str, kind: type[Exception] = BundleError) -> Any:
    with pytest.raises(kind, match=text) as caught:
        recipe(kept, request)
    assert caught.value.where and caught.value.next_step
    return caught.value


# -- the whole way -----------------------------------------------------------------------------------------------------


def test_a_bundle_holds_its_files_and_all_that_is_known_of_them(kept: Kept, ask: Ask, plain: Plain) -> None:
    artifact = kept.convert(kept.export(spec="zoo:mobilenetv2_100"))
    measured = kept.measure(artifact)
    made = make(ask(artifact.path), kept.store)
    manifest = made.manifest
    assert manifest.options == {"delivery": "assets"} and manifest.warnings == ("it was not built",)
    assert [one.path for one in manifest.files] == ["README.md", "net/litert_fp32"]
    (model,) = manifest.models
    (variant,) = model.variants
    assert (model.name, model.licence.name, model.warnings) == ("net", "Apache-2.0", ())
    assert variant.artifact_sha256 == artifact.sha256 and variant.parity.passed is True
    assert [one.measurement_id for one in variant.evidence] == [measured.id] == [model.devices[0].measurement_id]
    assert (kept.folder / "out/net/litert_fp32").read_bytes() == Path(artifact.path).read_bytes()
    assert check(kept.folder / "out").manifest_sha256 == made.manifest_sha256 and made.key_id is None


def test_two_runs_make_the_same_bytes(kept: Kept, ask: Ask, plain: Plain) -> None:
    exported = kept.export()
    files = [kept.convert(exported), kept.convert(exported, "onnx")]
    kept.measure(files[1])
    sources = [f"net={one.path}" for one in files]
    made = [make(ask(*sources, output=kept.folder / name), kept.store) for name in ("a", "b")]
    assert made[0].manifest_sha256 == made[1].manifest_sha256
    a, b = (
        {p.relative_to(kept.folder / name): p.read_bytes() for p in (kept.folder / name).rglob("*") if p.is_file()}
        for name in ("a", "b")
    )
    assert a == b and len(a) > 3


def test_what_the_generator_refuses_is_not_written(kept: Kept, ask: Ask, plain: Plain) -> None:
    artifact = kept.convert(kept.export())
    with pytest.raises(BundleError, match=r"^No\.$"):
        make(ask(artifact.path, name="forbidden"), kept.store)
    assert not (kept.folder / "out").exists()


def test_a_file_that_changes_meanwhile_is_not_bundled(
    kept: Kept, ask: Ask, plain: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = kept.convert(kept.export())
    monkeypatch.setattr(plain, "check", lambda recipe: Path(artifact.path).write_bytes(b"other"))
    with pytest.raises(BundleError, match="not the one that was converted"):
        make(ask(artifact.path), kept.store)
    assert not (kept.folder / "out").exists()


# -- models and variants -----------------------------------------------------------------------------------------------


def test_sources_of_one_name_are_variants_and_others_models(kept: Kept, ask: Ask) -> None:
    exported = kept.export()
    first, second = kept.convert(exported), kept.convert(exported, "onnx")
    other = kept.convert(kept.export("other", seed=1))
    made = recipe(kept, ask(f"mine={second.path}", other.path, f"mine={first.path}"))
    assert [(p.model.name, [m.variant.id for m in p.members]) for p in made.parts] == [
        ("mine", ["onnx_fp32", "litert_fp32"]), ("other", ["litert_fp32"]),
    ]  # fmt: skip
    assert (made.name, made.identifier) == ("models", "models")
    assert recipe(kept, ask(first.path)).name == "net"
    assert recipe(kept, ask(first.path, name="Müller's net")).identifier == "muller_s_net"


def test_variants_of_one_format_are_told_apart(kept: Kept, ask: Ask) -> None:
    exported = kept.export()
    files = [kept.convert(exported, content=str(number).encode()) for number in range(2)]
    (part,) = recipe(kept, ask(*(f"net={one.path}" for one in files))).parts
    assert [one.id for one in part.model.variants] == ["litert_fp32", "litert_fp32_2"]


@pytest.mark.parametrize(
    ("names", "text"),
    [(("net", "net"), "Two models are called net"), (("my net", "My-Net"), "my net and My-Net have one name"),
     (("MobileNet", "mobile_net"), "have one name"), (("class", "model_class"), "have one name"),
     (("日本", "中国"), "have one name")],
)  # fmt: skip
def test_names_that_would_be_one_in_code_are_refused(kept: Kept, ask: Ask, names: tuple[str, str], text: str) -> None:
    files = [kept.convert(kept.export(name, sha256=digest(f"{n}"))) for n, name in enumerate(names)]
    error = refused(kept, ask(*(one.path for one in files)), text)
    assert error.facts["names"] == list(names) and "NAME=SOURCE" in error.next_step
    assert len(recipe(kept, ask(f"a={files[0].path}", f"b={files[1].path}")).parts) == 2


def test_a_named_source_is_no_variant_of_an_unnamed_one(kept: Kept, ask: Ask) -> None:
    exported = kept.export()
    first, second = kept.convert(exported), kept.convert(exported, "onnx")
    refused(kept, ask(first.path, f"net={second.path}"), "Two models are called net")
    refused(kept, ask(f"net={second.path}", first.path), "Two models are called net")


def test_a_file_that_is_chosen_for_two_devices_is_one_variant(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export(), stored=True)
    places = [{}, {"device": "galaxy_s23", "device_name": "Galaxy S23", "soc": "SM8550", "threads": 4}]
    measured = [kept.measure(artifact, **place) for place in places]
    files = [write_choice(kept.folder / f"{m.device}.json", choice(artifact, m, threads=m.threads)) for m in measured]
    (part,) = recipe(kept, ask(*(f"net={one}" for one in files))).parts
    assert [one.id for one in part.model.variants] == ["litert_fp32"] and part.model.variants[0].threads == 1
    assert [(row.device_name, row.threads) for row in part.model.devices] == [("Galaxy S23", 4), ("Pixel 7", 1)]


def test_variants_take_and_give_the_same(kept: Kept, ask: Ask) -> None:
    first = kept.convert(kept.export())
    other = kept.convert(kept.export("other", inputs=(TensorSpec(name="x", shape=(1, 3, 4, 4)),)))
    error = refused(kept, ask(f"net={first.path}", f"net={other.path}"), "Two variants of net have different inputs")
    assert "litert_fp32_2 has float32 [1, 3, 4, 4]" in error.message
    renamed = kept.convert(kept.export("third", inputs=(TensorSpec(name="photo", shape=(1, 3, 8, 8)),)))
    (part,) = recipe(kept, ask(f"net={first.path}", f"net={renamed.path}")).parts
    assert [m.variant.contract.inputs[0].identifier for m in part.members] == ["image", "image"]
    assert [m.variant.contract.inputs[0].name for m in part.members] == ["image", "photo"]


def test_a_format_that_the_target_does_not_take_is_refused(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export(), "executorch")
    error = refused(kept, ask(artifact.path), "A bundle for android takes litert or onnx files; .* is executorch")
    assert error.next_step == "Convert the model with edgekit convert --to litert,onnx."


def test_an_artifacts_name_that_can_be_no_models_is_refused(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export(), model="\n")
    refused(kept, ask(artifact.path), "can't be a name", UsageError)
    assert recipe(kept, ask(f"net={artifact.path}")).parts[0].model.name == "net"


def test_without_a_source_nothing_is_made(kept: Kept, ask: Ask) -> None:
    refused(kept, ask(), "No source was given", UsageError)


# -- what the user says ------------------------------------------------------------------------------------------------


def test_labels_are_for_all_models_or_for_one(kept: Kept, ask: Ask) -> None:
    first, second = kept.convert(kept.export()), kept.convert(kept.export("other", seed=1))
    labels = kept.folder / "labels.txt"
    labels.write_text("cat\ndog\nbird\n")
    both = recipe(kept, ask(first.path, second.path, labels=labels))
    one = recipe(kept, ask(first.path, second.path, labels={"other": labels}))
    found = [[p.members[0].variant.contract.labels for p in made.parts] for made in (both, one)]
    assert found == [[("cat", "dog", "bird")] * 2, [None, ("cat", "dog", "bird")]]
    labels.write_text("cat\ndog\n")
    refused(kept, ask(first.path, labels=labels), "net has 3 classes .* and 2 labels")


def test_an_option_for_a_model_that_is_not_there_is_refused(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export())
    error = refused(kept, ask(artifact.path, licences={"nett": "MIT"}), "There is no model nett", UsageError)
    assert error.where == "--licence" and error.next_step == "Its models are net."


def test_an_option_that_is_given_twice_is_refused(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export())
    request = ask(artifact.path)
    twice = BundleRequest(**{**vars(request), "licences": for_models("MIT") + for_models("ISC")})
    refused(kept, twice, "--licence is given twice for all models", UsageError)


def test_a_forbidding_licence_is_refused_unless_accepted(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export())
    refused(kept, ask(artifact.path, licences="CC-BY-NC-4.0"), "does not let it be passed on")
    (part,) = recipe(kept, ask(artifact.path, licences="CC-BY-NC-4.0", accept_licence=True)).parts
    assert part.model.licence.accepted and "--accept-licence was given" in part.model.warnings[0]


def test_preprocessing_is_the_models_unless_the_user_says_another(kept: Kept, ask: Ask) -> None:
    stated = Preprocess(height=8, width=8, interpolation="bicubic", source="its config")
    artifact = kept.convert(kept.export(preprocess=stated))
    assert recipe(kept, ask(artifact.path)).parts[0].members[0].variant.contract.preprocess == stated
    own = kept.folder / "own.toml"
    own.write_text('height = 8\nwidth = 8\ninterpolation = "nearest"\n')
    made = recipe(kept, ask(artifact.path, preprocess=own)).parts[0].members[0].variant.contract.preprocess
    assert made is not None and (made.interpolation, made.source) == ("nearest", "command line")
    own.write_text("height = 9\nwidth = 8\n")
    refused(kept, ask(artifact.path, preprocess=own), "makes images of 9 x 8; net takes 8 x 8")


def test_preprocessing_that_no_other_language_can_do_is_left_out_with_a_warning(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export(preprocess=Preprocess(height=8, width=8, interpolation="lanczos")))
    (part,) = recipe(kept, ask(artifact.path)).parts
    assert part.members[0].variant.contract.preprocess is None
    assert any(text.startswith("net comes without preprocessing") for text in part.model.warnings)


def test_a_model_that_takes_no_image_has_no_preprocessing(kept: Kept, ask: Ask) -> None:
    flat = kept.export(preprocess=Preprocess(height=8, width=8), inputs=(TensorSpec(name="x", shape=(1, 5)),))
    (part,) = recipe(kept, ask(kept.convert(flat).path)).parts
    assert part.members[0].variant.contract.preprocess is None


def test_variants_that_are_preprocessed_differently_are_refused(kept: Kept, ask: Ask) -> None:
    files = [
        kept.convert(kept.export(name, preprocess=Preprocess(height=8, width=8, interpolation=name)))
        for name in ("bilinear", "nearest")
    ]
    refused(kept, ask(*(f"net={one.path}" for one in files)), "variants of net are preprocessed in different ways")


# -- doubts ------------------------------------------------------------------------------------------------------------


def test_what_is_in_doubt_is_in_the_manifest(kept: Kept, ask: Ask) -> None:
    exported = kept.export()
    artifact = kept.convert(exported, judged=False, warnings=("calibrated on noise.",))
    kept.judge(artifact, exported, passed=None, reason="not judged yet", tolerance=None)
    (part,) = recipe(kept, ask(artifact.path)).parts
    assert part.model.warnings == (
        "Nothing states the licence of net: look up whether it may be passed on, and name it with --licence.",
        "net (litert_fp32) was not compared with the PyTorch model: not judged yet.",
        "net (litert_fp32): calibrated on noise.",
        "There is no measurement of net (litert_fp32) in the store.",
    )
    tolerance = part.members[0].variant.parity.tolerance
    assert tolerance is not None and tolerance.precision == "fp32"


def test_a_tie_is_said(kept: Kept, ask: Ask) -> None:
    artifact = kept.convert(kept.export(), stored=True)
    other = choice(kept.convert(kept.export("other", seed=2))).choice
    made = choice(artifact, kept.measure(artifact, threads=4), status="tie", ties=(other,), threads=4)
    (part,) = recipe(kept, ask(write_choice(kept.folder / "c.json", made))).parts
    assert any("is a tie: the data can't tell" in text for text in part.model.warnings)
    assert part.model.variants[0].threads == 4


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", GENERATORS)
def test_every_target_has_a_generator_and_a_next_step(target: Target) -> None:
    generator = generator_of(target)
    assert generator.formats and all(isinstance(value, str) for value in generator.options.values())
    assert "/there" in next_step(target, Path("/there"))


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError, match="There is no target 'windows'"):
        generator_of("windows")


def test_options_of_another_target_are_refused(ask: Ask) -> None:
    assert options_of(ask("x", options={"delivery": "pack"}), Plain()) == {"delivery": "pack"}
    with pytest.raises(UsageError, match="--board does not go with --for android") as caught:
        options_of(ask("x", options={"board": "rp2040"}), Plain())
    assert "android has --delivery" in caught.value.next_step
    with pytest.raises(UsageError, match="--compute-units does not go with --for android"):
        options_of(ask("x", compute_units="cpu"), Plain())


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, edgekit.bundle.make; print(sorted({'torch', 'coremltools', 'onnx'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8 of 9 images in /home/me/photos, mean 0.5", "8 of 9 images in photos, mean 0.5"),
        ("from ../nets/tiny.py:net, seed 0", "from tiny.py:net, seed 0"),
        ("from ~/nets.py:net; file /a.pt", "from nets.py:net; file a.pt"),
        ("pretrained, https://host.example/a/b.pt", "pretrained, https://host.example/a/b.pt"),
        ("input x: 3 / 4 and/or nets/tiny.py:net", "input x: 3 / 4 and/or nets/tiny.py:net"),
        ("in /data/", "in data/"),
    ],
)
def test_folders_are_left_out_of_texts(text: str, expected: str) -> None:
    assert without_folders(text) == expected


def test_nothing_in_the_manifest_says_where_or_when(kept: Kept, ask: Ask) -> None:
    exported = kept.export(weights=f"from {kept.folder}/nets.py:net, seed 0")
    warning = f"calibrated on 3 of 3 images in {kept.folder}/photos"
    made = recipe(kept, ask(kept.convert(exported, warnings=(warning,)).path))
    text = msgspec.json.encode(manifest_of("android", made, Plain().content(made))).decode()
    assert str(kept.folder) not in text and str(Path.home()) not in text
