"""An agent of two behaviours: who acts, what learns, under which names, and what the task's reward reaches."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.exploring import Exploring
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.disagreement import Disagreement
from dreamerax.behavior.uniform import Uniform
from dreamerax.nets.stopped_head import StoppedHead
from dreamerax.ops.optimizers import LaProp
from tests import tiny

DISAGREEMENT = Disagreement(members=2, layers=1, units=8, optimizer=LaProp(learning_rate=1e-3, warmup=0))


def make(**changes) -> Agent:
  """As Plan2Explore has it: neither the reward head nor a critic teaches the world model."""
  config = tiny.config()
  assert isinstance(config.behavior, ActorCritic)
  actor_critic = replace(config.behavior, replay_value_scale=0.0)
  world_model = replace(config.world_model, reward=StoppedHead(config.world_model.reward))
  behavior = Exploring(task=actor_critic, explorer=Rewarded(actor_critic, DISAGREEMENT))
  return Agent(replace(config, world_model=world_model, behavior=replace(behavior, **changes)), tiny.VECTOR)


@pytest.fixture(scope="module")
def updated():
  """State, update, batch, and what two updates gave: behind output layers of zeros, parameters wait for the second."""
  agent = make()
  state, batch, update = agent.init(jax.random.key(0)), tiny.batch(agent), jax.jit(agent.update)
  first, _, _ = update(state, batch, jax.random.key(1))
  second, _, metrics = update(first, batch, jax.random.key(2))
  return agent, update, state, batch, second, metrics


def test_all_parts_of_both_learn_in_one_update(updated):
  _, _, old, _, new, _ = updated
  moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), old["params"], new["params"])
  assert set(moved["behavior"]) == {"task", "explorer"} and set(moved["behavior"]["explorer"]) == {"inner", "reward"}
  assert all(jax.tree.leaves(moved))
  assert jax.tree.map(lambda x: (x.shape, x.dtype), old) == jax.tree.map(lambda x: (x.shape, x.dtype), new)
  critics = [each["critic"]["mlp"] for each in (new["slow"]["task"], new["slow"]["explorer"]["inner"])]
  before = [each["critic"]["mlp"] for each in (old["slow"]["task"], old["slow"]["explorer"]["inner"])]
  assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(np.any(a != b)), before, critics)))


def test_losses_and_metrics_stand_under_both_names(updated):
  metrics = updated[-1]
  assert all(np.isfinite(x) for x in metrics.values())
  names = {"actor", "critic", "replay_value"}
  assert {name for name in metrics if name.startswith("loss/task/")} == {f"loss/task/{name}" for name in names}
  explorer = {f"loss/explorer/{name}" for name in (*names, "disagreement")}
  assert {name for name in metrics if name.startswith("loss/explorer/")} == explorer
  assert metrics["explorer/imagined/reward"] > 0 and metrics["explorer/disagreement/replayed"] > 0
  assert metrics["task/actor/entropy"] != metrics["explorer/actor/entropy"]
  losses = {name.removeprefix("loss/"): float(x) for name, x in metrics.items() if name.startswith("loss/")}
  total = losses.pop("total")
  scales = dict.fromkeys(losses, 1.0) | {"representation": 0.1, "task/replay_value": 0, "explorer/replay_value": 0}
  assert total == pytest.approx(sum(scales[name] * loss for name, loss in losses.items()), rel=1e-5)


@pytest.mark.parametrize(("explore", "acting"), [(True, "explorer"), (False, "task")])
def test_the_explorer_collects_and_the_task_behaviour_is_evaluated(updated, explore: bool, acting: str):
  agent, _, _, _, state, _ = updated
  observation, first = tiny.observation(tiny.VECTOR, 3), np.ones(3, bool)

  @jax.jit
  def act(params):
    return agent.act(params, agent.initial_carry(3), observation, first, jax.random.key(0), explore=explore)

  action, carry, _ = act(state["params"])
  for name, behavior in state["params"]["behavior"].items():
    other = jax.tree.map(lambda x: x + 1, behavior)
    changed = act({**state["params"], "behavior": {**state["params"]["behavior"], name: other}})[0]
    assert np.array_equal(action, changed) == (name != acting)
  shapes = jax.tree.map(lambda x: (x.shape, x.dtype), (agent.initial_carry(3), carry))
  assert shapes[0] == shapes[1]
  value = agent.expect(state["params"], carry).value
  assert value is not None and value.shape == (3,)  # the task's


def test_the_tasks_reward_reaches_neither_the_world_model_nor_the_explorer(updated):
  _, update, state, batch, _, _ = updated
  other = batch._replace(steps=batch.steps._replace(reward=10 * batch.steps.reward))
  one, two = (update(state, each, jax.random.key(1))[0]["params"] for each in (batch, other))
  heads = [each["world_model"].pop("reward") for each in (one, two)]
  assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, heads), strict=True))
  jax.tree.map(np.testing.assert_array_equal, one["world_model"], two["world_model"])
  jax.tree.map(np.testing.assert_array_equal, one["behavior"]["explorer"], two["behavior"]["explorer"])


def test_an_explorer_may_have_no_parameters():
  agent = make(explorer=Uniform())
  state = jax.eval_shape(agent.init, jax.random.key(0))
  new, _, metrics = jax.eval_shape(agent.update, state, tiny.batch(agent), jax.random.key(1))
  assert set(new["params"]["behavior"]) == {"task"} and not any("explorer" in name for name in metrics)
