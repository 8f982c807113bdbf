"""What visual foresight expects of its first plan, and what comes of it, as one picture.

python experiments/foresight_picture.py runs/foresight --out foresight.png

Above are the images that the world model predicts under the plan, with the map of the marked pixel in yellow and its goal as
a green square; below, those that the environment shows under the same actions.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import jax.numpy as jnp
import numpy as np

from dreamerax import api, captions, envs
from dreamerax.agent import Agent
from dreamerax.behavior.visual_foresight import moved
from dreamerax.behavior.world import as_world
from dreamerax.images import colored
from dreamerax.types import PIXELS

_YELLOW, _GREEN = np.array([1.0, 0.9, 0.0]), np.array([0.0, 0.8, 0.0])


def expected(agent: Agent, params: Any, carry: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The newest plan of one environment: its actions [H, A], the images [H, ...] and the maps [H, H', W'] it leads to."""
  world, _ = agent.modules(params)
  plan = carry["memory"]["planning"]["plan"]  # [1, H, A]

  def step(state: Any, action: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
    latent = world.expect(state[0], action[None])
    where = moved(as_world(world), latent, state[1])
    return (latent, where), (world.decode(latent)["image"][0], where[0, ..., 0])

  _, (images, maps) = jax.lax.scan(step, (carry["latent"], carry["memory"]["map"]), plan[0])
  return plan[0], images, maps


def draw(predicted: np.ndarray, maps: np.ndarray, shown: np.ndarray, goal: np.ndarray, least: int = 128) -> np.ndarray:
  """uint8 [2 H, T W, 3]: predicted images with their maps above those that were shown; images in [0, 1], goal a pixel."""
  weight = maps[..., None] / np.maximum(maps.max((1, 2))[:, None, None, None], 1e-8)
  rows = [(1 - weight) * colored(predicted.clip(0, 1)) + weight * _YELLOW, colored(shown).copy()]
  for row in rows:
    row[:, goal[0], goal[1]] = _GREEN
  large = [captions.enlarge((row * 255).round().astype(np.uint8), least) for row in rows]
  return np.concatenate([np.concatenate(list(row), 1) for row in large])


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("run", type=Path, help="run directory of the preset foresight, of train or train-world-model")
  parser.add_argument("--out", type=Path, default=Path("foresight.png"))
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args(arguments)
  agent, params = api.load_agent(options.run)
  if PIXELS not in agent.policy_spec.observation:
    raise SystemExit(f"{options.run} follows no pixel: train the preset foresight")
  env = envs.make(api.load_config(options.run).env, options.seed)
  step = env.reset()
  seen = {name: step.observation[name][None] for name in agent.policy_spec.observation}
  act = jax.jit(lambda params, carry, seen, key: agent.act(params, carry, seen, jnp.ones(1, bool), key, explore=False))
  _, carry, _ = act(params, agent.initial_carry(1), seen, jax.random.key(options.seed))
  plan, images, maps = jax.jit(lambda params, carry: expected(agent, params, carry))(params, carry)
  shown = []
  for action in np.asarray(plan):
    step = env.step(action)
    shown.append(step.observation["image"] / 255)
  env.close()
  size = np.array(maps.shape[1:])
  goal = (seen[PIXELS][0, 2:] * size).astype(int).clip(0, size - 1)
  imageio.imwrite(options.out, draw(np.asarray(images), np.asarray(maps), np.stack(shown), goal))
  print(options.out)


if __name__ == "__main__":
  main()
