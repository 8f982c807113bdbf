"""Factors of small matrices beside NumPy's."""

import jax
import numpy as np
import pytest

from dreamerax.ops.small import cholesky, solve_lower


@pytest.mark.parametrize("size", [1, 4])
def test_factors_and_solutions_are_those_of_numpy(size):
  rng = np.random.default_rng(size)
  root, right = rng.normal(size=(3, size, size)), rng.normal(size=(3, size, 2)).astype(np.float32)
  matrix = (root @ root.swapaxes(1, 2) + 0.1 * np.eye(size)).astype(np.float32)
  factor = jax.jit(cholesky)(matrix)
  np.testing.assert_allclose(factor, np.linalg.cholesky(matrix), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(jax.jit(solve_lower)(factor, right), np.linalg.solve(factor, right), rtol=1e-3, atol=1e-4)
  assert np.isnan(jax.jit(cholesky)(-matrix)).any()
