"""Measuring many candidates on many devices: a grid of them, resumable at every repeat."""
