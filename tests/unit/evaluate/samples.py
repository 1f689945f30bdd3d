from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

CLASSES = 6


def write_onnx(path: Path, *, classes: int = CLASSES) -> Path:
    """A model whose class scores are its input, float32 (1, classes), times two."""
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "two"], ["scores"])],
        "double",
        [value("x", TensorProto.FLOAT, [1, classes])],
        [value("scores", TensorProto.FLOAT, [1, classes])],
        [helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def scores_and_labels(count: int = 20, wrong: int = 3) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Scores whose highest class is the label, but for the first ``wrong`` samples, where it is the second highest."""
    random = np.random.default_rng(0)
    scores = random.uniform(0, 1, (count, CLASSES)).astype(np.float32)
    order = np.argsort(scores, axis=1)
    labels = order[:, -1].copy()
    labels[:wrong] = order[:wrong, -2]
    return scores, labels.astype(np.int64)
