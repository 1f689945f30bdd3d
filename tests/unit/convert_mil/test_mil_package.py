"""Damaged, hostile and foreign packages: a typed error that says what is wrong."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mil_edit import MODEL, block, edit, parsed
from mil_programs import MilCase, mb, random, write

from edgekit.convert.mil.evaluate import load
from edgekit.convert.mil.failures import NotEvaluated
from edgekit.convert.mil.limits import Limits
from edgekit.errors import RuntimeCrashError, UsageError

X = random(1, 4, 6, 6)
WEIGHT = random(8, 4, 3, 3, seed=1)
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mil") / "net.mlpackage"
    case = MilCase("net", lambda x: mb.relu(x=mb.conv(x=x, weight=WEIGHT), name="activation"), {"x": X}, None)
    write([case], path, "iOS16")
    return path


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(original, tmp_path / "net.mlpackage"))


def operator(model: Any, kind: str) -> Any:
    return next(op for op in block(model).operations if op.type == kind)


def blob(model: Any) -> Any:
    return next(
        op.attributes["val"].blobFileValue
        for op in block(model).operations
        if op.type == "const" and op.attributes["val"].WhichOneof("value") == "blobFileValue"
    )


def overwrite(path: Path, position: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[position : position + len(data)] = data
    path.write_bytes(content)


def refusal(package: Path, **limits: int) -> str:
    """The message of the error; every one has a place and a next step."""
    with pytest.raises(RuntimeCrashError) as caught:
        load(package, Limits(**limits)).run([X])
    assert not isinstance(caught.value, NotEvaluated)
    assert caught.value.where and caught.value.next_step
    return caught.value.message


def test_original_runs(original: Path) -> None:
    program = load(original)
    assert program.operators() == {"conv": 1, "identity": 1, "relu": 1}
    assert [(spec.name, spec.shape, spec.dtype) for spec in program.inputs] == [("net_x", (1, 4, 6, 6), "float32")]
    assert program.run([X])[0].shape == (1, 8, 4, 4)


def test_input_of_another_shape(original: Path) -> None:
    with pytest.raises(UsageError, match=r"takes inputs of the shapes \[\(1, 4, 6, 6\)\], not \[\(1, 4, 6\)\]"):
        load(original).run([X[..., 0]])
    with pytest.raises(UsageError, match="takes inputs"):
        load(original).run([X, X])


def test_flipped_bit_of_a_weight_changes_the_outputs(original: Path, package: Path) -> None:
    content = bytearray((package / WEIGHTS).read_bytes())
    content[128 + 4 * 50 + 2] ^= 0x80
    (package / WEIGHTS).write_bytes(content)
    before, after = load(original).run([X])[0], load(package).run([X])[0]
    # Weight 50 belongs to the second of the eight filters.
    assert [np.array_equal(before[:, c], after[:, c]) for c in range(8)] == [True, False] + [True] * 6


class TestDirectory:
    def test_not_a_package(self, tmp_path: Path) -> None:
        assert "has no Manifest.json" in refusal(tmp_path)
        assert "has no Manifest.json" in refusal(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not valid JSON"),
            ("[" * 100_000, "not valid JSON"),
            ("[]", "not a JSON object"),
            ("{}", "does not name a model"),
            ('{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": 3}}}', "does not name a model"),
            ('{"rootModelIdentifier": ["a"], "itemInfoEntries": {}}', "does not name a model"),
            (" " * (2 << 20), "larger than 1 MiB"),
        ],
    )
    def test_manifest(self, package: Path, text: str, message: str) -> None:
        (package / "Manifest.json").write_text(text)
        assert message in refusal(package)

    @pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "a/../../../b", "..\\b", "a\0b"])
    def test_manifest_names_a_path_outside(self, package: Path, name: str) -> None:
        entry = {"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": name}}}
        (package / "Manifest.json").write_text(json.dumps(entry))
        assert "names a path outside itself" in refusal(package)

    def test_link_out_of_the_package(self, package: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside.bin"
        shutil.move(package / WEIGHTS, outside)
        (package / WEIGHTS).symlink_to(outside)
        assert "names a path outside itself" in refusal(package)

    def test_missing_model(self, package: Path) -> None:
        (package / MODEL).unlink()
        assert "has no model file" in refusal(package)


class TestWeightFile:
    def test_missing(self, package: Path) -> None:
        (package / WEIGHTS).unlink()
        assert "weight file weight.bin is missing" in refusal(package)

    @pytest.mark.parametrize("size", [0, 63, 64, 100, 128, 500])
    def test_truncated(self, package: Path, size: int) -> None:
        content = (package / WEIGHTS).read_bytes()
        (package / WEIGHTS).write_bytes(content[:size])
        assert "cut off" in refusal(package) or "outside the file" in refusal(package)

    @pytest.mark.parametrize("offset", [0, 65, 1 << 20, (1 << 64) - 64])
    def test_offset_outside(self, package: Path, offset: int) -> None:
        edit(package, lambda model: setattr(blob(model), "offset", offset))
        assert "outside the file" in refusal(package)

    @pytest.mark.parametrize("name", ["weights/weight.bin", "@model_path/../../../x", "@model_path//etc/hostname"])
    def test_file_name_outside(self, package: Path, name: str) -> None:
        edit(package, lambda model: setattr(blob(model), "fileName", name))
        assert "outside its" in refusal(package) or "outside itself" in refusal(package)

    @pytest.mark.parametrize(
        ("position", "data", "message"),
        [
            (4, struct.pack("<I", 1), "storage version 1, not 2"),
            (64, b"\0\0\0\0", "no marker"),
            (68, struct.pack("<I", 1), "holds float16, not float32"),
            (68, struct.pack("<I", 99), "holds 99, not float32"),
            (72, struct.pack("<Q", 4), "has 4 bytes, but its tensor needs 1152"),
            (80, struct.pack("<Q", 1 << 40), "is cut off"),
            (80, struct.pack("<Q", (1 << 64) - 64), "is cut off"),
            (80, struct.pack("<Q", 129), "is cut off"),
        ],
    )
    def test_damaged_entry(self, package: Path, position: int, data: bytes, message: str) -> None:
        overwrite(package / WEIGHTS, position, data)
        assert message in refusal(package)


class TestProtobuf:
    @pytest.mark.parametrize("content", [b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x12" * 5000])
    def test_random_bytes(self, package: Path, content: bytes) -> None:
        (package / MODEL).write_bytes(content)
        assert "not a valid protobuf" in refusal(package)

    def test_truncated(self, package: Path) -> None:
        content = (package / MODEL).read_bytes()
        (package / MODEL).write_bytes(content[: len(content) // 2])
        assert "not a valid protobuf" in refusal(package)

    def test_empty(self, package: Path) -> None:
        (package / MODEL).write_bytes(b"")
        with pytest.raises(NotEvaluated, match="a model of no kind"):
            load(package)

    def test_too_large(self, package: Path) -> None:
        assert "larger than" in refusal(package, program_bytes=100)

    def test_too_many_operators(self, package: Path) -> None:
        assert "operators, over 3" in refusal(package, operations=3)

    def test_nested_too_deeply(self, package: Path) -> None:
        content = b""
        for _ in range(2000):  # models in the pipeline of a model in the pipeline of a model
            content = b"\x0a" + _varint(len(content)) + content
            content = b"\xd2\x0c" + _varint(len(content)) + content
        (package / MODEL).write_bytes(content)
        assert "not a valid protobuf" in refusal(package)

    def test_absurd_shape(self, package: Path) -> None:
        def widen(model: Any) -> None:
            operator(model, "relu").outputs[0].type.tensorType.dimensions[0].constant.size = 1 << 60

        edit(package, widen)
        assert "declares a tensor of 1152921504606846976x8x4x4" in refusal(package)

    def test_rank_and_sizes_disagree(self, package: Path) -> None:
        edit(package, lambda m: setattr(operator(m, "relu").outputs[0].type.tensorType, "rank", 7))
        assert "rank 7 with 4 sizes" in refusal(package)

    def test_constant_of_the_wrong_length(self, package: Path) -> None:
        def shorten(model: Any) -> None:
            for op in block(model).operations:
                tensor = op.attributes["val"].immediateValue.tensor if op.type == "const" else None
                if tensor is not None and len(tensor.ints.values) == 2:
                    del tensor.ints.values[0]

        edit(package, shorten)
        assert "a constant with 1 values for the shape [2]" in refusal(package)

    def test_declared_shape_differs(self, package: Path) -> None:
        def shrink(model: Any) -> None:
            operator(model, "conv").outputs[0].type.tensorType.dimensions[3].constant.size = 3

        edit(package, shrink)
        assert "declares a result of [1, 8, 4, 3], but computes [1, 8, 4, 4]" in refusal(package)

    def test_name_used_before_it_is_made(self, package: Path) -> None:
        edit(package, lambda m: setattr(operator(m, "conv").inputs["x"].arguments[0], "name", "activation"))
        assert "uses 'activation' before it is made" in refusal(package)

    def test_name_made_twice(self, package: Path) -> None:
        edit(package, lambda m: setattr(operator(m, "conv").outputs[0], "name", "net_x"))
        assert "makes 'net_x' twice" in refusal(package)

    def test_output_is_not_made(self, package: Path) -> None:
        def rename(model: Any) -> None:
            model.description.output[0].name = "nothing"
            block(model).outputs[0] = "nothing"

        edit(package, rename)
        assert "does not make its output 'nothing'" in refusal(package)

    def test_outputs_disagree(self, package: Path) -> None:
        edit(package, lambda m: setattr(m.description.output[0], "name", "other"))
        assert "describes the outputs ['other']" in refusal(package)

    def test_no_function(self, package: Path) -> None:
        edit(package, lambda m: m.mlProgram.functions.pop("main"))
        assert "has no function 'main'" in refusal(package)

    def test_no_block_for_the_opset(self, package: Path) -> None:
        edit(package, lambda m: setattr(m.mlProgram.functions["main"], "opset", "CoreML99"))
        assert "no block for its operator set 'CoreML99'" in refusal(package)

    def test_argument_is_missing(self, package: Path) -> None:
        edit(package, lambda m: operator(m, "conv").inputs.pop("weight"))
        assert "'conv' lacks its argument 'weight'" in refusal(package)

    def test_arguments_do_not_fit(self, package: Path) -> None:
        edit(package, lambda m: setattr(operator(m, "conv").inputs["x"].arguments[0], "name", "net_conv_0_weight_0"))
        text = (package / MODEL).read_bytes()
        names = [o.outputs[0].name for o in block(parsed(text)).operations if o.type == "const"]
        weight = next(n for n in names if "weight" in n)
        edit(package, lambda m: setattr(operator(m, "conv").inputs["x"].arguments[0], "name", weight))
        assert "operator 'conv'" in refusal(package)


class TestNotEvaluated:
    def test_unknown_operator_is_named(self, package: Path) -> None:
        edit(package, lambda m: setattr(operator(m, "relu"), "type", "quantum_relu"))
        program = load(package)
        assert program.operators()["quantum_relu"] == 1
        with pytest.raises(NotEvaluated) as caught:
            program.run([X])
        assert caught.value.operator == "quantum_relu"
        assert caught.value.message == (
            "Core ML operator 'quantum_relu' (in activation) is not implemented by the reference evaluator"
        )

    def test_other_kind_of_model(self, package: Path) -> None:
        edit(package, lambda m: m.neuralNetwork.SetInParent())
        with pytest.raises(NotEvaluated, match="neuralNetwork"):
            load(package)

    def test_image_input(self, package: Path) -> None:
        edit(package, lambda m: m.description.input[0].type.imageType.SetInParent())
        with pytest.raises(NotEvaluated, match="'input' of the kind imageType"):
            load(package)

    def test_result_of_another_kind(self, package: Path) -> None:
        edit(package, lambda m: operator(m, "relu").outputs[0].type.listType.SetInParent())
        with pytest.raises(NotEvaluated, match="with listType as its result"):
            load(package).run([X])


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
