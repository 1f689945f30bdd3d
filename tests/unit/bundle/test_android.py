"""The Gradle module for Android: its files, options and refusals. Its Kotlin is compiled and run in the e2e tests."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from edgekit.bundle import preprocessing
from edgekit.bundle.android import GENERATOR, kotlin
from edgekit.bundle.android.runtimes import RUNTIMES
from edgekit.bundle.recipe import Content, Recipe
from edgekit.bundle.records import DeviceRow, Tensor
from edgekit.bundle.seal import manifest
from edgekit.convert.parity import TOLERANCES
from edgekit.errors import BundleError, UsageError
from tests.unit.bundle import made


def text(content: Content, path: str) -> str:
    data = content.files[path]
    assert isinstance(data, bytes)
    return data.decode()


def kotlin_of(content: Content) -> str:
    return "\n".join(text(content, path) for path in content.files if path.endswith(".kt"))


def all_runtimes(folder: Path, **options: str) -> Recipe:
    members = [made.member(folder, "net", name, seed=index) for index, name in enumerate(GENERATOR.formats)]
    return made.recipe(made.part("net", members), **options)


# --- what is there


def test_the_module_has_these_files(tmp_path: Path) -> None:
    content = GENERATOR.content(all_runtimes(tmp_path, package="com.example.nets"))
    source, tests = "src/main/kotlin/com/example/nets", "src/androidTest/kotlin/com/example/nets"
    assets = "src/androidTest/assets/edgekit_golden/net"
    assert sorted(content.files) == sorted([
        "README.md", "build.gradle.kts", "settings.gradle.kts", "consumer-rules.pro", "src/main/AndroidManifest.xml",
        f"{source}/NetModel.kt", f"{source}/NetLabels.kt",
        *(f"{source}/runtime/{name}.kt" for name in (
            "BundleSeal", "Category", "Ed25519", "Engine", "Engines", "ExecuTorchEngine", "Images", "LiteRtEngine",
            "ModelFiles", "OnnxEngine", "Preprocessing", "Tensors", "Variants")),
        f"{tests}/Golden.kt", f"{tests}/NetModelGoldenTest.kt",
        *(f"{assets}/{name}_fp32_{array}.bin" for name in GENERATOR.formats for array in ("in0", "out0")),
        f"{assets}/picture.bin", f"{assets}/preprocessed.bin",
        *(f"src/main/assets/edgekit/net/{name}_fp32.{one.suffix}" for name, one in RUNTIMES.items()),
    ])  # fmt: skip
    assert manifest.path_problems(sorted(content.files)) == []
    assert not content.executables


def test_model_files_are_copied_and_not_read(tmp_path: Path) -> None:
    recipe = made.simple(tmp_path)
    content = GENERATOR.content(recipe)
    assert content.files["src/main/assets/edgekit/net/litert_fp32.tflite"] == recipe.parts[0].members[0].path


@pytest.mark.parametrize("build", [made.simple, made.two_variants, made.two_models, made.several_tensors, made.hostile])
def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path, build: object) -> None:
    assert callable(build)
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        folder.mkdir()
    a, b = (GENERATOR.content(build(folder)) for folder in (first, second))
    assert list(a.files) == list(b.files) == sorted(a.files)
    for path, data in a.files.items():
        other = b.files[path]
        assert data == other or (isinstance(data, Path) and isinstance(other, Path) and data.name == other.name)


@pytest.mark.parametrize("name", GENERATOR.formats)
def test_only_the_runtimes_that_are_needed(tmp_path: Path, name: str) -> None:
    content = GENERATOR.content(made.simple(tmp_path, name))
    needed, others = RUNTIMES[name], [one for one in RUNTIMES.values() if one.format != name]
    assert [runtime.source for runtime in content.runtimes] == [needed.dependency]
    assert not content.runtimes[0].inside
    everything = kotlin_of(content) + text(content, "build.gradle.kts") + text(content, "consumer-rules.pro")
    assert f'    implementation("{needed.coordinate}:{needed.version}")\n' in text(content, "build.gradle.kts")
    assert f"{needed.engine}(" in everything
    for other in others:
        assert other.coordinate not in everything
        assert other.engine not in everything
        assert f"Format.{other.constant}" not in everything


def test_a_version_that_is_not_the_converters_is_a_warning(tmp_path: Path) -> None:
    assert GENERATOR.content(made.simple(tmp_path)).warnings == ()
    (warning,) = GENERATOR.content(made.simple(tmp_path, "onnx")).warnings
    assert "1.31.0" in warning


# --- build files


def test_build_file(tmp_path: Path) -> None:
    build = text(GENERATOR.content(all_runtimes(tmp_path, package="com.example.nets")), "build.gradle.kts")
    assert build.count("{") == build.count("}") and build.count("(") == build.count(")")
    assert re.search(r'plugins \{\s+id\("com.android.library"\)\s+id\("org.jetbrains.kotlin.android"\)\s+\}', build)
    assert '    namespace = "com.example.nets"\n' in build
    assert "        minSdk = 24\n" in build
    assert '        consumerProguardFiles("consumer-rules.pro")\n' in build
    assert '        noCompress += listOf("pte", "tflite", "onnx")\n' in build
    dependencies = build[build.index("dependencies {") :]
    pinned = re.findall(r'^    implementation\("([^"]+)"\)$', dependencies, re.MULTILINE)
    assert pinned == [one.dependency for one in RUNTIMES.values()]
    assert all(re.fullmatch(r"[\w.]+:[\w-]+:\d+\.\d+\.\d+", one) for one in pinned)
    assert len(re.findall("androidTestImplementation", dependencies)) == 2
    assert "asset-pack" not in build and "_pack" not in build


def test_the_seal_is_copied_before_the_build(tmp_path: Path) -> None:
    content = GENERATOR.content(made.simple(tmp_path, package="com.example.nets"))
    build, seal = text(content, "build.gradle.kts"), "src/main/kotlin/com/example/nets/runtime/BundleSeal.kt"
    assert f'    from("{manifest.MANIFEST}", "{manifest.SIGNATURE}")\n' in build
    assert '    into(sealAssets.map { it.dir("edgekit_seal/com.example.nets") })\n' in build
    assert '    sourceSets["main"].assets.srcDir(sealAssets)\n' in build
    assert re.search(r'tasks.named\("preBuild"\) \{\s+dependsOn\(copySeal\)\s+\}', build)
    assert 'MANIFEST = "edgekit_seal/com.example.nets/manifest.json"' in text(content, seal)
    assert 'DOMAIN = "edgekit bundle manifest 1\\n"' in text(content, seal)
    assert 'ASSETS = "src/main/assets/"' in text(content, seal)


def test_settings_file_builds_the_module_alone(tmp_path: Path) -> None:
    settings = text(GENERATOR.content(made.hostile(tmp_path)), "settings.gradle.kts")
    assert re.search(r'^rootProject.name = "[a-z0-9_]+"$', settings, re.MULTILINE)
    plugins = dict(re.findall(r'^ {8}id\("([^"]+)"\) version "([\d.]+)"$', settings, re.MULTILINE))
    assert set(plugins) == {"com.android.library", "org.jetbrains.kotlin.android"}
    assert settings.count("google()") == settings.count("mavenCentral()") == 2


def test_android_manifest_is_xml(tmp_path: Path) -> None:
    root = ElementTree.fromstring(text(GENERATOR.content(made.simple(tmp_path)), "src/main/AndroidManifest.xml"))
    assert root.tag == "manifest" and not list(root)


def test_consumer_rules_keep_what_native_code_names(tmp_path: Path) -> None:
    rules = text(GENERATOR.content(all_runtimes(tmp_path)), "consumer-rules.pro")
    for name in ("org.tensorflow.lite", "org.pytorch.executorch", "com.facebook.jni", "ai.onnxruntime"):
        assert f"-keep class {name}.** {{ *; }}\n" in rules
    assert all(re.match(r"#|-keep class |-dontwarn |$", line) for line in rules.splitlines())


def test_asset_pack_is_a_module_of_its_own(tmp_path: Path) -> None:
    content = GENERATOR.content(made.two_variants(tmp_path, delivery="asset-pack", package="com.example.nets"))
    pack = text(content, "demo_pack/build.gradle.kts")
    assert 'id("com.android.asset-pack")' in pack
    assert '    packName.set("demo_pack")\n' in pack and '        deliveryType.set("on-demand")\n' in pack
    models = [path for path in content.files if isinstance(content.files[path], Path)]
    assert models == [f"demo_pack/src/main/assets/edgekit/net/litert_{p}.tflite" for p in ("fp16", "fp32")]
    assert 'sourceSets["androidTest"].assets.srcDir("demo_pack/src/main/assets")' in text(content, "build.gradle.kts")
    model = text(content, "src/main/kotlin/com/example/nets/NetModel.kt")
    assert "fun open(context: Context, folder: File, selection: Selection = select())" in model
    assert "AssetFiles" not in model
    assert 'assetPacks += ":demo_pack"' in text(content, "README.md")
    assert 'ASSETS = "demo_pack/src/main/assets/"' in kotlin_of(content)


def test_readme_says_how_to_include_and_what_was_not_built(tmp_path: Path) -> None:
    readme = text(GENERATOR.content(all_runtimes(tmp_path)), "README.md")
    assert 'noCompress += listOf("pte", "tflite", "onnx")' in readme
    assert 'include(":models")' in readme and "Not done: the build with Gradle" in readme
    for one in RUNTIMES.values():
        assert one.dependency in readme
        assert all(note in readme for note in (*one.notes, *one.warnings))
    assert "No device was measured: every device runs `executorch_fp32`." in readme


# --- Kotlin from contracts


def test_class_has_the_names_and_shapes_of_the_contract(tmp_path: Path) -> None:
    model = text(GENERATOR.content(made.several_tensors(tmp_path)), "src/main/kotlin/edgekit/models/PairModel.kt")
    assert "    fun run(image: FloatArray, extra: FloatArray): Outputs {" in model
    assert "@JvmField val outputMap: FloatArray,\n" in model and "@JvmField val score: FloatArray\n" in model
    assert "val image: List<Int> = listOf(1, 3, 4, 4)\n" in model
    assert "Bitmap" not in model and "classify" not in model and "LABELS" not in model


def test_devices_are_in_the_class(tmp_path: Path) -> None:
    model = text(GENERATOR.content(made.two_variants(tmp_path)), "src/main/kotlin/edgekit/models/NetModel.kt")
    assert '            DeviceRow("Pixel 7", "GS201", "litert_fp16", 4, 4.0, "' in model
    assert '            DeviceRow("Galaxy S23", "SM8550", "litert_fp16", 2, 3.0, "' in model


def test_sha256_of_the_files_is_compiled_in(tmp_path: Path) -> None:
    recipe = made.two_variants(tmp_path)
    model = kotlin_of(GENERATOR.content(recipe))
    for variant in recipe.parts[0].model.variants:
        assert f'sha256 = "{variant.artifact_sha256}"' in model and f"bytes = {variant.bytes}L" in model


def test_golden_arrays_are_raw_and_little_endian(tmp_path: Path) -> None:
    recipe = made.simple(tmp_path)
    member, content = recipe.parts[0].members[0], GENERATOR.content(recipe)
    folder = "src/androidTest/assets/edgekit_golden/net/"
    for name, array in (("in0", member.golden_inputs[0]), ("out0", member.golden_outputs[0])):
        assert content.files[f"{folder}litert_fp32_{name}.bin"] == array.astype("<f4").tobytes()
    steps = preprocessing.steps_of(made.PREPROCESS, made.IMAGE.inputs[0])
    assert content.files[folder + "preprocessed.bin"] == preprocessing.vector(steps)[1].astype("<f4").tobytes()


def test_equal_golden_arrays_are_there_once(tmp_path: Path) -> None:
    members = [made.member(tmp_path, "net", name) for name in ("litert", "onnx")]
    content = GENERATOR.content(made.recipe(made.part("net", members)))
    arrays = [path for path in content.files if path.endswith(("_in0.bin", "_out0.bin"))]
    assert len(arrays) == 2
    test = text(content, "src/androidTest/kotlin/edgekit/models/NetModelGoldenTest.kt")
    assert test.count('listOf("net/litert_fp32_in0.bin")') == 2


def test_outputs_that_were_not_checked_are_held_to_their_precision(tmp_path: Path) -> None:
    recipe = made.simple(tmp_path)
    (part,) = recipe.parts
    (member,) = part.members
    unchecked = msgspec.structs.replace(member.variant.parity, passed=None, tolerance=None, reason="made elsewhere")
    changed = type(member)(msgspec.structs.replace(member.variant, precision="strange", parity=unchecked), member.path,
                           member.golden_inputs, member.golden_outputs)  # fmt: skip
    test = kotlin_of(GENERATOR.content(made.recipe(made.part("net", [changed]))))
    bounds = TOLERANCES["fp16"]
    assert f"{bounds.max_abs!r}, {bounds.cosine!r}\n" in test


def test_many_labels_are_in_pieces(tmp_path: Path) -> None:
    labels = tuple(f"label {index}" for index in range(1001))
    contract = msgspec.structs.replace(
        made.IMAGE, outputs=(Tensor(name="y", identifier="y", shape=(1, 1001)),), labels=labels
    )
    file = text(
        GENERATOR.content(made.simple(tmp_path, contract=contract)), "src/main/kotlin/edgekit/models/NetLabels.kt"
    )
    assert file.count("private object NetLabels") == 3
    assert "NetLabels0.part + NetLabels1.part + NetLabels2.part" in file


def test_no_classify_where_the_output_is_no_row_of_scores(tmp_path: Path) -> None:
    contract = msgspec.structs.replace(made.IMAGE, outputs=(Tensor(name="y", identifier="y", shape=(1, 4, 3)),))
    content = GENERATOR.content(made.simple(tmp_path, contract=contract))
    assert "classify" not in kotlin_of(content)
    assert not [path for path in content.files if "Labels" in path]


# --- hostile text


@pytest.mark.parametrize("hostile", made.HOSTILE)
def test_a_string_literal_is_one_line_and_closed(hostile: str) -> None:
    literal = kotlin.string(hostile)
    assert re.fullmatch(r'"(?:[^"\\$]|\\[\\"$nrt]|\\u[0-9a-f]{4})*"', literal) and literal.isprintable()

    def plain(match: re.Match[str]) -> str:
        found = match[1]
        return {"n": "\n", "r": "\r", "t": "\t"}.get(found, found) if len(found) == 1 else chr(int(found[1:], 16))

    assert re.sub(r"\\(u[0-9a-f]{4}|.)", plain, literal[1:-1]) == hostile


def test_lone_surrogates_and_what_is_above_16_bits_is_escaped() -> None:
    assert kotlin.string("\ud800\U000e0001") == '"\\ud800\\udb40\\udc01"'


@pytest.mark.parametrize("hostile", [*made.HOSTILE, "*/*/*", "/*/", "/**/", "*" * 99 + "/", "@throws [x]"])
def test_a_comment_is_not_ended(hostile: str) -> None:
    shown = kotlin.comment(hostile)
    assert shown.isprintable() and "*/" not in shown and "/*" not in shown
    assert not set("@[]") & set(shown) and len(shown) <= 200


def test_readme_keeps_hostile_names_on_their_line(tmp_path: Path) -> None:
    readme = text(GENERATOR.content(made.hostile(tmp_path)), "README.md")
    assert readme.count("\n# ") == 0 and readme.startswith("# quote ")
    assert "<b>" not in readme.replace("\\<b\\>", "") and not re.search(r"(?<!\\)\|[^|\n]*-->", readme)


# --- numbers


@pytest.mark.parametrize("value", [0.485, 1e-7, 3.4e38, 1 / 3, 255.0, -0.0])
def test_float_literals_are_exact(value: float) -> None:
    literal = kotlin.float32(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?(e[+-]\d+)?f", literal)
    assert np.float32(literal[:-1]) == np.float32(value)


def test_names_in_camel_case_differ() -> None:
    assert kotlin.camels(["a_1", "a1", "b_c", "a__1"]) == ("a1", "a12", "bC", "a13")


# --- refusals


@pytest.mark.parametrize("package", [
    "", "single", "com..example", "com.1net", "com.class", "com.example.fun", "com.exa-mple", "com.é.net", ".com.net",
    "com.net.", "com.net\n", "com.Aux", "com._x", "a." + "b" * 100, "com.net;",
])  # fmt: skip
def test_package_must_be_java(tmp_path: Path, package: str) -> None:
    with pytest.raises(UsageError, match="can't be a Java package"):
        GENERATOR.check(made.simple(tmp_path, package=package))


def test_delivery_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no delivery"):
        GENERATOR.check(made.simple(tmp_path, delivery="pigeon"))


def test_formats_of_other_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not run on Android"):
        GENERATOR.check(made.simple(tmp_path, "coreml"))


def test_types_that_kotlin_has_no_array_for_are_refused(tmp_path: Path) -> None:
    for dtype in ("float16", "bool"):
        contract = msgspec.structs.replace(
            made.IMAGE, outputs=(Tensor(name="y", identifier="y", shape=(1, 3), dtype=dtype),)
        )
        with pytest.raises(BundleError, match=f"is {dtype}"):
            GENERATOR.check(made.simple(tmp_path, contract=contract))


def test_variants_of_different_shapes_are_refused(tmp_path: Path) -> None:
    members = [made.member(tmp_path, "net", "litert"), made.member(tmp_path, "net", "litert", made.INT8_IMAGE)]
    with pytest.raises(BundleError, match="litert_fp32 and litert_int8 of net differ"):
        GENERATOR.check(made.recipe(made.part("net", members)))


def test_classes_of_the_same_name_are_refused(tmp_path: Path) -> None:
    parts = [made.part(name, [made.member(tmp_path, name)], identifier=name) for name in ("my_net", "mynet")]
    with pytest.raises(BundleError, match="would both be the class"):
        GENERATOR.check(made.recipe(*parts))


def test_preprocessing_that_can_not_be_had_bit_for_bit_is_refused(tmp_path: Path) -> None:
    lanczos = msgspec.structs.replace(made.PREPROCESS, interpolation="lanczos")
    contract = msgspec.structs.replace(made.IMAGE, preprocess=lanczos)
    with pytest.raises(BundleError, match="lanczos"):
        GENERATOR.check(made.simple(tmp_path, contract=contract))


def test_a_device_without_chip_or_latency(tmp_path: Path) -> None:
    row = DeviceRow(device_name="x", soc=None, variant="litert_fp32", threads=1, p50_ms=None, measurement_id="m")
    content = GENERATOR.content(made.recipe(made.part("net", [made.member(tmp_path)], devices=(row,))))
    assert 'DeviceRow("x", null, "litert_fp32", 1, null, "m")' in kotlin_of(content)
