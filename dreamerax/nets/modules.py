"""Modules as immutable pytrees: parameters out, parameters in, gradients stopped."""

from typing import Any, TypeVar

import jax
from flax import nnx

Module = TypeVar("Module", bound=nnx.Module)
Params = dict[str, Any]  # nested dicts of arrays


def params_of(module: nnx.Module) -> Params:
  """The module's parameters as nested plain dicts."""
  return nnx.to_pure_dict(nnx.state(module))


def with_params(module: Module, params: Params) -> Module:
  """The same module computing with other parameters; nothing is changed in place."""
  return nnx.merge(nnx.graphdef(module), params)


def frozen(module: Module) -> Module:
  """The same module, whose parameters receive no gradient (its inputs still do)."""
  return with_params(module, jax.lax.stop_gradient(params_of(module)))
