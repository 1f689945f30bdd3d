"""Runs the bundle's models from Python: ``Model().run(...)``. Needs numpy, for pictures also Pillow (requirements.txt).

The runtime is the Python package of the variant's engine or, with ``runtime="runner"``, the native runner in the
bundle, which needs no package but starts a process for every call.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
from edgekit_runner import BUNDLE, BundleProblem, choose_variant, find_model, read_config, run_by_runner, verified_path

MAX_PIXELS = 64_000_000


class Model:
    """One model, loaded.

    Args:
        name: which model of the bundle; null takes the first.
        variant, device: see :func:`edgekit_runner.choose_variant`.
        threads: null takes those that were measured best.
        runtime: ``python`` (the package of the engine) or ``runner`` (the native runner).
        bundle: the bundle's folder.
        public_key: a PEM file with the key that must have signed the bundle; null checks no signature.

    Attributes:
        facts: the model's part of config.json.
        variant: the variant's part of it; ``variant["inputs"]`` and ``["outputs"]`` have names, shapes and dtypes.

    Raises:
        BundleProblem: a file was changed or is missing, or the runtime is not there or refused the file.
    """

    def __init__(self, name=None, *, variant=None, device=None, threads=None, runtime="python", bundle=BUNDLE,
                 public_key=None):  # fmt: skip
        config = read_config(bundle, public_key)
        self.facts = find_model(config, name)
        self.variant, measured = choose_variant(self.facts, variant, device)
        self.threads = measured if threads is None else threads
        if self.threads < 1:
            raise BundleProblem(f"{self.threads} threads were asked for.")
        path = verified_path(bundle, self.variant)
        if runtime == "runner":
            self._runtime = _Runner(config, bundle, self.variant, self.threads)
        elif runtime == "python":
            self._runtime = _package(self.variant, path, self.threads)
        else:
            raise BundleProblem(f"There is no runtime {runtime}; use python or runner.")

    @property
    def labels(self):
        """The labels of the last axis of the first output, or null."""
        return self.variant["labels"]

    def run(self, *inputs):
        """One inference.

        Args:
            inputs: one array per input, of the shape and dtype in ``variant["inputs"]``.

        Returns:
            One array per output, in the model's order.

        Raises:
            BundleProblem: an input does not fit, or the runtime failed.
        """
        wanted = self.variant["inputs"]
        if len(inputs) != len(wanted):
            raise BundleProblem(f"The model has {len(wanted)} inputs, {len(inputs)} were given.")
        for tensor, value in zip(wanted, inputs):
            if (tuple(tensor["shape"]), tensor["dtype"]) != (value.shape, value.dtype.name):
                raise BundleProblem(f"Input {tensor['name']} is {tensor['dtype']} {tuple(tensor['shape'])}, "
                                    f"not {value.dtype.name} {value.shape}.")  # fmt: skip
        return self._runtime([np.ascontiguousarray(value) for value in inputs])

    def read_picture(self, path):
        """A picture's file as the first input. Raises BundleProblem if it can't be."""
        try:
            from PIL import Image
        except ImportError as error:
            raise BundleProblem("Pictures can't be read without the Python package Pillow.") from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound here is ours
                with Image.open(path) as image:
                    if image.width * image.height > MAX_PIXELS:
                        raise BundleProblem(f"{path} has more than {MAX_PIXELS} pixels.")
                    return self.preprocess(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise BundleProblem(f"{path} can't be read as a picture: {error}") from error

    def preprocess(self, image):
        """A Pillow image as the first input: upright, resized to cover, centre crop, 0..1, normalised, quantised.

        Returns:
            An array of the shape and dtype of ``variant["inputs"][0]``, the same bits as edgekit's own.

        Raises:
            BundleProblem: nothing says how a picture becomes the input, or the image has more than 8 bits per channel.
        """
        steps = self.variant["preprocessing"]
        if steps is None:
            raise BundleProblem(f"Nothing says how a picture becomes the input of {self.facts['name']}: give tensors.")
        if image.mode.startswith(("I", "F")):
            raise BundleProblem(f"The picture has the pixel format {image.mode}; 8 bits per channel are supported.")
        pixels = np.asarray(_cropped(image, steps), dtype=np.float32) / np.float32(255)
        pixels = pixels.reshape(steps["height"], steps["width"], steps["channels"])
        values = (pixels - np.asarray(steps["mean"], np.float32)) / np.asarray(steps["std"], np.float32)
        if not steps["channels_last"]:
            values = values.transpose(2, 0, 1)
        if steps["quantisation"] is not None:
            values = _quantised(values, **steps["quantisation"])
        return np.ascontiguousarray(values[None])


def _cropped(image, steps):
    from PIL import Image, ImageOps

    filters = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "box": Image.BOX}
    upright = ImageOps.exif_transpose(image).convert("L" if steps["channels"] == 1 else "RGB")
    height, width = steps["height"], steps["width"]
    scale = max(steps["base_height"] / upright.height, steps["base_width"] / upright.width)
    size = (max(int(upright.width * scale + 1e-6), width), max(int(upright.height * scale + 1e-6), height))
    left, top = round((size[0] - width) / 2.0), round((size[1] - height) / 2.0)
    return upright.resize(size, filters[steps["interpolation"]]).crop((left, top, left + width, top + height))


def _quantised(values, scale, zero_point):
    """float32 -> int8, halves away from zero, saturating."""
    ratio = (values / np.float32(scale)).astype(np.float64)
    rounded = np.trunc(ratio + np.copysign(0.5, ratio))
    return np.clip(rounded + zero_point, -128, 127).astype(np.int8)


class _Runner:
    def __init__(self, config, bundle, variant, threads):
        self._fixed, self._threads = (config, bundle, variant), threads

    def __call__(self, inputs):
        with tempfile.TemporaryDirectory(prefix="edgekit-") as name:
            paths = [Path(name) / f"input_{k}.npy" for k in range(len(inputs))]
            for path, value in zip(paths, inputs):
                np.save(path, value[None])
            run_by_runner(*self._fixed, paths, name, self._threads)
            return [np.load(Path(name) / f"output_{k}.npy")[0] for k in range(len(self._fixed[2]["outputs"]))]


class _LiteRt:
    """CompiledModel, whose Python buffers hold these types; a model with others is run by the Interpreter."""

    _TYPES = frozenset({"float32", "float16", "int32", "int8", "uint8", "bool"})

    def __init__(self, variant, path, threads):
        self._outputs = variant["outputs"]
        if {tensor["dtype"] for tensor in variant["inputs"] + variant["outputs"]} <= self._TYPES:
            self._open(path, threads)
            self._run = self._compiled
        else:
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            self._run = self._interpreted

    def __call__(self, inputs):
        return self._run(inputs)

    def _open(self, path, threads):
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.environment import Environment, EnvironmentOptions
        from ai_edge_litert.options import CpuOptions, Options

        self._environment = Environment.create(options=EnvironmentOptions())
        options = Options(cpu_options=CpuOptions(num_threads=threads))
        self._model = CompiledModel.from_file(str(path), environment=self._environment, options=options)
        self._in, self._out = self._model.create_input_buffers(0), self._model.create_output_buffers(0)

    def _compiled(self, inputs):
        for buffer, value in zip(self._in, inputs):
            buffer.write(value)
        self._model.run_by_index(0, self._in, self._out)
        found = []
        for tensor, buffer in zip(self._outputs, self._out):
            count = int(np.prod(tensor["shape"], dtype=np.int64))
            found.append(np.array(buffer.read(count, np.dtype(tensor["dtype"]).type)).reshape(tensor["shape"]))
        return found

    def _interpreted(self, inputs):
        for slot, value in zip(self._interpreter.get_input_details(), inputs):
            self._interpreter.set_tensor(slot["index"], value)
        self._interpreter.invoke()
        return [
            np.array(self._interpreter.get_tensor(slot["index"])) for slot in self._interpreter.get_output_details()
        ]


class _Executorch:
    def __init__(self, variant, path, threads):
        del variant
        # torch first: the bindings resolve their symbols against it. This module and not portable_lib, which imports
        # the whole converter before it.
        import torch
        from executorch.extension.pybindings import _C as bindings

        self._tensor = torch.from_numpy
        if bindings._threadpool_get_thread_count() != threads:
            bindings._unsafe_reset_threadpool(threads)
        self._program = bindings._load_program(str(path), enable_etdump=False)
        self._method = self._program.load_method("forward")

    def __call__(self, inputs):
        # Copies: torch takes no read-only arrays, and the outputs are overwritten by the next run.
        outputs = self._method.call([self._tensor(value.copy()) for value in inputs], False)
        return [np.array(value.detach().numpy()) for value in outputs]


class _OnnxRuntime:
    def __init__(self, variant, path, threads):
        import onnxruntime

        del variant
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, inputs):
        names = [slot.name for slot in self._session.get_inputs()]
        return [np.asarray(value) for value in self._session.run(None, dict(zip(names, inputs)))]


_PACKAGES = {"litert": _LiteRt, "executorch": _Executorch, "onnxruntime": _OnnxRuntime}


def _package(variant, path, threads):
    made = _guarded("load the model", lambda: _PACKAGES[variant["engine"]](variant, path, threads))
    return lambda inputs: _guarded("run the model", lambda: made(inputs))


def _guarded(what, action):
    """What the runtimes raise is theirs to choose; callers get one kind of failure."""
    try:
        return action()
    except ImportError as error:
        raise BundleProblem(f"A package of requirements.txt is missing: {error}. Or use the runtime runner.") from error
    except Exception as error:  # the three runtimes have no common kind, and two raise plain RuntimeErrors
        raise BundleProblem(f"The runtime could not {what}: {error}") from error
