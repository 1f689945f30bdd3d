"""The front end: what is read of a .tflite, what is refused by name and place, and that no file crashes it."""

from __future__ import annotations

import hashlib
import random
import resource
import time

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from mcu_host import host_outputs, lowered
from tflite_maker import Maker, edited, random_inputs, reference_outputs
from tiny_networks import mobilenet_v3

from edgekit.convert.mcu import schema as ours
from edgekit.convert.mcu import tflite
from edgekit.convert.mcu.compile import compile_file, program_of
from edgekit.convert.mcu.tflite import parse_tflite, read_tflite
from edgekit.errors import ConvertError

from .compiler import needs_compiler


def small(*, external=False, activation="RELU", in_type="int8", name="layer"):
    """conv → reshape → fully connected."""
    chance = np.random.default_rng(3)
    maker = Maker()
    quantisation = () if in_type == "float32" else (0.1, 3)
    x = maker.input((1, 5, 4, 2), *quantisation, dtype=in_type, name="image")
    w = maker.constant(chance.integers(-9, 9, (3, 2, 2, 2)).astype(np.int8), [0.01, 0.02, 0.03], name="weights")
    b = maker.constant(np.array([5, -5, 100], np.int32), [0.001, 0.002, 0.003])
    y = maker.tensor((1, 4, 3, 3), 0.2, -7, name=f"{name};fused from this;and that")
    maker.operator("CONV_2D", [x, w, b], [y], padding="VALID", fused_activation_function=activation)
    flat = maker.tensor((1, 36), 0.2, -7, name="flat")
    maker.operator("RESHAPE", [y, maker.constant(np.array([1, 36], np.int32))], [flat], new_shape=[1, 36])
    w2 = maker.constant(chance.integers(-9, 9, (2, 36)).astype(np.int8), 0.02, name="dense")
    out = maker.tensor((1, 2), 0.3, 1, name="scores")
    maker.operator("FULLY_CONNECTED", [flat, w2, -1], [out])
    maker.output(out)
    return maker.build(external=external)


def refusal(content, *, dsp=False):
    """The error for a model that can't be compiled; it must say where, and what to do."""
    with pytest.raises(ConvertError) as caught:
        lowered(content, dsp=dsp)
    error = caught.value
    assert error.where and error.next_step and error.code == 11
    return f"{error.message} | {error.where} | {error.next_step}"


def attribute(part, index, **values):
    """A change of attributes of one operator or tensor; those that it lacks belong to its quantisation."""

    def change(model):
        target = getattr(model.subgraphs[0], part)[index]
        for name, value in values.items():
            setattr(target if hasattr(target, name) else target.quantization, name, value)

    return change


def test_tensors_operators_and_options_are_read():
    graph = parse_tflite(small(), "net")
    assert (graph.name, graph.source_sha256) == ("net", hashlib.sha256(small()).hexdigest())
    image, weights = graph.tensors[:2]
    assert (image.name, image.shape, image.dtype, image.data) == ("image", (1, 5, 4, 2), "int8", None)
    assert (image.quantisation.scale, image.quantisation.zero_point) == (pytest.approx(0.1), 3)
    assert weights.quantisation.scales == pytest.approx((0.01, 0.02, 0.03))
    assert weights.quantisation.zero_points == (0, 0, 0)
    np.testing.assert_array_equal(
        weights.data, np.random.default_rng(3).integers(-9, 9, (3, 2, 2, 2)).astype(np.int8)
    )  # fmt: skip
    assert graph.tensors[2].data.tolist() == [5, -5, 100]
    conv, reshape, dense = graph.operators
    assert [op.kind for op in graph.operators] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    assert conv.options == {
        "padding": "VALID", "stride_w": 1, "stride_h": 1, "fused_activation_function": "RELU", "dilation_w_factor": 1,
        "dilation_h_factor": 1,
    }  # fmt: skip
    assert reshape.options == {"new_shape": (1, 36)}
    assert dense.inputs[2] == -1
    assert [op.place for op in graph.operators] == ["0 CONV_2D layer", "1 RESHAPE flat", "2 FULLY_CONNECTED scores"]
    assert (graph.inputs, [graph.tensors[n].name for n in graph.outputs]) == ((0,), ["scores"])


def test_constants_behind_the_flatbuffer_are_read():
    inside, outside = parse_tflite(small(), "net"), parse_tflite(small(external=True), "net")
    for one, other in zip(inside.tensors, outside.tensors, strict=True):
        assert one == other
        np.testing.assert_array_equal(one.data, other.data)
    assert sum(tensor.data is not None for tensor in outside.tensors) == 4


def test_options_are_those_of_the_schema():
    """Field numbers and defaults against LiteRT's own generated reader."""
    from tflite_maker import _OPTIONS, _camel

    for kind, options in ours.OPTIONS.items():
        made = getattr(schema, (_OPTIONS.get(kind) or f"{kind.title()}Options") + "T")()
        maker = Maker()
        chosen = {}
        for number, (name, _, sort) in enumerate(options):
            default = getattr(made, _camel(name))
            assert (default or 0) == int(sort.partition(":")[2] or 0), (kind, name)
            chosen[name] = {"bool": True, "float": 0.25 * (number + 1), "ints": [3, 4]}.get(sort, number + 2)
            if sort == "enum":
                chosen[name] = 1
        if kind not in _OPTIONS:
            continue
        x = maker.input((1, 2, 2, 2), 0.1)
        y = maker.tensor((1, 2, 2, 2), 0.1)
        maker.operator(kind, [x], [y], **chosen)
        maker.output(y)
        (operator,) = parse_tflite(maker.build(), "net").operators
        for name, _, sort in options:
            wanted = {"ints": (3, 4), "enum": ours._ENUMERATIONS.get(name, ("", ""))[1]}.get(sort, chosen[name])
            assert operator.options[name] == wanted, (kind, name)


def test_names_are_those_of_the_schema():
    numbers = {name: number for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
    assert {ours.OPERATORS[number]: number for number in numbers.values()} == numbers
    types = {name: number for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    assert {ours.TENSOR_TYPES[number].upper(): number for number in types.values()} == types


def test_missing_operators_are_all_named_with_their_place():
    maker = Maker()
    x = maker.input((1, 4), 0.1)
    tensors = [x] + [maker.tensor((1, 4), 0.1, name=f"t{i}") for i in range(3)]
    for kind, a, b in zip(("FLOOR", "LOG", "FLOOR"), tensors, tensors[1:], strict=False):
        maker.operator(kind, [a], [b])
    maker.output(tensors[-1])
    said = refusal(maker.build())
    assert "3 operators can't be compiled for microcontrollers: FLOOR, LOG." in said
    assert "0 FLOOR t0; 1 LOG t1; 2 FLOOR t2" in said


def test_custom_operators_are_named():
    def change(model):
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode, code.customCode = 32, 32, b"MyOp"

    assert '0 CUSTOM "MyOp" layer' in refusal(edited(small(), change))


def test_a_float_model_is_told_how_to_quantise():
    maker = Maker()
    x = maker.input((1, 3), dtype="float32")
    y = maker.tensor((1, 2), dtype="float32", name="scores")
    maker.operator("FULLY_CONNECTED", [x, maker.constant(np.ones((2, 3), np.float32)), -1], [y])
    maker.output(y)
    said = refusal(maker.build())
    assert "it is a float model" in said
    assert "0 FULLY_CONNECTED scores" in said
    assert "--calibration" in said and "TFLITE_BUILTINS_INT8" in said


def test_a_hybrid_model_is_called_so():
    maker = Maker()
    x = maker.input((1, 3), dtype="float32")
    y = maker.tensor((1, 2), dtype="float32", name="scores")
    maker.operator("FULLY_CONNECTED", [x, maker.constant(np.ones((2, 3), np.int8), 0.1), -1], [y])
    maker.output(y)
    assert "weights are int8 but its activations are float" in refusal(maker.build())


def test_a_partly_float_model_is_refused_at_its_first_float_operator():
    maker = Maker()
    x = maker.input((1, 3), 0.1)
    real = maker.tensor((1, 3), dtype="float32", name="real")
    y = maker.tensor((1, 3), dtype="float32", name="tanh")
    maker.operator("DEQUANTIZE", [x], [real])
    maker.operator("TANH", [real], [y])
    maker.output(y)
    said = refusal(maker.build())
    assert "0 DEQUANTIZE real" in said and "it is a float model" in said


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_other_quantised_types_are_refused_by_name(dtype):
    maker = Maker()
    x = maker.input((1, 3), 0.1, dtype=dtype, name="image")
    y = maker.tensor((1, 3), 0.1, dtype=dtype)
    maker.operator("RELU", [x], [y])
    maker.output(y)
    assert f'"image" is {dtype} where only int8 can be compiled' in refusal(maker.build())


CONTRADICTIONS = {
    "no scale": (attribute("tensors", 3, quantization=None), 'this;and that" is int8 without a scale'),
    "scale 0": (attribute("tensors", 3, scale=[0.0]), "scale 0.0. | net, tensor 3 layer"),
    "negative scale": (attribute("tensors", 1, scale=[0.1, -0.1, 0.1]), "scale -0.1"),
    "scale not a number": (attribute("tensors", 0, scale=[float("nan")]), "scale nan"),
    "infinite scale": (attribute("tensors", 0, scale=[float("inf")]), "scale inf"),
    "zero point": (attribute("tensors", 0, zeroPoint=[128]), "zero point outside of int8"),
    "huge zero point": (attribute("tensors", 0, zeroPoint=[-(2**63)]), "zero point outside of int8"),
    "too few scales": (attribute("tensors", 1, scale=[0.1, 0.1], zeroPoint=[0, 0]), "2 scales along its axis 0"),
    "wrong axis": (attribute("tensors", 1, quantizedDimension=1), "3 scales along its axis 1"),
    "axis that is not there": (attribute("tensors", 1, quantizedDimension=-1), "3 scales along its axis -1"),
    "zero points do not fit": (attribute("tensors", 1, zeroPoint=[0, 0]), "3 scales and 2 zero points"),
    "computed per channel": (
        attribute("tensors", 3, scale=[0.1] * 3, zeroPoint=[0] * 3, quantizedDimension=3),
        "computed with a scale per channel. | 0 CONV_2D layer",
    ),
    "unknown size": (attribute("tensors", 0, shape=[1, -1, 4, 2]), "only known when the model runs"),
    "unknown size by its signature": (attribute("tensors", 0, shapeSignature=[1, -1, 4, 2]), "only known when"),
    "batch": (attribute("tensors", 0, shape=[2, 5, 4, 2]), "batch of 2"),
    "too many dimensions": (attribute("tensors", 0, shape=[1] * 9), "9 dimensions"),
    "too large": (attribute("tensors", 0, shape=[1, 60000, 60000, 2]), "larger than 2 GiB"),
    "another constant's size": (attribute("tensors", 1, shape=[3, 2, 2, 3]), "a constant of 36 bytes has 24"),
    "state": (attribute("tensors", 0, isVariable=True), "keeps its value"),
    "used before it is computed": (attribute("operators", 0, inputs=[4, 1, 2]), "used before it is computed"),
    "from itself": (attribute("operators", 0, inputs=[3, 1, 2]), "used before it is computed, or computed from itself"),
    "computed twice": (attribute("operators", 2, outputs=[3]), "is computed twice"),
    "output into a constant": (attribute("operators", 0, outputs=[1]), "computed twice or is a constant"),
    "tensor that is not there": (attribute("operators", 0, inputs=[99, 1, 2]), "not there"),
    "kind that is not there": (attribute("operators", 0, opcodeIndex=9), "of kind 9, which is not there"),
    "buffer that is not there": (attribute("tensors", 1, buffer=99), "buffer 99, which is not there"),
    "int8 as int4": (attribute("tensors", 1, type=17), "is int4 where only int8"),
    "activation": (
        lambda model: setattr(model.subgraphs[0].operators[0].builtinOptions, "fusedActivationFunction", 4),
        "its fused activation is TANH. | 0 CONV_2D layer",
    ),
    "option": (
        lambda model: setattr(model.subgraphs[0].operators[0].builtinOptions, "padding", 7), "padding is 7",
    ),
    "two graphs": (lambda model: model.subgraphs.append(model.subgraphs[0]), "2 graphs where at most 1"),
    "no graph": (lambda model: setattr(model, "subgraphs", []), "it has no graph"),
    "no output": (lambda model: setattr(model.subgraphs[0], "outputs", []), "no input or no output"),
    "output nobody computes": (lambda model: setattr(model.subgraphs[0], "outputs", [0, 1]), "is a constant or empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_refused(case):
    change, said = CONTRADICTIONS[case]
    assert said in refusal(edited(small(), change)).replace("made", "net")


def test_an_open_batch_counts_as_one():
    content = edited(small(), attribute("tensors", 0, shapeSignature=[-1, 5, 4, 2]))
    assert parse_tflite(content, "net").tensors[0].shape == (1, 5, 4, 2)


@needs_compiler
def test_shapes_computed_at_run_time_for_a_reshape_are_not_needed():
    """Keras writes SHAPE → STRIDED_SLICE → PACK → RESHAPE where the batch is open."""

    def change(model):
        graph = model.subgraphs[0]
        code, operator, made = schema.OperatorCodeT(), schema.OperatorT(), schema.TensorT()
        code.builtinCode = code.deprecatedBuiltinCode = 77  # SHAPE
        model.operatorCodes.append(code)
        made.shape, made.type, made.name = [4], schema.TensorType.INT32, b"shape"
        graph.tensors.append(made)
        operator.opcodeIndex, operator.inputs, operator.outputs = 3, [3], [len(graph.tensors) - 1]
        graph.operators.insert(1, operator)
        graph.operators[2].inputs = [3, len(graph.tensors) - 1]

    content, inputs = edited(small(), change), random_inputs(small())
    np.testing.assert_array_equal(host_outputs(content, inputs)[0], reference_outputs(small(), inputs)[0])


def test_a_file_is_read_and_compiled(tmp_path):
    path = tmp_path / "my net.tflite"
    path.write_bytes(small())
    made = compile_file(path, dsp=False)
    assert made.program.name == "my net"
    assert made.plan.optimal
    assert compile_file(path, dsp=False, name="other").program.name == "other"


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"TFL3" * 4, b"x" * 5000, b"\xff" * 64])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "no.tflite"
    path.write_bytes(content)
    with pytest.raises(ConvertError) as caught:
        read_tflite(path)
    assert caught.value.where == str(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConvertError, match="can't be read"):
        read_tflite(tmp_path / "missing.tflite")


def test_a_file_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(tflite, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ConvertError, match="larger than"):
        parse_tflite(small(), "net")


def test_names_are_made_printable_and_bounded():
    graph = parse_tflite(small(name="a\x1b[31m\n" + "b" * 10_000), "net\x00")
    assert graph.name == "net?"
    assert all(char.isprintable() for char in graph.operators[0].place)
    assert len(graph.operators[0].place) < 100


def _compiled_or_refused(content):
    try:
        program_of(parse_tflite(content, "fuzzed"), dsp=bool(len(content) % 2))
    except ConvertError as error:
        assert error.message and error.where and error.next_step
        return False
    return True


@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_are_refused_or_compiled_but_never_crash(seed):
    """Bytes flipped, cut, doubled and overwritten with great numbers; each case stays quick and small."""
    chance = random.Random(seed)
    whole = mobilenet_v3() if seed % 4 == 3 else small(external=bool(seed % 2))
    outcomes = []
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(content)) if seed % 4 < 3 else chance.randrange(len(content) - 9000, len(content))
            change = chance.randrange(4)
            if change == 0:
                content[at] ^= 1 << chance.randrange(8)
            elif change == 1:
                content[at : at + 4] = chance.choice((2**31 - 1, 2**32 - 1, 2**31, 0, 65536)).to_bytes(4, "little")
            elif change == 2:
                del content[max(at, 12) :]
            else:
                content[at:at] = content[at : at + chance.randrange(64)]
        outcomes.append(_compiled_or_refused(bytes(content)))
    assert not all(outcomes)
    assert time.monotonic() - began < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_every_truncation_is_refused():
    whole = small()
    for size in range(0, len(whole), 7):
        assert not _compiled_or_refused(whole[:size])


def test_lists_stated_many_times_over_do_not_multiply():
    """Thousands of operators that share one long list of inputs: small in the file, endless if it is read each time."""
    maker = Maker()
    x, y = maker.input((1, 4), 0.1), maker.tensor((1, 4), 0.1)
    maker.operator("CONCATENATION", [x] * 50_000, [y], axis=0)
    maker.graph.operators *= 3_000
    maker.output(y)
    content = _shared(maker)
    assert len(content) < 1_000_000
    began = time.monotonic()
    with pytest.raises(ConvertError, match="lists have more than"):
        parse_tflite(content, "bomb")
    assert time.monotonic() - began < 10


def _shared(maker):
    """The model with its one operator written once and pointed at many times."""
    import flatbuffers

    many = maker.graph.operators
    maker.graph.operators = many[:1]
    builder = flatbuffers.Builder(1024)
    original = schema.OperatorT.Pack
    offset = None

    def once(self, builder):
        nonlocal offset
        offset = original(self, builder) if offset is None else offset
        return offset

    maker.graph.operators = many
    schema.OperatorT.Pack = once
    try:
        builder.Finish(maker.model.Pack(builder), b"TFL3")
    finally:
        schema.OperatorT.Pack = original
    return bytes(builder.Output())
