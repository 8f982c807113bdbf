"""Floating-point operations of a function, counted in its trace.

A compiler's own count takes the body of a loop once, however often it runs.
"""

import math
from typing import Any

import jax


def count_flops(jaxpr: Any) -> int:
  """Multiplications and additions of all matrix products and convolutions; of branches, those of the dearest.

  Args:
    jaxpr: `jax.stages.Traced.jaxpr` or what is inside one. Loops whose length is not known count once.
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
  # Whatever an equation is made of: jaxprs, alone or in tuples among its parameters.
  parts = jax.tree.leaves(list(params.values()), is_leaf=lambda x: hasattr(x, "eqns"))
  inner = [count_flops(part) for part in parts if hasattr(part, "eqns")]
  if name == "cond":
    return max(inner)
  return params["length"] * sum(inner) if name == "scan" else sum(inner)
