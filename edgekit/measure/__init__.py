"""Measuring by the protocol: interleaved cold repeats, statistics that carry their doubt, and a verdict."""
