"""Trains latent world models from pixels, and acts with them.

What a program uses is imported when it is first asked for: an environment's process must start without jax, and acting with
an exported policy needs nothing else of the package.
"""

import importlib

TYPE_CHECKING = False  # typing itself is not imported before __main__.py has left the current directory out
if TYPE_CHECKING:
  from typing import Any

  from dreamerax.api import evaluate, export_policy, load_agent, load_config, load_policy, preset, train, train_seeds
  from dreamerax.deploy.policy import load as load_exported
  from dreamerax.envs import EnvConfig
  from dreamerax.run_config import RunConfig

__version__ = "0.1.0"

__all__ = [
  "EnvConfig",
  "RunConfig",
  "evaluate",
  "export_policy",
  "load_agent",
  "load_config",
  "load_exported",
  "load_policy",
  "preset",
  "train",
  "train_seeds",
]

_FOUND_IN = {name: ("dreamerax.api", name) for name in __all__}
_FOUND_IN["load_exported"] = ("dreamerax.deploy.policy", "load")
_FOUND_IN["EnvConfig"] = ("dreamerax.envs", "EnvConfig")
_FOUND_IN["RunConfig"] = ("dreamerax.run_config", "RunConfig")


def __getattr__(name: str) -> "Any":
  if name not in _FOUND_IN:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  module, attribute = _FOUND_IN[name]
  return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})
