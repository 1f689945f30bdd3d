"""What a person can do about an operator that a backend can't convert, or does not run well: one sentence each.

Read by a failed conversion and by ``edgekit doctor``. No torch.
"""

from __future__ import annotations

import re

_EVAL = "Put the model into eval mode (model.eval()), or draw the random numbers outside and pass them as an input."
_MATRIX = "Compute it outside the model: no mobile format decomposes or inverts matrices."
_SPECTRUM = (
    "Multiply by a constant DFT matrix instead (torch.fft.fft(torch.eye(n)), real and imaginary part apart), or take "
    "the spectrum outside the model."
)
_COMPLEX = "Keep the real and the imaginary part in two real tensors."
_ORDER = "Return the scores as they are and sort them outside the model, or use torch.topk."
_SEARCH = "Compare with every boundary and add up: (x[..., None] > boundaries).sum(-1)."
_SPECIAL = "Replace the function by a polynomial or a table lookup that you have checked on your value range."
_RECURRENT = "Unroll it by hand over the fixed number of steps, from nn.Linear and element-wise operators."
_BRANCH = "Choose the branch in Python before the export, or compute both and select with torch.where."
_CUMULATIVE = "Multiply by a constant triangular matrix, or unroll the axis if it is short."
_BITS = "Work with arithmetic instead: x % 2 for the lowest bit, or a != b on bool tensors for an exclusive or."
_INDEX = "Build the result with torch.cat or torch.where: converters know fixed slices, but few writes by index."
_WINDOW = "Use a convolution or nn.PixelUnshuffle/PixelShuffle, which move the same values."
_BROADCAST = "Leave it out: +, -, * and / broadcast by themselves."
_LIBRARY = "Write it in terms of PyTorch's own operators, as a plain function in the model."
_DISTANCE = "Write the distance as (a*a).sum(-1) - 2 * a @ b.T + (b*b).sum(-1)."
_VOLUME = "Fold one axis into the batch or the channels and use the 2-D layer."

# Bare operator name, whole or as a pattern -> what to do when it fails.
_FAILS: tuple[tuple[str, str], ...] = (
    (r"_?fft_.*|_?stft|istft", _SPECTRUM),
    (r"view_as_real|view_as_complex|complex|polar|real|imag|_?conj.*", _COMPLEX),
    (r"_?linalg_.*|inverse|pinverse|svd|qr|cholesky.*|det|logdet|matrix_exp|lu_.*|_?lu_.*", _MATRIX),
    (r"_upsample_(bi.*)_aa", "Resize without antialias=True, or antialias with a fixed blur convolution before it."),
    (r"upsample_bicubic2d", "Resize with mode='bilinear', or outside the model."),
    (r"_upsample_nearest_exact.*", "Resize with mode='nearest'."),
    (r"upsample_(linear1d|trilinear3d)", "Resize with mode='bilinear' on a 4-D tensor."),
    (r"adaptive_max_pool\dd", "The sizes are fixed at conversion: use nn.MaxPool2d with that kernel and stride."),
    (
        r"max_unpool\dd|max_pool\dd_with_indices",
        "Use nn.MaxPool2d without indices, and nn.Upsample in place of the unpooling.",
    ),
    (r"sort|argsort|msort|topk|kthvalue|median|nanmedian|quantile|mode", _ORDER),
    (r"searchsorted|bucketize|histc|bincount|unique.*", _SEARCH),
    (r"rand.*|bernoulli.*|multinomial|normal.*|rrelu.*|native_dropout|dropout|poisson|uniform.*|exponential", _EVAL),
    (r"special_.*|bessel.*|lgamma|digamma|polygamma|erfinv|igamma.*|logcumsumexp", _SPECIAL),
    (r"lstm|gru|rnn_.*|mkldnn_rnn.*", _RECURRENT),
    (r"cond|while_loop|map_impl|scan", _BRANCH),
    (r"cumsum|cumprod|cummax|cummin", _CUMULATIVE),
    (r"__(and|or|xor|lshift|rshift)__|bitwise_.*|logical_xor", _BITS),
    (r"index_put_?|scatter.*|index_add|index_copy|masked_scatter|put", _INDEX),
    (r"im2col|col2im|unfold|fold", _WINDOW),
    (r"cdist|_?cdist_forward|pdist", _DISTANCE),
    (r"conv3d|conv_transpose3d|\w*pool3d", _VOLUME),
    (r"as_strided\w*", "Write the view with slices, reshape and permute."),
    (r"nonzero|masked_select|unique\w*", "The result's size depends on the values: return a mask of fixed size."),
)
# The same for an operator that runs, but outside the delegate.
_OUTSIDE: tuple[tuple[str, str], ...] = (
    (r"expand|expand_as|expand_copy", _BROADCAST),
    (r"mean", "Average over both spatial axes with keepdim=True (as nn.AdaptiveAvgPool2d(1) does) and flatten then."),
    (r"upsample_bicubic2d", "Resize with mode='bilinear', which the delegate runs."),
    (r"scaled_dot_product_attention", "Write the attention out: (q @ k.transpose(-2, -1) * scale).softmax(-1) @ v; "
     "timm does with timm.layers.set_fused_attn(False)."),
    (r"roll", "Write it as torch.cat of two slices."),
    (r"_?adaptive_avg_pool\dd", "The sizes are fixed at conversion: use nn.AvgPool2d with that kernel and stride, or "
     "nn.AdaptiveAvgPool2d(1)."),
    (r"unfold|im2col|fold|col2im", _WINDOW),
    (r"linalg_vector_norm|norm|linalg_norm|normalize", "Write the norm as (x * x).sum(dim, keepdim=True).sqrt()."),
)  # fmt: skip
_WRONG = "Check this output on your own inputs (--inputs DIR), and replace the operator if it matters."
_PRECISION = "Keep this part in float32 (convert with --precision fp32), or scale the values before it."
REST_OUTSIDE = "It still runs, on the runtime's own kernel; replace it only if edgekit profile shows that it costs."
# What is about types and values, not about one operator.
TYPES = "Do this part in float32, and whole numbers in int32 or int64."
WHOLE_NUMBERS = "Keep whole numbers below 2**31, or do this part in floats."
_REST_FAILS = "Replace the operator in that line by others."


def remedy_for(op: str, severity: str) -> str:
    """One sentence for an operator (``aten.fft_rfft.default``) in trouble of that severity."""
    name = _base(op)
    if severity == "fails" and "." in op and not op.startswith(("aten.", "prims.")):
        return _LIBRARY
    if severity == "fails":
        return _lookup(_FAILS, name) or _REST_FAILS
    if severity in ("splits", "undelegated"):
        return _lookup(_OUTSIDE, name) or REST_OUTSIDE
    return _PRECISION if severity == "precision" else _WRONG


def _lookup(table: tuple[tuple[str, str], ...], name: str) -> str | None:
    return next((sentence for pattern, sentence in table if re.fullmatch(pattern, name)), None)


def _base(op: str) -> str:
    """``aten.fft_rfft.default`` -> ``fft_rfft``; a trailing underscore (in place) does not matter."""
    parts = op.split(".")
    name = parts[1] if len(parts) > 1 else parts[0]
    return name if name.startswith("__") else name.rstrip("_")
