"""``--for linux``: a folder for an edge board or a PC, with the native runner, Python and C."""

from edgekit.bundle.linux.generate import LinuxGenerator

GENERATOR = LinuxGenerator()
