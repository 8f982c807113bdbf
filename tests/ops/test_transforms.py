import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.ops.transforms import symexp, symlog


@pytest.mark.parametrize("x", [0.0, 1.0, -1.0, 12.5, -3e4])
def test_symlog_by_hand(x):
  expected = math.copysign(math.log(1 + abs(x)), x)
  assert symlog(jnp.float32(x)) == pytest.approx(expected, rel=1e-6)


def test_symexp_inverts_symlog_over_twelve_orders_of_magnitude():
  x = np.concatenate([-np.logspace(-6, 6, 50), [0.0], np.logspace(-6, 6, 50)]).astype(np.float32)
  np.testing.assert_allclose(symexp(symlog(x)), x, rtol=3e-6)


def test_both_are_the_identity_near_zero():
  for transform in (symlog, symexp):
    assert jax.grad(transform)(1e-4) == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(transform(jnp.float32(1e-5)), 1e-5, rtol=1e-4)
