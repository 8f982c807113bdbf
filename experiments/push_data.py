"""Records episodes in which the puck pushes objects about: data for a video model, in which objects move.

python -m experiments.push_data --task table/push --image-size 48 --episodes 300 --out episodes/pushed

Random actions touch an object in few steps. Here, the controller of `goal_baselines.py`, which knows the true state, pushes
objects towards places that are drawn at random and anew every few steps, with noise on its actions; the rest of the episodes
have random actions. The goal that the environment shows is not used. It prints the share of steps with a contact.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dreamerax import envs
from dreamerax.envs import EnvConfig
from dreamerax.envs.suites import goal_task, table
from dreamerax.recordings import RecordedEnv
from experiments import goal_baselines

_EVERY = 8  # steps that the controller pushes towards the same places
_NOISE = 0.3  # standard deviation of what is added to its actions


def pusher(scene: table.Table, physics: Any) -> goal_baselines.Controller:
  """Pushes objects to places drawn anew every few steps, whatever the goal of the episode is."""
  push, aim, calls = goal_baselines.push(scene), physics.copy(share_model=True), 0

  def act(physics: Any, _: Any, random: np.random.RandomState) -> np.ndarray:
    nonlocal calls
    if calls % _EVERY == 0:
      with aim.reset_context():
        scene.begin(aim, random)
    calls += 1
    return np.clip(push(physics, aim, random) + _NOISE * random.randn(physics.model.nu), -1, 1)

  return act


def record(config: EnvConfig, out: Path, *, episodes: int, share: float, seed: int) -> float:
  """Adds episodes to a folder; returns the share of their steps with a contact.

  share: of the episodes, in which objects are pushed.
  """
  scene = goal_baselines.TASKS[config.task]
  assert isinstance(scene, table.Table)
  # The simulation goes through the same states as the environment, and shows its physics to the controller.
  simulation, random = goal_task.simulate(scene, seed), np.random.RandomState(seed)
  controller, contacts, steps = pusher(scene, simulation.physics), 0, 0
  env = RecordedEnv(envs.make(config, seed), out, about={"env": asdict(config)})
  for _ in range(episodes):
    act = controller if random.uniform() < share else goal_baselines.chance
    step, _ = env.reset(), simulation.reset()
    while not step.is_last:
      action = act(simulation.physics, simulation.task.goal, random).astype(np.float32)
      step, _ = env.step(action), simulation.step(action)
      contacts, steps = contacts + int(step.observation["event/contact"][0]), steps + 1
  env.close()
  return contacts / steps


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--task", default="table/push", choices=[name for name in table.TASKS if "push" in name])
  parser.add_argument("--image-size", type=int, default=48)
  parser.add_argument("--episodes", type=int, default=300)
  parser.add_argument("--share", type=float, default=0.7, help="of the episodes, in which objects are pushed")
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--out", type=Path, default=Path("episodes/pushed"))
  options = parser.parse_args(arguments)
  config = EnvConfig(options.task, image_size=options.image_size, rendering="fast")
  share = record(config, options.out, episodes=options.episodes, share=options.share, seed=options.seed)
  print(f"{options.episodes} episodes in {options.out}; the puck touches an object in {share:.1%} of the steps")


if __name__ == "__main__":
  main()
