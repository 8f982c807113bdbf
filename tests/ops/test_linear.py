"""Block-diagonal products equal those of the whole matrix, however a backend computes them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import block_diag

from dreamerax.ops import linear


@pytest.mark.parametrize("on_cpu", [True, False])
def test_a_block_product_is_that_of_the_block_diagonal_matrix(on_cpu: bool, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(linear, "on_cpu", lambda: on_cpu)
  rng = np.random.default_rng(0)
  x, kernel = rng.normal(size=(2, 5, 3, 4)).astype(np.float32), rng.normal(size=(3, 4, 6)).astype(np.float32)
  weight = rng.normal(size=(2, 5, 3, 6)).astype(np.float32)
  whole = np.asarray(block_diag(*kernel))  # [12, 18]
  expected = (x.reshape(2, 5, 12) @ whole).reshape(2, 5, 3, 6)
  np.testing.assert_allclose(linear.block_product(x, kernel), expected, rtol=1e-5, atol=1e-5)
  to_x, to_kernel = jax.grad(lambda x, k: (linear.block_product(x, k) * weight).sum(), (0, 1))(x, kernel)
  np.testing.assert_allclose(to_x, (weight.reshape(2, 5, 18) @ whole.T).reshape(x.shape), rtol=1e-5, atol=1e-5)
  products = np.einsum("abgi,abgo->gio", x, weight)
  np.testing.assert_allclose(to_kernel, products, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_a_split_product_gives_each_share_of_every_block(on_cpu: bool, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(linear, "on_cpu", lambda: on_cpu)
  rng = np.random.default_rng(0)
  x, kernel = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((2, 5, 3, 4), (3, 4, 6)))
  weight = rng.normal(size=(3, 2, 5, 6)).astype(np.float32)  # of each of the three parts

  def plain(x, kernel):
    whole = jnp.einsum("abgi,gio->abgo", x, kernel)
    return [whole[..., 2 * part : 2 * part + 2].reshape(2, 5, 6) for part in range(3)]

  def loss(parts):
    return sum((part * w).sum() for part, w in zip(parts, weight, strict=True))

  for part, expected in zip(linear.split_block_product(x, kernel, 3), plain(x, kernel), strict=True):
    np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-5)
  ours = jax.grad(lambda x, k: loss(linear.split_block_product(x, k, 3)), (0, 1))(x, kernel)
  for gradient, expected in zip(ours, jax.grad(lambda x, k: loss(plain(x, k)), (0, 1))(x, kernel), strict=True):
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)
