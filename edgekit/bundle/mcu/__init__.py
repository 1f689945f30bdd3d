"""``edgekit bundle --for mcu``: a C library for microcontrollers."""

from edgekit.bundle.mcu.generator import McuGenerator
from edgekit.bundle.recipe import Generator

GENERATOR: Generator = McuGenerator()
