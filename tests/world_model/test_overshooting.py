"""Latent overshooting against a loop over starts and distances."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.types import Transition
from dreamerax.world_model.objectives.overshooting import Overshooting

B, T, NATS = 3, 6, 0.5
RNG = np.random.default_rng(0)
LATENTS, STATS = RNG.normal(size=(2, B, T)).astype(np.float32)
ACTIONS = RNG.normal(size=(B, T)).astype(np.float32)
IS_FIRST = np.zeros((B, T), bool)
IS_FIRST[0, 0] = IS_FIRST[1, 3] = IS_FIRST[2, 5] = True
FLAG = np.zeros((B, T), bool)
STEPS = Transition({}, ACTIONS[..., None], FLAG, IS_FIRST, FLAG, FLAG)


def make_dynamics(gain=0.7):
  """A latent is one number, which halves and moves with the action; its prior's statistic is its `gain`-fold."""
  return SimpleNamespace(
    imagine_step=lambda latent, action, key: {"x": 0.5 * latent["x"] + action[..., 0]},
    prior=lambda latent: gain * latent["x"][..., None],
    kl=lambda q, p: jnp.square(q - p).sum(-1),
  )


def loss(distance, latents=LATENTS, stats=STATS, gain=0.7):
  overshooting = Overshooting(distance, free_nats=NATS)
  return overshooting.loss(make_dynamics(gain), {"x": latents}, stats[..., None], STEPS, jax.random.key(0))


def loop(distance):
  rows = []
  for b in range(B):
    for t in range(T):
      x = LATENTS[b, t]
      for d in range(1, distance + 1):
        if t + d >= T or IS_FIRST[b, t + d]:
          break
        x = 0.5 * x + ACTIONS[b, t + d]
        if d > 1:
          rows.append(max(NATS, (STATS[b, t + d] - 0.7 * x) ** 2))
  return np.mean(rows)


@pytest.mark.parametrize("distance", [2, 3, 5])
def test_it_equals_a_loop_over_starts_and_distances(distance):
  assert loss(distance) == pytest.approx(loop(distance), rel=1e-5)


def test_distances_beyond_the_sequence_change_nothing():
  assert loss(50) == pytest.approx(float(loss(5)), rel=1e-6)


def test_posteriors_are_targets_and_starts_and_the_model_learn():
  stats = jax.grad(lambda stats: loss(4, stats=stats))(jnp.asarray(STATS))
  starts, gain = jax.grad(lambda latents, gain: loss(4, latents, gain=gain), (0, 1))(jnp.asarray(LATENTS), 0.7)
  assert not np.any(stats) and np.any(starts) and gain != 0


def test_one_step_ahead_is_refused():
  with pytest.raises(ValueError, match="distance=1 must be at least 2"):
    Overshooting(1)
