"""MIL's element types: their numbers in MIL.proto and in a weight file, and what holds them here."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Dtype:
    """``bits`` per element in a file; ``numpy`` reads whole bytes, and is empty below 8 bits; ``storage`` holds it."""

    name: str
    bits: int
    numpy: str
    storage: torch.dtype


# MILSpec.DataType -> Dtype. torch has little for unsigned types above 8 bits: a wider signed one holds them.
MIL_DTYPES: dict[int, Dtype] = {
    1: Dtype("bool", 8, "bool", torch.bool),
    10: Dtype("float16", 16, "<f2", torch.float16),
    11: Dtype("float32", 32, "<f4", torch.float32),
    12: Dtype("float64", 64, "<f8", torch.float64),
    21: Dtype("int8", 8, "i1", torch.int8),
    22: Dtype("int16", 16, "<i2", torch.int16),
    23: Dtype("int32", 32, "<i4", torch.int32),
    24: Dtype("int64", 64, "<i8", torch.int64),
    25: Dtype("int4", 4, "", torch.int8),
    31: Dtype("uint8", 8, "u1", torch.uint8),
    32: Dtype("uint16", 16, "<u2", torch.int32),
    33: Dtype("uint32", 32, "<u4", torch.int64),
    35: Dtype("uint4", 4, "", torch.uint8),
    36: Dtype("uint2", 2, "", torch.uint8),
    37: Dtype("uint1", 1, "", torch.uint8),
    38: Dtype("uint6", 6, "", torch.uint8),
    39: Dtype("uint3", 3, "", torch.uint8),
}
STRING = 2

# MILBlob::Blob::BlobDataType, in the metadata of a weight file's entries -> the name above.
BLOB_DTYPES: dict[int, str] = {
    1: "float16", 2: "float32", 3: "uint8", 4: "int8", 6: "int16", 7: "uint16", 8: "int4", 9: "uint1", 10: "uint2",
    11: "uint4", 12: "uint3", 13: "uint6", 14: "int32", 15: "uint32",
}  # fmt: skip

# The ``dtype`` argument of the operators ``cast`` and ``quantize`` -> what holds the result.
NAMED_DTYPES: dict[str, torch.dtype] = {
    "bool": torch.bool, "fp16": torch.float16, "fp32": torch.float32, "int8": torch.int8, "uint8": torch.uint8,
    "int16": torch.int16, "uint16": torch.int32, "int32": torch.int32,
}  # fmt: skip
