"""Where things lie in a bundle for Linux."""

from edgekit.bundle.records import Model, Variant

SUFFIXES = {"litert": ".tflite", "executorch": ".pte", "onnx": ".onnx"}


def model_file(model: Model, variant: Variant) -> str:
    """The path of a converted file."""
    return f"models/{model.identifier}/{variant.id}{SUFFIXES[variant.format]}"


def golden_file(model: Model, variant: Variant, side: str, index: int) -> str:
    """The path of a stack of golden samples; ``side`` is ``input`` or ``output``."""
    return f"golden/{model.identifier}/{variant.id}/{side}_{index}.npy"
