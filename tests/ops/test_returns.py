"""λ-returns against the sum of n-step returns that they are defined by, not against their recursion."""

import numpy as np
import pytest

from dreamerax.ops.returns import lambda_return


def n_step(reward, discount, value, t, n):
  """r_{t+1} + d_{t+1} r_{t+2} + … + d_{t+1} … d_{t+n} v_{t+n}."""
  total, factor = 0.0, 1.0
  for k in range(t + 1, t + n + 1):
    total += factor * reward[k]
    factor *= discount[k]
  return total + factor * value[t + n]


def mixture(reward, discount, value, lambda_):
  """(1 - λ) Σ λ^(n-1) R^(n), what is left of the weights on the longest return."""
  last = len(reward) - 1
  returns = []
  for t in range(last):
    longest = last - t
    weights = [(1 - lambda_) * lambda_ ** (n - 1) for n in range(1, longest)] + [lambda_ ** (longest - 1)]
    steps = [n_step(reward, discount, value, t, n) for n in range(1, longest + 1)]
    returns.append(np.dot(weights, steps))
  return np.array(returns)


@pytest.fixture
def episode():
  rng = np.random.default_rng(0)
  reward, value = rng.normal(size=(2, 3, 7))
  discount = rng.uniform(0.5, 1, (3, 7))
  discount[1, 4] = 0.0  # an episode that ends
  return tuple(x.astype(np.float32) for x in (reward, discount, value))


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 0.95, 1.0])
def test_equals_the_mixture_of_n_step_returns(episode, lambda_):
  expected = np.stack([mixture(*row, lambda_) for row in zip(*episode, strict=True)])
  np.testing.assert_allclose(lambda_return(*episode, lambda_), expected, rtol=1e-5, atol=1e-5)


def test_lambda_zero_is_one_step_temporal_difference(episode):
  reward, discount, value = episode
  expected = reward[:, 1:] + discount[:, 1:] * value[:, 1:]
  np.testing.assert_allclose(lambda_return(*episode, 0.0), expected, rtol=1e-6)


def test_lambda_one_uses_no_value_but_the_last(episode):
  reward, discount, value = episode
  others = value.copy()
  others[:, :-1] += 100
  np.testing.assert_array_equal(
    lambda_return(reward, discount, value, 1.0), lambda_return(reward, discount, others, 1.0)
  )


def test_nothing_passes_a_state_with_discount_zero(episode):
  reward, discount, value = (x.copy() for x in episode)
  before = lambda_return(reward, discount, value, 0.95)[1, :4]
  reward[1, 5:], value[1, 4:] = 1e6, 1e6
  np.testing.assert_array_equal(lambda_return(reward, discount, value, 0.95)[1, :4], before)


def test_a_trace_of_zero_bootstraps_at_its_own_step(episode):
  reward, discount, value = episode
  lambda_ = np.full_like(reward, 0.95)
  lambda_[:, 3] = 0.0
  got = lambda_return(reward, discount, value, lambda_)
  np.testing.assert_allclose(got[:, 2], reward[:, 3] + discount[:, 3] * value[:, 3], rtol=1e-6)


def test_other_shapes_are_refused(episode):
  reward, discount, value = episode
  with pytest.raises(AssertionError):
    lambda_return(reward, discount, value[:, :-1], 0.95)
