"""Size and placement of a converted file, from the file as it was written.

What is counted is the same for every format, so that artifacts can be set side by side: operators (constants apart),
bytes of constants, and multiply-accumulates of convolutions, linear layers and matrix products. What a delegate takes
is told by the file (.pte) or by the runtime that loads it (.tflite); where neither can tell, it is null with a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from edgekit.convert.backend import Conversion
from edgekit.convert.files.pte import XNNPACK, DelegateCall, KernelCall, Pte
from edgekit.convert.files.tflite import Tflite
from edgekit.convert.mcu.unpack import unpack
from edgekit.errors import EdgekitError
from edgekit.records import UndelegatedOp

# Kernels that multiply: the least ranks of their first arguments, and the operand whose last size is summed over.
_PRODUCTS: dict[str, tuple[tuple[int, ...], int]] = {
    "convolution": ((3, 3), 0),
    "mm": ((2, 2), 0),
    "bmm": ((3, 3), 0),
    "linear": ((1, 2), 0),
    "addmm": ((0, 2, 2), 1),
    "baddbmm": ((0, 3, 3), 1),
}


def read(format_name: str, path: Path) -> Conversion:
    """What the file of one of the built-in formats says; if it can't be read, every figure is null and the note says
    why.
    """
    try:
        return _READERS[format_name](path)
    except EdgekitError as error:
        return Conversion(placement_note=f"the file could not be read: {error.message}")


def _executorch(path: Path) -> Conversion:
    file = Pte(path)
    kernels = [call for call in file.calls if isinstance(call, KernelCall)]
    partitions = [call for call in file.calls if isinstance(call, DelegateCall)]
    undelegated = _counted(kernel.op for kernel in kernels)
    buffers = {t.buffer: t for kernel in kernels for t in kernel.arguments if t is not None and t.buffer}
    constants = (file.constant(tensor) for tensor in buffers.values())
    weight_bytes = sum(value.nbytes for value in constants if value is not None)
    weight_bytes += sum(len(data) for data in file.named_data.values())
    graphs = [call.graph for call in partitions if call.graph is not None]
    if len(graphs) < len(partitions):
        others = ", ".join(sorted({call.delegate for call in partitions} - {XNNPACK}))
        note = f"what the delegate {others} took, and its weights, can't be read: operators and the share of MACs"
        return Conversion(partitions=len(partitions), undelegated_ops=undelegated, placement_note=f"{note} are unknown")
    outside = sum(_kernel_macs(kernel) for kernel in kernels)
    inside = sum(node.macs for graph in graphs for node in graph.nodes)
    return Conversion(
        operators=len(kernels) + sum(len(graph.nodes) for graph in graphs),
        weight_bytes=weight_bytes + sum(graph.own_bytes for graph in graphs),
        partitions=len(partitions),
        undelegated_ops=undelegated,
        undelegated_macs_share=_share(outside, outside + inside),
        placement_note="from the file's instructions: XNNPACK runs the partitions, ExecuTorch's own kernels the rest"
        + _no_macs(outside + inside),
    )


def _kernel_macs(call: KernelCall) -> int:
    """Multiply-accumulates of one of ExecuTorch's own kernels; its last argument is the result."""
    name = call.op.split(".")[1] if call.op.startswith("aten.") else ""
    ranks, operand = _PRODUCTS.get(name, ((), 0))
    shapes = [tensor.shape if tensor is not None else () for tensor in call.arguments]
    if not ranks or len(shapes) < 3 or any(len(shape) < rank for shape, rank in zip(shapes, ranks, strict=False)):
        return 0
    source, made = shapes[operand], shapes[-1]
    if name != "convolution":
        return math.prod(made) * source[-1]
    weight = shapes[1]
    # A transposed convolution's weight is (in, out / groups, …): its first size then is that of the input's channels.
    transposed = weight[0] == source[1] and weight[0] != made[1]
    return math.prod(source if transposed else made) * math.prod(weight[1:])


def _litert(path: Path) -> Conversion:
    from edgekit.convert.files.tflite_runtime import delegated

    file = Tflite(path)
    partitions, inside, names = delegated(file, path)
    total = sum(operator.macs for operator in file.operators)
    outside = [index for index in range(len(file.operators)) if index not in inside]
    macs = sum(file.operators[index].macs for index in outside)
    return Conversion(
        operators=len(file.operators),
        weight_bytes=file.weight_bytes(),
        partitions=partitions,
        undelegated_ops=_counted(names[index] for index in outside),
        undelegated_macs_share=_share(macs, total),
        placement_note="as LiteRT's Interpreter hands the operators to XNNPACK on this machine" + _no_macs(total),
    )


def _coreml(path: Path) -> Conversion:
    from edgekit.convert.mil.evaluate import load

    program = load(path)
    return Conversion(
        operators=sum(program.operators().values()),
        weight_bytes=program.weight_bytes,
        placement_note="Core ML decides on the device which processor runs each operator; it can't be known here",
    )


def _onnx(path: Path) -> Conversion:
    from edgekit.convert.files.onnx_file import counts

    operators, weight_bytes = counts(path)
    return Conversion(
        operators=operators,
        weight_bytes=weight_bytes,
        placement_note="ONNX Runtime's CPU kernels run every operator themselves; there is no delegate",
    )


def _mcu(path: Path) -> Conversion:
    packed = unpack(path.read_bytes(), str(path))
    return Conversion(
        operators=len(packed.operators),
        weight_bytes=packed.data_bytes,
        placement_note=f"every operator runs on the CPU; the arena takes {packed.arena_bytes:,} bytes",
    )


def _counted(names: Iterable[str]) -> tuple[UndelegatedOp, ...]:
    return tuple(UndelegatedOp(op=op, count=count) for op, count in Counter(names).most_common())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _no_macs(total: int) -> str:
    return "" if total else "; the model multiplies nothing, so there is no share of MACs"


_READERS: dict[str, Callable[[Path], Conversion]] = {
    "executorch": _executorch,
    "litert": _litert,
    "coreml": _coreml,
    "onnx": _onnx,
    "mcu": _mcu,
}
