"""``--for ios``: a Swift package with Core ML files."""

from edgekit.bundle.ios.generator import GENERATOR

__all__ = ["GENERATOR"]
