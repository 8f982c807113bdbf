"""What of one run can begin another."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax import transfer
from dreamerax.agent import Agent
from dreamerax.behavior.uniform import Uniform
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests import tiny

CONFIG = tiny.config()
SOURCE = dataclasses.replace(CONFIG, behavior=Uniform())
HERE = Path("/runs/world")


def check(config=CONFIG, spec=tiny.VECTOR) -> None:
  transfer.check_fits(HERE, Agent(SOURCE, tiny.VECTOR), Agent(config, spec))


def test_the_behaviour_and_the_optimiser_may_differ():
  check()
  check(dataclasses.replace(CONFIG, exploration_noise=0.3, optimizer=dataclasses.replace(CONFIG.optimizer, warmup=7)))


def test_hidden_observations_may_differ():
  check(spec=EnvSpec({**tiny.VECTOR.observation, "goal/position": ArraySpec((3,))}, ActionSpec(2)))


def test_the_first_field_that_differs_is_named():
  world = CONFIG.world_model
  deeper = dataclasses.replace(world, dynamics=dataclasses.replace(world.dynamics, deter=64), image_bits=5)
  with pytest.raises(
    ValueError, match=r"init_world_model=/runs/world: agent\.world_model\.dynamics\.deter is 32 .* 64"
  ):
    check(dataclasses.replace(CONFIG, world_model=deeper))
  with pytest.raises(ValueError, match=r"agent\.world_model\.continues is BinaryHead.* and None in this run: give"):
    check(dataclasses.replace(CONFIG, world_model=dataclasses.replace(world, continues=None)))
  with pytest.raises(ValueError, match=r"observation 'velocity' is ArraySpec.* there and None in this run"):
    check(spec=EnvSpec({"position": ArraySpec((3,))}, ActionSpec(2)))
  with pytest.raises(ValueError, match=r"observation 'more' is None there and ArraySpec"):
    check(spec=EnvSpec({**tiny.VECTOR.observation, "more": ArraySpec((3,))}, ActionSpec(2)))
  with pytest.raises(ValueError, match=r"action\.size is 2 there and 3"):
    check(spec=EnvSpec(tiny.VECTOR.observation, ActionSpec(3)))


def state(value: float):
  """What an agent's state looks like."""
  params = {"world_model": {"encoder": {"w": jnp.full(3, value)}}, "behavior": {"actor": jnp.full(2, value)}}
  slow = {"slow": jnp.full(2, value), "world_slow": {"target": jnp.full(2, value)}}
  return {"params": params, "optimizer": {"world_model": jnp.full(3, value)}, **slow}


def test_exactly_the_world_model_is_taken_over(monkeypatch: pytest.MonkeyPatch):
  def load_trained(run_dir: Path, agent: Agent):
    assert (run_dir, agent) == (HERE, "source")
    return state(2.0)

  monkeypatch.setattr(transfer.packed, "load_trained", load_trained)
  begun = transfer.with_world_model(state(1.0), HERE, "source")  # type: ignore[arg-type]
  wanted = state(1.0)
  wanted["params"]["world_model"] = state(2.0)["params"]["world_model"]
  wanted["world_slow"] = state(2.0)["world_slow"]
  jax.tree.map(np.testing.assert_array_equal, begun, wanted)
