"""Exact rewrites of the int8 graph before it is lowered: one pass per file, in the order of ``run.py``."""
