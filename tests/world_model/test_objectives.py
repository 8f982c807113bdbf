"""Objectives by name: what a world model makes of them, and an agent whose world model decodes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.agent import Agent, AgentConfig
from dreamerax.commands.options import Options, read
from dreamerax.config import changed, first_difference, from_dict, to_dict
from dreamerax.nets.blocks import Linear
from dreamerax.nets.modules import Params
from dreamerax.presets import build
from dreamerax.run_config import RunConfig
from dreamerax.types import EnvSpec, Transition
from dreamerax.world_model.model import WorldModel
from dreamerax.world_model.objectives.base import Model, Objective, ObjectiveModule, Objectives, Seen, Sizes
from dreamerax.world_model.objectives.kl import BalancedKL, FreeBits
from dreamerax.world_model.objectives.reconstruction import Reconstruction
from tests import tiny


@dataclass(frozen=True)
class Schedule(Objective):
  """Its loss is what it is given: the count of updates, and a product of a parameter with the embedding."""

  loss: str = "schedule"
  scale: float = 0.25

  def build(self, sizes: Sizes, spec: EnvSpec, *, dtype: Any, rngs: nnx.Rngs) -> "ScheduleModule":
    return ScheduleModule(self, sizes, dtype, rngs)


class ScheduleModule(ObjectiveModule):
  def __init__(self, config: Schedule, sizes: Sizes, dtype: Any, rngs: nnx.Rngs):
    self.config = config
    self.project = Linear(sizes.embed, 1, dtype=dtype, rngs=rngs)

  @property
  def scales(self) -> Mapping[str, float]:
    return {self.config.loss: self.config.scale}

  def losses(
    self, slow: Params, model: Model, seen: Seen, steps: Transition, updates: jax.Array, key: jax.Array
  ) -> dict[str, jax.Array]:
    assert seen.embed.shape[:2] == steps.reward.shape == seen.posterior.shape[:2] == seen.prior.shape[:2]
    return {self.config.loss: updates + jnp.square(self.project(seen.embed))[..., 0]}


def with_objectives(**objectives: Objective) -> AgentConfig:
  config = tiny.config()
  return replace(config, world_model=replace(config.world_model, objectives=objectives))


def test_an_objective_trains_its_parameters_and_the_encoder_and_knows_the_count_of_updates():
  config = with_objectives(schedule=Schedule())
  agent = Agent(config, tiny.VECTOR)
  state, batch, update = agent.init(jax.random.key(0)), tiny.batch(agent), jax.jit(agent.update)
  new, _, first = update(state, batch, jax.random.key(1))
  _, _, second = update(new, batch, jax.random.key(1))
  assert second["loss/schedule"] > 1 and first["loss/schedule"] < second["loss/schedule"] < first["loss/schedule"] + 1
  others = sum(float(first[f"loss/{name}"]) for name in ("reward", "continue", "actor", "critic"))
  others += 0.3 * float(first["loss/replay_value"])
  assert first["loss/total"] == pytest.approx(0.25 * float(first["loss/schedule"]) + others, rel=1e-5)
  world = [each["params"]["world_model"] for each in (state, new)]
  for part in (["objectives", "schedule", "project"], ["encoder"]):
    old, moved = world
    for name in part:
      old, moved = old[name], moved[name]
    assert all(np.any(a != b) for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(moved), strict=True)), part


def test_a_world_model_that_decodes_nothing_shows_nothing():
  agent = Agent(with_objectives(kl=FreeBits()), tiny.PIXELS)
  state, batch, key = agent.init(jax.random.key(0)), tiny.batch(agent), jax.random.key(1)
  assert agent.decoded == () and jax.jit(agent.report)(state, batch, key) == {}
  prediction = agent.expect(state["params"], agent.initial_carry(2))
  assert prediction.observation == {} and prediction.reward.shape == (2,)
  predicted = agent.predict(state["params"], batch, 2, key)
  assert predicted.observation == {} and predicted.reward.shape == (4, 5)
  assert Agent(tiny.config(), tiny.VECTOR).decoded == ("position", "velocity")


def test_the_order_of_names_means_nothing():
  one, other = Objectives({"kl": FreeBits(), "a": BalancedKL()}), Objectives({"a": BalancedKL(), "kl": FreeBits()})
  assert list(one) == list(other) == ["a", "kl"] and one == other and hash(one) == hash(other)
  assert WorldModel(objectives=one) == WorldModel(objectives=dict(other))
  assert hash(WorldModel(objectives=one)) == hash(WorldModel(objectives=other))


@pytest.mark.parametrize(
  ("objectives", "message"),
  [
    ({"a": FreeBits(), "b": BalancedKL()}, "objectives: two of them have a loss called 'dynamics': leave one out"),
    ({"a": Schedule("reward")}, "objectives: two of them have a loss called 'reward'"),
    ({"a": Schedule("critic")}, "world model and behaviour both have a loss called 'critic'"),
    ({"a": Reconstruction(), "b": Reconstruction()}, "a loss called 'reconstruction/position'"),
    ({"a-b": FreeBits()}, "objectives: 'a-b' is no name"),
  ],
)
def test_names_that_stand_for_two_things_are_refused(objectives: dict[str, Objective], message: str):
  with pytest.raises(ValueError, match=message):
    Agent(with_objectives(**objectives), tiny.VECTOR)


def test_objectives_are_read_back_from_json_and_compared_by_name():
  config = build("dreamer-v2")
  data = to_dict(config)
  assert data["agent"]["world_model"]["objectives"]["kl"]["balance"] == 0.8
  assert from_dict(RunConfig, data) == config
  other = changed(config, {"agent.world_model.objectives.kl.balance": 0.5})
  assert first_difference(config, other, "config") == ("config.agent.world_model.objectives.kl.balance", 0.8, 0.5)
  world = config.agent.world_model
  without = replace(world, objectives={"kl": world.objectives["kl"]})
  path, old, new = first_difference(world, without, "world_model") or ("", None, None)
  assert path == "world_model.objectives.reconstruction" and isinstance(old, Reconstruction) and new is None
  data["agent"]["world_model"]["objectives"]["kl"]["part"] = "FreeBit"
  with pytest.raises(ValueError, match=r"objectives\.kl: no Objective is called 'FreeBit'; did you mean FreeBits"):
    from_dict(RunConfig, data)
  data["agent"]["world_model"]["objectives"] = [1]
  with pytest.raises(ValueError, match=r"world_model\.objectives=\[1\]: must be parts by name"):
    from_dict(RunConfig, data)


def test_each_objective_has_options():
  config = build("dreamer-v3", "1m").agent.world_model
  words = ["--objectives.kl.free-nats", "2", "--objectives.reconstruction.decoder.depth", "8"]
  found = read(WorldModel, words, command="train", default=config).objectives
  assert found["kl"] == FreeBits(free_nats=2.0) and found["reconstruction"].decoder.depth == 8
  assert {"--objectives.kl.free-nats", "--objectives.reconstruction.scale"} <= {*Options(config, []).known()}
  with pytest.raises(ValueError, match=r"--objectives\.kl\.free-nats=-1\.0 must be at least 0"):
    read(WorldModel, ["--objectives.kl.free-nats", "-1"], command="train", default=config)
