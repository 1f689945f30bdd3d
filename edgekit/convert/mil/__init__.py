"""A reference evaluator for Core ML's ML Programs, for systems without Core ML.

It reads a .mlpackage as it was written (the manifest, the program's protobuf, the weight file) and runs the program
operator by operator, so that a wrong conversion, a wrong weight or a damaged file shows in the outputs. Each operator
follows its description in the MIL documentation, which coremltools ships as docstrings of
``coremltools.converters.mil.mil.ops.defs``; the operators are listed in ``operators/table.py``.

Precision: arithmetic is in float32. A result whose declared dtype is float16 is rounded to float16 after each operator,
as it would be stored, so that a float16 program shows its loss of precision and its overflows; a device that also
multiplies or adds in float16 may lose more. Integers narrower than their torch dtype (uint16, uint32, four bits and
less) are held in the next wider one.

What it does not run is named by ``NotEvaluated`` and never counts as passed. It is not Core ML: it says whether the
file states the right computation, not how Apple's compiler and processors carry it out.
"""
