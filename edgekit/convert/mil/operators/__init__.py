"""MIL's operators, one function each, by family. ``table.py`` maps the operators' names to them.

A function gets a ``Call`` and returns the result, or a tuple for several; the evaluator stores each as its declared
dtype. It follows the operator's docstring in ``coremltools.converters.mil.mil.ops.defs`` (iOS 15 to iOS 18).
"""
