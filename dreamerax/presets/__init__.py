"""Whole runs by name: a method is one file here, which puts parts together, and one row of the registry."""

from dreamerax.presets.registry import PRESETS, Preset, build
from dreamerax.presets.sizes import OLDER_SIZES, SIZES

__all__ = ["OLDER_SIZES", "PRESETS", "SIZES", "Preset", "build"]
