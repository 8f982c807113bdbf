"""A world model's state beside its parameters, by an objective that compares with a slow copy of the encoder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent
from dreamerax.behavior.uniform import Uniform
from dreamerax.nets.modules import Params, params_of, with_params
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, Checkpoints, load_state
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import init_state
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Seen, Sizes
from dreamerax.world_model.objectives.projection import Projection
from tests import test_sharding, tiny
from tests.runtime.checkpoint.test_checkpoints import saved


@dataclass(frozen=True)
class Bootstrap(Objective):
  """Features tell the embedding of an encoder that follows the trained one (Grill et al. 2020, without a second view)."""

  rate: float = 0.1  # share of the encoder that enters its slow copy per update

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "BootstrapModule":
    return BootstrapModule(self.rate, sizes, dtype=dtype, rngs=rngs)


class BootstrapModule(ObjectiveModule):
  def __init__(self, rate: float, sizes: Sizes, *, dtype: Any, rngs: nnx.Rngs):
    self.rate, self.projection = rate, Projection(sizes, dtype=dtype, rngs=rngs)

  @property
  def scales(self) -> Mapping[str, float]:
    return {"bootstrap": 1.0}

  def init_slow(self, model: Model) -> Params:
    return {"encoder": params_of(model.encoder)}

  def update_slow(self, slow: Params, model: Model, updates: jax.Array) -> Params:
    mixed = jax.tree.map(lambda old, new: old + self.rate * (new - old), slow["encoder"], params_of(model.encoder))
    return {"encoder": mixed}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    target = with_params(model.encoder, slow["encoder"])(seen.observation)
    projected, target = self.projection(model.features(seen.latents), target)
    return {"bootstrap": jnp.square(projected - target).mean()}


def make_agent(spec: EnvSpec = tiny.VECTOR, **changes: Any) -> Agent:
  config = replace(tiny.config(**changes), behavior=Uniform())
  world_model = config.world_model
  objectives = {"kl": world_model.objectives["kl"], "target": Bootstrap()}
  return Agent(replace(config, world_model=replace(world_model, objectives=objectives)), spec)


AGENT = make_agent()
UPDATE = jax.jit(AGENT.update)


@cache
def states() -> list[Any]:
  """Before, and after one and two updates."""
  found = [init_state(AGENT, local_mesh(), jax.random.key(0))]
  for number in range(2):
    found.append(UPDATE(found[-1], tiny.batch(AGENT), jax.random.key(number))[0])
  return found


def encoder(state: Any) -> Any:
  return state["params"]["world_model"]["encoder"]


@pytest.mark.slow
def test_the_slow_encoder_follows_the_trained_one():
  slow = encoder(states()[0])
  for state in states()[1:]:
    slow = jax.tree.map(lambda old, new: old + 0.1 * (new - old), slow, encoder(state))
    found = state["world_slow"]["target"]["encoder"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8), found, slow)
  moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), encoder(states()[0]), found)
  assert all(jax.tree.leaves(moved))


def test_the_loss_compares_with_the_slow_encoder():
  state, batch, key = states()[1], tiny.batch(AGENT), jax.random.key(2)
  doubled = jax.tree.map(lambda x: 2 * x, state["world_slow"])
  here, there = (UPDATE({**state, "world_slow": slow}, batch, key)[2] for slow in (state["world_slow"], doubled))
  assert here["loss/bootstrap"] != there["loss/bootstrap"] and here["loss/reward"] == there["loss/reward"]


def test_a_run_goes_on_from_a_checkpoint_to_the_bit(tmp_path: Path):
  checkpoints = Checkpoints(tmp_path / FOLDER)
  checkpoints.save(states()[1], saved(10))
  checkpoints.close()
  loaded, _ = load_state(tmp_path, AGENT)
  again, _, _ = UPDATE(loaded, tiny.batch(AGENT), jax.random.key(1))
  jax.tree.map(np.testing.assert_array_equal, again, states()[2])


def test_a_world_model_without_has_none():
  assert "world_slow" not in jax.eval_shape(Agent(tiny.config(), tiny.VECTOR).init, jax.random.key(0))


def check_sharded() -> None:
  """Run in a process that has 8 devices; the state is split over two of them."""
  test_sharding.sharding.LARGE = 256
  test_sharding.check(make_agent(tiny.PIXELS, learning_rate=4e-5), 4, 2)


@pytest.mark.slow
def test_eight_devices_update_it_as_one(on_eight_devices):
  on_eight_devices("from tests.world_model import test_slow_state as t; t.check_sharded()")
