"""A behaviour for several tasks: what its rewards learn from, which task it imagines, and that it follows the one shown."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.behavior.actor_critic import ActorCritic
from dreamerax.behavior.base import Behavior, Replayed, Situation
from dreamerax.behavior.multitask import MultiTask, MultiTaskModule
from dreamerax.behavior.planners.shooting import Shooting
from dreamerax.behavior.planning import Planning
from dreamerax.nets.heads import ActorHead, NormalHead, TwoHotHead
from dreamerax.types import TASK, TASK_REWARDS, ActionSpec, ArraySpec, EnvSpec, Transition
from tests import plain
from tests.behavior.small_world import ACTION, F, make_world

B, T, K = 3, 5, 2
TASKS = {TASK: ArraySpec((K,)), TASK_REWARDS: ArraySpec((K,))}
SPEC = EnvSpec({"x": ArraySpec((F,)), **TASKS}, ActionSpec(ACTION))
WORLD = make_world(0.5)
HEAD = NormalHead(layers=1, units=6)
ACTOR_CRITIC = ActorCritic(actor=ActorHead(layers=1, units=5), critic=TwoHotHead(layers=1, units=5, bins=11), horizon=3)


def build(inner: Behavior = ACTOR_CRITIC, spec: EnvSpec = SPEC) -> MultiTaskModule:
  return MultiTask(inner, HEAD).build(F, spec, dtype=jnp.float32, rngs=nnx.Rngs(0))


def batch() -> tuple[Any, Replayed]:
  rng = np.random.default_rng(0)
  x, action = rng.normal(size=(2, B, T, F)).astype(np.float32)
  shown = {TASK: np.eye(K)[np.zeros((B, T), int)], TASK_REWARDS: rng.normal(size=(B, T, K))}
  is_first = np.array([[0, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0] * T], bool)
  steps = Transition(shown, action, np.ones((B, T), np.float32), is_first, *np.zeros((2, B, T), bool))
  return {"x": x.reshape(B * T, F)}, Replayed(
    jnp.asarray(x), jnp.asarray(x), jax.tree.map(np.float32, steps)._replace(is_first=is_first)
  )


def predicted(params: Any, features: Any, task: int) -> float:
  joined = np.concatenate([np.float64(features), np.eye(K)[task]])
  head = params["reward"]["head"]
  return float(plain.linear(head["out"], plain.plain_mlp(head["mlp"], joined[None], plain.elu))[0, 0])


def test_the_head_learns_every_tasks_reward_from_every_step_of_an_episode_but_its_first():
  module, params = plain.randomised(build)
  start, replayed = batch()
  losses = []
  for b in range(B):
    for t in range(T):
      for task in range(K):
        error = predicted(params, replayed.features[b, t], task) - replayed.steps.observation[TASK_REWARDS][b, t, task]
        losses.append(np.nan if replayed.steps.is_first[b, t] else 0.5 * error**2 + 0.5 * np.log(2 * np.pi))

  def loss(features: Any) -> Any:
    found = module.reward.losses({}, WORLD, start, replayed._replace(features=features), jax.random.key(0))
    return found.losses["task_rewards"]

  value, gradient = jax.jit(jax.value_and_grad(loss))(replayed.features)
  np.testing.assert_allclose(value, np.nanmean(losses), rtol=1e-5)
  assert (np.abs(gradient).max(-1) > 0).tolist() == (
    ~replayed.steps.is_first
  ).tolist()  # the world model is shaped by it


def test_each_replayed_step_imagines_a_task_at_random_and_is_paid_for_it():
  module, (start, replayed) = build(), batch()
  drawn = []
  for seed in range(20):
    latent, paid = module.replayed(WORLD, start, replayed, jax.random.key(seed))
    task = np.asarray(paid.features[..., F:])
    np.testing.assert_array_equal(paid.features[..., :F], replayed.features)
    np.testing.assert_array_equal(latent["goal"], task.reshape(B * T, K))
    worth = np.where(replayed.steps.is_first, 0, (task * replayed.steps.observation[TASK_REWARDS]).sum(-1))
    np.testing.assert_allclose(paid.steps.reward, worth, rtol=1e-6)
    drawn.append(task.argmax(-1))
  assert 0.4 < np.mean(drawn) < 0.6 and np.ptp(drawn, 0).min() == 1  # whatever task the step was collected for


def test_it_plans_for_the_task_that_is_shown():
  module, params = plain.randomised(lambda: build(Planning(Shooting(horizon=1, candidates=300))))
  latent = {"x": np.random.default_rng(1).normal(size=(K, F)).astype(np.float32)}
  now = Situation(latent, module.initial_memory(K), {TASK: np.eye(K, dtype=np.float32)}, {})
  action, _ = jax.jit(lambda now: module.act(WORLD, now, jax.random.key(0), explore=False))(now)
  others = np.random.default_rng(2).uniform(-1, 1, (300, ACTION))
  for task in range(K):
    after = [0.9 * latent["x"][task] + 0.5 * np.float64(each) for each in (action[task], *others)]
    chosen, *scores = [predicted(params, x, task) for x in after]
    assert chosen > np.quantile(scores, 0.97)
  assert module.needs == (TASK,)


def test_what_it_learns_by_imagination_gives_the_head_no_gradient():
  module, (start, replayed) = build(), batch()

  def inner(params: Any) -> Any:
    found = nnx.merge(nnx.graphdef(module), params).losses(
      module.init_slow(), WORLD, start, replayed, jax.random.key(0)
    )
    return sum(loss for name, loss in found.losses.items() if name != "task_rewards")

  gradient = jax.jit(jax.grad(inner))(nnx.to_pure_dict(nnx.state(module)))
  assert not any(np.any(x) for x in jax.tree.leaves(gradient["reward"]))
  assert any(np.any(x) for x in jax.tree.leaves(gradient["inner"]))


def test_an_environment_of_one_task_is_refused_by_name():
  with pytest.raises(
    ValueError, match=r"MultiTask needs the observation 'event/task': choose a --task that has several"
  ):
    build(spec=EnvSpec({"x": ArraySpec((F,))}, ActionSpec(ACTION)))
  unlike = EnvSpec({**SPEC.observation, TASK_REWARDS: ArraySpec((3,))}, ActionSpec(ACTION))
  with pytest.raises(
    ValueError, match=r"'event/task' has the shape \[2\], and 'event/rewards' \[3\]: let both have an entry"
  ):
    build(spec=unlike)
