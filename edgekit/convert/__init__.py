"""Exported program in, checked artifacts out; one module per format."""
