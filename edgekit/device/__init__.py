"""The devices: a seam of five methods, the host, leases, and how a spec becomes a device."""
