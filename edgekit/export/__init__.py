"""torch.export once, with golden inputs and outputs and the rewrites that every backend profits from."""
