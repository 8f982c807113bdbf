"""Floating-point operations of a function, counted in its trace.

A compiler's own count takes the body of a loop once, however often it runs.
"""

import math
from collections import Counter
from typing import Any

import jax


def count_flops(jaxpr: Any) -> Counter[str]:
  """Multiplications and additions of all matrix products and convolutions, by the dtype of what is multiplied.

  Of branches, those of the dearest.

  Args:
    jaxpr: `jax.stages.Traced.jaxpr` or what is inside one. Loops whose length is not known count once.
  """
  return sum((_of_equation(equation) for equation in jaxpr.eqns), Counter())


def _of_equation(equation: Any) -> Counter[str]:
  name, params = equation.primitive.name, equation.params
  if name in ("dot_general", "conv_general_dilated"):
    return Counter({equation.invars[1].aval.dtype.name: 2 * equation.outvars[0].aval.size * _terms(equation)})
  # Whatever an equation is made of: jaxprs, alone or in tuples among its parameters.
  parts = jax.tree.leaves(list(params.values()), is_leaf=lambda x: hasattr(x, "eqns"))
  inner = [count_flops(part) for part in parts if hasattr(part, "eqns")]
  if name == "cond":
    return max(inner, key=Counter.total)
  times = params["length"] if name == "scan" else 1
  return Counter({dtype: times * flops for dtype, flops in sum(inner, Counter()).items()})


def _terms(equation: Any) -> int:
  """Counts the terms of the sum that each result of a matrix product or convolution
  is."""
  right, numbers = equation.invars[1].aval, equation.params["dimension_numbers"]
  if equation.primitive.name == "conv_general_dilated":
    return right.size // right.shape[numbers.rhs_spec[0]]
  (_, contracted), _ = numbers
  return math.prod(right.shape[axis] for axis in contracted)
