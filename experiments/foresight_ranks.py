"""How well a model of images ranks plans, where the true physics says what comes of them.

python -m experiments.foresight_ranks runs/foresight --plans 300 --horizon 15

For random plans from the beginnings of a few episodes, each action held as the run's planner holds it, it prints how many of
them move the object, by how much the foreseen distances of the marked pixel differ among plans that do not, and the rank
correlation of the foreseen distance with the true one among those that do. Where few plans move the object, the search is
what fails; where the correlation is low, the model is.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from dreamerax import api, envs
from dreamerax.agent import Agent
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.visual_foresight import VisualForesight, following, one_hot
from dreamerax.behavior.world import as_world
from dreamerax.envs.suites import goal_task
from dreamerax.types import PIXELS
from experiments import goal_baselines
from experiments.true_physics import TruePhysics

_MOVED = 1e-3  # metres


def foreseen(agent: Agent, params: Any, latent: Any, pixels: jax.Array, plans: jax.Array) -> jax.Array:
  """Distances [N] of the marked pixel from its goal at the end of plans [N, H, A], in shares of the image's side."""
  world, count = following(as_world(agent.modules(params)[0])), len(plans)
  height, width, _ = agent.spec.observation["image"].shape
  where = one_hot(pixels[None, :2], (height, width))
  start = {"world": latent, "map": where, "goal": pixels[None, 2:]}
  start = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape[1:])), start)
  last, _ = jax.lax.scan(lambda latent, action: (world.expect(latent, action), None), start, plans.swapaxes(0, 1))
  return -world.reward(world.features(last))


def come_of(truth: TruePhysics, physics: Any, plans: np.ndarray) -> tuple[float, np.ndarray]:
  """The object's distance in metres at first, and at the end of each plan [N]."""
  first = np.concatenate([physics.data.qpos, physics.data.qvel]).astype(np.float32)[None]
  states = np.repeat(first, len(plans), 0)
  for step in range(plans.shape[1]):
    states = truth.step(states, plans[:, step])
  return float(truth.distance(first)[0]), truth.distance(states)


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("run", type=Path, help="run directory of the preset foresight on a task with objects on a table")
  parser.add_argument("--episodes", type=int, default=8)
  parser.add_argument("--plans", type=int, default=300)
  parser.add_argument("--horizon", type=int, default=15)
  parser.add_argument("--seed", type=int, default=1)
  options = parser.parse_args(arguments)
  agent, params = api.load_agent(options.run)
  config = api.load_config(options.run)
  behavior = config.agent.behavior
  if not isinstance(behavior, VisualForesight) or not isinstance(behavior.planning.planner, BlockCEM):
    raise SystemExit(f"{options.run} follows no pixel: train the preset foresight")
  repeat, scene = behavior.planning.planner.repeat, goal_baselines.TASKS[config.env.task]
  simulation, env = goal_task.simulate(scene, options.seed), envs.make(config.env, options.seed)
  truth = TruePhysics(scene, simulation.physics, behavior.planning)
  judge = jax.jit(lambda params, latent, pixels, plans: foreseen(agent, params, latent, pixels, plans))
  random = np.random.default_rng(options.seed)
  for episode in range(options.episodes):
    simulation.reset()
    shown = env.reset().observation
    truth.aim_at(simulation.task.goal)
    seen = {name: shown[name][None] for name in agent.policy_spec.observation}
    carry = agent.observe(params, agent.initial_carry(1), seen, jnp.ones(1, bool), jax.random.key(0))
    blocks = random.normal(size=(options.plans, options.horizon // repeat, env.spec.action.size)).clip(-1, 1)
    plans = np.repeat(blocks, repeat, 1).astype(np.float32)
    first, true = come_of(truth, simulation.physics, plans)
    expected = np.asarray(judge(params, carry["latent"], jnp.asarray(shown[PIXELS]), jnp.asarray(plans)))
    moved = np.abs(true - first) > _MOVED
    ranks = scipy.stats.spearmanr(expected[moved], true[moved])[0] if moved.sum() > 2 else np.nan
    print(
      f"episode {episode}: {moved.mean():.0%} of {len(plans)} plans move the object; foreseen distances of the others "
      f"differ by {expected[~moved].std():.4f}; rank correlation {ranks:.2f}; the best foreseen leaves "
      f"{true[expected.argmin()]:.3f} m of {first:.3f}, the truly best {true.min():.3f}",
      flush=True,
    )
  env.close()


if __name__ == "__main__":
  main()
