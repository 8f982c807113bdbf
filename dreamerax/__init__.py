"""Trains latent world models from pixels, and acts with them.

What a program uses is imported when it is first asked for: an environment's process must start without jax, and acting with
an exported policy needs nothing else of the package.
"""

import importlib

TYPE_CHECKING = (
  False  # what type checkers take for true: typing itself is not loaded before __main__.py has looked around
)
if TYPE_CHECKING:
  from typing import Any

  from dreamerax.api import evaluate, export_policy, load_policy, train, train_seeds
  from dreamerax.deploy.policy import load as load_exported

__version__ = "0.1.0"

__all__ = ["evaluate", "export_policy", "load_exported", "load_policy", "train", "train_seeds"]

_FOUND_IN = {name: ("dreamerax.api", name) for name in __all__}
_FOUND_IN["load_exported"] = ("dreamerax.deploy.policy", "load")


def __getattr__(name: str) -> "Any":
  if name not in _FOUND_IN:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module, attribute = _FOUND_IN[name]
  return getattr(importlib.import_module(module), attribute)
