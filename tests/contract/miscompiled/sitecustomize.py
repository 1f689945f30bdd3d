"""With this folder on PYTHONPATH every edgekit process has backends that get one weight wrong.

The weight is named by EDGEKIT_TEST_WEIGHT: a parameter's path in the model and the index of the value in it. The
recipes differ from the real ones, so nothing of this is ever found in the cache under a real backend's key.
"""

import dataclasses
import os

from edgekit.convert.backend import BACKENDS

_RECIPE = f"one weight wrong: {os.environ.get('EDGEKIT_TEST_WEIGHT')}"

for _name in ("executorch", "litert", "coreml", "onnx"):
    BACKENDS[_name] = dataclasses.replace(BACKENDS[_name], module=f"miscompiled_{_name}", recipe=_RECIPE)
