"""Which step is the goal of which, against loops over episodes of random lengths."""

import jax
import numpy as np
import pytest

from dreamerax.behavior.goals.relabel import Any, Final, Future, Geometric, Near, Relabel, Shuffled, spans

SEEDS = range(20)
DRAWS = 400
RULES = (Final(), Future(), Near(2), Any(), Geometric(0.3))


def batches(seed: int) -> np.ndarray:
  """is_first [B, T] of rows that begin anywhere in an episode."""
  rng = np.random.default_rng(seed)
  return rng.random((rng.integers(1, 5), rng.integers(1, 9))) < rng.choice([0.0, 0.3, 0.8])


def episodes(is_first: np.ndarray):
  """(row, step, the steps of its episode that the row holds)."""
  for row, firsts in enumerate(is_first):
    for step in range(len(firsts)):
      first = max((t for t in range(step + 1) if firsts[t]), default=0)
      last = next((t - 1 for t in range(step + 1, len(firsts)) if firsts[t]), len(firsts) - 1)
      yield row, step, range(first, last + 1)


def allowed(rule: Relabel, step: int, episode: range) -> set[int]:
  last = episode[-1]
  if isinstance(rule, Final):
    return {last}
  if isinstance(rule, Near):
    return set(range(step, min(step + rule.limit, last) + 1))
  return set(episode) if isinstance(rule, Any) else set(range(step + 1, last + 1)) or {step}


def draws(rule: Relabel, is_first: np.ndarray, count: int = DRAWS) -> np.ndarray:
  """[count, B, T], steps counted row by row."""
  steps = np.arange(is_first.size).reshape(*is_first.shape, 1)
  draw = jax.vmap(lambda key: rule.goals(steps, is_first, key))
  return np.asarray(draw(jax.random.split(jax.random.key(0), count)))[..., 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_spans_are_the_episodes(seed: int):
  is_first = batches(seed)
  first, last = spans(is_first)
  for row, step, episode in episodes(is_first):
    assert (first[row, step], last[row, step]) == (episode[0], episode[-1]), seed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("seed", SEEDS[:5])
def test_a_goal_is_of_the_steps_own_episode_and_every_goal_that_may_be_is_drawn(rule: Relabel, seed: int):
  is_first = batches(seed)
  found, length = draws(rule, is_first), is_first.shape[1]
  for row, step, episode in episodes(is_first):
    rows, times = np.divmod(found[:, row, step], length)
    assert (rows == row).all(), seed
    wanted = allowed(rule, step, episode)
    drawn = set(times.tolist())
    assert drawn <= wanted and (isinstance(rule, Geometric) or drawn == wanted), (seed, row, step)


def test_later_steps_are_equally_likely_or_fall_off_geometrically():
  is_first = np.zeros((1, 6), bool)
  shares = {
    type(rule): np.bincount(draws(rule, is_first, 20_000)[:, 0, 1], minlength=6) / 20_000
    for rule in (Future(), Any(), Geometric(0.3))
  }
  np.testing.assert_allclose(shares[Future], [0, 0, *[0.25] * 4], atol=0.02)
  np.testing.assert_allclose(shares[Any], np.full(6, 1 / 6), atol=0.02)
  falling = [0.3 * 0.7**k for k in range(3)]
  np.testing.assert_allclose(shares[Geometric], [0, 0, *falling, 1 - sum(falling)], atol=0.02)


def test_shuffled_goals_are_of_any_row():
  is_first = batches(3) if batches(3).shape[0] > 1 else np.zeros((3, 4), bool)
  found = draws(Shuffled(), is_first)
  assert set(found.ravel().tolist()) == set(range(is_first.size))


@pytest.mark.parametrize("p", [0.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(p: float):
  with pytest.raises(ValueError, match="p="):
    Geometric(p)
