"""Counts of floating-point operations, beside what the arithmetic says."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from dreamerax.runtime.learn.flops import count_flops

MATRIX = jnp.ones((8, 8))


def count(function, *arguments) -> dict[str, int]:
  return count_flops(jax.jit(function).trace(*arguments).jaxpr)


def product(x):
  return x @ MATRIX


@pytest.mark.parametrize(
  ("function", "products"),
  [
    (product, 1),
    (lambda x: lax.scan(lambda x, _: (jax.jit(product)(x), None), x, length=5)[0], 5),
    (lambda x: lax.cond(x[0, 0] > 0, product, lambda x: product(product(x)), x), 2),
    (jax.grad(lambda x: jax.checkpoint(lambda x: jnp.sin(product(x)).sum())(x)), 3),  # forward, again, backward
    (jax.vmap(product), 1),
  ],
)
def test_every_product_that_runs_is_counted(function, products):
  x = jnp.ones((3, 8))
  assert count(function, x) == {"float32": products * 2 * 3 * 8 * 8}


def test_a_convolution_counts_the_taps_of_every_output():
  images, kernel = jnp.ones((2, 6, 7, 3)), jnp.ones((5, 5, 3, 4))
  layout = ("NHWC", "HWIO", "NHWC")

  def convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layout)

  assert count(convolve, images, kernel) == {"float32": 2 * (2 * 6 * 7 * 4) * (5 * 5 * 3)}


def test_products_of_each_dtype_count_apart():
  half = MATRIX.astype(jnp.bfloat16)
  assert count(lambda x, y: (x @ MATRIX, y @ half), MATRIX, half[:1]) == {"float32": 2 * 8**3, "bfloat16": 2 * 8**2}
