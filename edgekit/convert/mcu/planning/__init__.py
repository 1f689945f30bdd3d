"""The parts of the memory planner: the problem in units, orders, offsets, proofs, and an independent check."""
