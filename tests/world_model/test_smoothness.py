"""Smoothness against a loop, and the dynamics whose state is the embedding."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.dynamics.as_encoded import AsEncoded
from dreamerax.dynamics.stochastic import Deterministic
from dreamerax.dynamics.transitions import Residual
from dreamerax.types import Transition
from dreamerax.world_model.objectives.base import Seen
from dreamerax.world_model.objectives.smoothness import Smoothness, SmoothnessModule
from tests import plain
from tests.contracts import dynamics as contract
from tests.contracts.dynamics import DynamicsContract

B, T, F = 3, 6, 2


class TestAsEncoded(DynamicsContract):
  def make(self):
    return AsEncoded(Residual(layers=1, units=5), Deterministic(dims=contract.EMBED))


class Model:
  """The part of a world model that the objective needs."""

  encoder: Any = None
  dynamics: Any = None

  def features(self, latent):
    return latent["x"]


def smoothness(features, first):
  flags = np.zeros_like(first)
  steps = Transition({}, np.zeros((*first.shape, 1)), np.zeros(first.shape), first, flags, flags)
  nothing = jnp.zeros(())
  seen = Seen({}, nothing, {"x": jnp.asarray(features)}, nothing, nothing)
  objective = SmoothnessModule(Smoothness())
  return objective.losses({}, Model(), seen, steps, jnp.int32(0), jax.random.key(0))["smoothness"]


def test_it_is_the_squared_second_difference_of_three_steps_of_one_episode():
  rng = np.random.default_rng(0)
  features, first = rng.normal(size=(B, T, F)).astype(np.float32), np.zeros((B, T), bool)
  first[0, 0] = first[1, 3] = first[2, 5] = True
  errors = []
  for b in range(B):
    for t in range(1, T - 1):
      if not first[b, t] and not first[b, t + 1]:
        errors.append(((features[b, t + 1] - 2 * features[b, t] + features[b, t - 1]) ** 2).sum())
  assert len(errors) == 4 + 2 + 3
  np.testing.assert_allclose(smoothness(features, first), np.mean(errors), rtol=1e-5)


def test_constant_velocity_costs_nothing():
  line = np.arange(T, dtype=np.float32)[None, :, None] * np.array([0.5, -0.25], np.float32)
  np.testing.assert_allclose(smoothness(np.tile(line, (B, 1, 1)), np.zeros((B, T), bool)), 0, atol=1e-10)
  assert smoothness(line, np.ones((1, T), bool)) == 0  # nothing to compare
  with pytest.raises(ValueError, match=r"replay.batch_length=2: smoothness compares three steps; raise it to 3"):
    smoothness(line[:, :2], np.zeros((1, 2), bool))


def test_the_state_is_the_embedding_itself():
  module, _ = plain.randomised(lambda: contract.build(TestAsEncoded().make()))
  action, embed, first = contract.inputs()
  latents, stats = plain.call(
    module, contract.observe, contract.latent(module), (action, embed, first), jax.random.key(0)
  )
  np.testing.assert_array_equal(latents["stoch"], embed)
  np.testing.assert_array_equal(stats, embed)


def test_an_encoder_of_another_size_is_refused():
  config = AsEncoded(stochastic=Deterministic(dims=8))
  with pytest.raises(ValueError, match=r"stochastic.dims=8, and the encoder gives 6 numbers, .*: set it to 6"):
    config.build(6, 2, dtype=jnp.float32, rngs=nnx.Rngs(0))
