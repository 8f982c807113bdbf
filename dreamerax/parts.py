"""All parts that a configuration may name: frozen dataclasses below a common base, each in a file of these packages."""

import functools
import importlib
import pkgutil

from dreamerax import behavior, dynamics, nets, ops, world_model

_PACKAGES = (ops, nets, dynamics, world_model, behavior)


@functools.cache
def import_all() -> None:
  """Makes every part known, so that a configuration is read the same whatever else the program has imported."""
  for package in _PACKAGES:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
      importlib.import_module(module.name)
