"""A .tflite has an order of its tensors in its graph and one in its signature, and several graphs may have one each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tflite_maker import Maker

from edgekit.bundle.gather.source import locate
from edgekit.bundle.make import check_graph
from edgekit.bundle.request import source_text
from edgekit.errors import BundleError
from edgekit.harness.engines.create import create
from tests.unit.bundle.kept import Kept

X, Y = np.array([[1, 2, 3, 4]], np.float32), np.array([[10, 20, 30, 40]], np.float32)
Names = dict[str, int]


def signature(key: str, inputs: Names, outputs: Names, graph: int = 0) -> schema.SignatureDefT:
    def maps(names: Names) -> list[schema.TensorMapT]:
        made = []
        for name, number in names.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), number
            made.append(entry)
        return made

    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = key.encode(), graph
    made.inputs, made.outputs = maps(inputs), maps(outputs)
    return made


def arithmetic(*kinds: str) -> Maker:
    """Two inputs, 0 and 1, and one output for each kind of operator on them."""
    maker = Maker()
    x, y = (maker.input((1, 4), dtype="float32") for _ in range(2))
    for kind in kinds:
        made = maker.tensor((1, 4), dtype="float32")
        maker.operator(kind, [x, y], [made])
        maker.output(made)
    return maker


def here(path: Path) -> list[np.ndarray]:
    """By CompiledModel, which makes the contract and the golden outputs."""
    engine = create("litert")
    engine.load(path, threads=1)
    engine.bind([X, Y])
    engine.run()
    return engine.outputs()


def there(path: Path) -> list[np.ndarray]:
    """By the Interpreter, whose numbers of inputs and outputs are Android's."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), (X, Y), strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


@pytest.mark.parametrize("names", ["pqrs", "qpsr"])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_order_in_the_signature_does_not_matter(tmp_path: Path, swapped: bool, names: str) -> None:
    """Neither does that of the names. If this fails, Android's inputs need another order (LiteRtEngine.kt)."""
    maker, (p, q, r, s) = arithmetic("SUB", "ADD"), names
    inputs, outputs = ({p: 1, q: 0}, {r: 3, s: 2}) if swapped else ({p: 0, q: 1}, {r: 2, s: 3})
    maker.model.signatureDefs = [signature("serving", inputs, outputs)]
    path = tmp_path / "net.tflite"
    path.write_bytes(maker.build())
    for answers in (here(path), there(path)):
        assert np.array_equal(answers, [X - Y, X + Y])


def test_a_signature_of_another_graph_is_refused_for_android(kept: Kept) -> None:
    path = kept.folder / "net.tflite"

    def two_graphs(first: int) -> Path:
        maker, other = arithmetic("SUB"), arithmetic("ADD")
        other.graph.operators[0].opcodeIndex = maker._code("ADD")
        maker.model.subgraphs.append(other.graph)
        tensors: tuple[Names, Names] = {"a": 0, "b": 1}, {"c": 2}
        maker.model.signatureDefs = [signature(f"s{one}", *tensors, graph=one) for one in (first, 1 - first)]
        path.write_bytes(maker.build())
        return path

    found = locate(source_text(str(two_graphs(first=1))), "android", kept.store, kept.cache)
    assert not np.array_equal(here(path), there(path))
    check_graph(found, "linux")
    with pytest.raises(BundleError, match="first signature of net.tflite is that of its graph 1") as caught:
        check_graph(found, "android")
    assert caught.value.where == str(path) and caught.value.next_step
    two_graphs(first=0)
    assert np.array_equal(here(path), there(path))
    check_graph(found, "android")


def test_an_output_that_is_given_twice_is_refused(kept: Kept) -> None:
    maker, path = arithmetic("SUB"), kept.folder / "net.tflite"
    maker.output(2)
    path.write_bytes(maker.build())
    for target in ("android", "linux"):
        with pytest.raises(BundleError, match="net.tflite gives one of its outputs twice"):
            check_graph(locate(source_text(str(path)), target, kept.store, kept.cache), target)
