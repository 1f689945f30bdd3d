"""A generated Swift package, compiled and tested by Swift on Linux.

Core ML is not there. What needs it is type-checked against declarations of the part of Apple's interface that it uses
(tests/swift_stubs); nothing here can tell whether it runs.
"""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgekit.bundle.ios import GENERATOR
from edgekit.bundle.records import Manifest
from edgekit.bundle.seal import write
from edgekit.version import __version__
from tests import ios_packages
from tests.swift import Swift, swift

STUBS = Path(__file__).parents[1] / "swift_stubs"
MODULE = "VisionBundle"
# VideoToolbox imports two of them.
APPLE = ("CoreVideo", "CoreGraphics", "CryptoKit", "CoreML")
TEST = ("swift", "test", "--package-path", "/package", "--disable-swift-testing", "-debug-info-format", "none")


@pytest.fixture(scope="module")
def toolchain() -> Swift:
    return swift()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle as it is written, with manifest."""
    folder = tmp_path_factory.mktemp("ios")
    recipe = ios_packages.recipe(folder)
    GENERATOR.check(recipe)
    made = GENERATOR.content(recipe)
    manifest = Manifest(
        target="ios", name=recipe.name, edgekit_version=__version__, options={},
        models=tuple(part.model for part in recipe.parts), runtimes=made.runtimes, warnings=made.warnings, files=(),
    )  # fmt: skip
    write.write(folder / "bundle", manifest, made, expected=write.artifacts(recipe))
    return folder / "bundle"


def test_the_package_compiles_without_a_warning_and_passes_its_own_tests(toolchain: Swift, package: Path) -> None:
    done = toolchain.run(package, *TEST, "-Xswiftc", "-warnings-as-errors")
    assert done.returncode == 0, done.stdout
    passed = set(re.findall(r"Test Case '(\w+\.\w+)' passed", done.stdout))
    assert {"DigitsModelTests.testPreprocessingGivesTheSameBitsAsPython", "EdgekitTests.testSha256IsTheStandards",
            "StringModelTests.testFilesAreTheOnesOfTheBundle"} <= passed  # fmt: skip
    written = (package / f"Tests/{MODULE}Tests").glob("*.swift")
    portable = [re.sub(r"#if canImport\(CoreML\).*?#endif", "", one.read_text(), flags=re.DOTALL) for one in written]
    assert len(passed) == sum(len(re.findall(r"func test\w+\(", one)) for one in portable)

    # The tests can fail: one bit of a weight, one of a golden picture.
    built = package / ".build/debug"
    for flipped, fails in (
        (built / f"{MODULE}_{MODULE}.resources/Models/digits/fp16.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
         "DigitsModelTests.testFilesAreTheOnesOfTheBundle"),
        (built / f"{MODULE}_{MODULE}Tests.resources/Golden/digits/picture_input.bin",
         "DigitsModelTests.testPreprocessingGivesTheSameBitsAsPython"),
    ):  # fmt: skip
        data = bytearray(flipped.read_bytes())
        data[0] ^= 1
        flipped.write_bytes(data)
        # Directly: starting SwiftPM takes longer than all of the tests.
        again = toolchain.run(package, f"/package/.build/debug/{MODULE}PackageTests.xctest",
                              f"{MODULE}Tests.{fails.replace('.', '/')}")  # fmt: skip
        assert again.returncode != 0, again.stdout
        assert f"Test Case '{fails}' failed" in again.stdout


def test_what_needs_core_ml_fits_the_declarations_of_apples_interface(
    toolchain: Swift, package: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    shutil.copytree(package, work, ignore=shutil.ignore_patterns(".build"))
    shutil.copytree(STUBS, work / "stubs")
    # What SwiftPM would add for the resources, and a call that Apple does not declare.
    (work / "stubs/accessor.swift").write_text(
        "import Foundation\nextension Bundle { static let module = Bundle.main }\n"
    )
    (work / "stubs/wrong.swift").write_text(
        "#if canImport(CoreML)\nimport CoreML\nlet wrong = MLModel.compiled\n#endif\n"
    )

    def swiftc(*arguments: str) -> str:
        done = toolchain.run(work, "swiftc", "-parse-as-library", "-I", "/package/stubs", *arguments)
        return "" if done.returncode == 0 else done.stdout or "failed without a word"

    def emit(name: str, *sources: str) -> str:
        return swiftc("-emit-module", "-module-name", name, "-emit-module-path", f"/package/stubs/{name}.swiftmodule",
                      "-enable-testing", *(sources or [f"/package/stubs/{name}.swift"]))  # fmt: skip

    def check(version: str, name: str, *sources: str) -> str:
        return swiftc("-typecheck", "-warnings-as-errors", "-swift-version", version, "-module-name", name, *sources)

    code, tests = _sources(work, f"Sources/{MODULE}"), _sources(work, f"Tests/{MODULE}Tests")
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(emit, APPLE)) == [""] * len(APPLE)
        assert emit("VideoToolbox") == ""
        older = pool.submit(check, "5", MODULE, *code)
        newer = pool.submit(check, "6", MODULE, *code)
        wrong = pool.submit(check, "6", MODULE, *code, "/package/stubs/wrong.swift")
        assert emit(MODULE, *code) == ""
        assert check("6", f"{MODULE}Tests", *tests) == ""
        assert (older.result(), newer.result()) == ("", "")
        assert "type 'MLModel' has no member 'compiled'" in wrong.result()


def _sources(work: Path, folder: str) -> list[str]:
    found = sorted(path.relative_to(work).as_posix() for path in (work / folder).glob("*.swift"))
    return [f"/package/{path}" for path in [*found, "stubs/accessor.swift"]]
