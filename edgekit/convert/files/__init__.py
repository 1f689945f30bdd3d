"""Converted files, read as they were written: operators, constants and, where the format allows, every value.

Nothing here needs the converter that made a file. The files are untrusted: what contradicts itself is a typed error.
"""
