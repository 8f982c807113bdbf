"""Floating-point operations of a function, counted in its trace.

A compiler's own count takes the body of a loop once, however often it runs.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax


def count_flops(jaxpr: Any) -> int:
  """Multiplications and additions of all matrix products and convolutions; of branches, those of the dearest.

  Args:
    jaxpr: `jax.stages.Traced.jaxpr.jaxpr` or what is inside one. Loops whose length is not known count once.
  """
  return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
  name, params = equation.primitive.name, equation.params
  if name == "dot_general":
    (contracted, _), _ = params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
  if name == "conv_general_dilated":
    kernel, outputs = equation.invars[1].aval, params["dimension_numbers"].rhs_spec[0]
    return 2 * equation.outvars[0].aval.size * kernel.size // kernel.shape[outputs]
  inner = [count_flops(jaxpr) for jaxpr in _inside(params)]
  if name == "cond":
    return max(inner)
  return params["length"] * sum(inner) if name == "scan" else sum(inner)


def _inside(params: dict[str, Any]) -> Iterator[Any]:
  """The traces that an equation is made of."""
  for value in jax.tree.leaves(list(params.values()), is_leaf=lambda x: hasattr(x, "jaxpr") or hasattr(x, "eqns")):
    if hasattr(value, "eqns"):
      yield value
    elif hasattr(value, "jaxpr"):
      yield value.jaxpr
