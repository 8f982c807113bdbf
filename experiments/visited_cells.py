"""How many states of reacher a run has seen, beside uniform random actions: cells of joint angles and velocities.

dreamerax train plan2explore --size tiny --task experiments.visited_cells:reacher --env-steps 2500 --action-repeat 1 \
  --logdir runs/explore
python experiments/visited_cells.py --run runs/explore
python experiments/visited_cells.py --agent-steps 2500

The task is dmc/reacher_easy from pixels, with an action repeat of 8 of its own: an agent step is 8 simulator steps. Angles
and velocities are hidden observations, which the replay has and the agent does not see. A run of dmc/reacher_easy that
observes position and velocity is counted, too. A cell is a tenth of a full turn of each of the two joints, times 1 rad/s
of each joint's velocity.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.suites import dm_control
from dreamerax.envs.suites.actions import random_actions
from dreamerax.replay.log.segment import SegmentReader, segments
from dreamerax.types import EVENT, OBSERVATION, EnvSpec

NAMES = ("position", "velocity")  # of angles [2] in radians and velocities [2] in rad/s
PARTS = 10  # of a full turn


class Hidden(Environment):
  """An environment whose observations `NAMES` are hidden from the agent."""

  def __init__(self, env: Environment):
    self._env = env

  @property
  def spec(self) -> EnvSpec:
    return replace(self._env.spec, observation=_hidden(self._env.spec.observation))

  def reset(self, seed: int | None = None) -> Step:
    return self._shown(self._env.reset(seed))

  def step(self, action: np.ndarray) -> Step:
    return self._shown(self._env.step(action))

  def close(self) -> None:
    self._env.close()

  def _shown(self, step: Step) -> Step:
    return step._replace(observation=_hidden(step.observation))


def reacher(seed: int, action_repeat: int = 8) -> Environment:
  """The task of this experiment."""
  env = dm_control.load(
    "dmc/reacher_easy",
    seed,
    action_repeat=action_repeat,
    rendering_quality="balanced",
    observations=("image", *NAMES),
  )
  return Hidden(env)


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--run", type=Path, help="run directory; without it, random actions")
  parser.add_argument("--agent-steps", type=int, default=2500, help="of random actions")
  parser.add_argument("--action-repeat", type=int, default=8, help="of random actions")
  parser.add_argument("--seed", type=int, default=0, help="of random actions")
  options = parser.parse_args(arguments)
  if options.run:
    states = replayed_states(options.run)
  else:
    states = random_states(reacher(options.seed, options.action_repeat), options.agent_steps, options.seed)
  velocities = np.concatenate([np.zeros_like(states[:, :2]), states[:, 2:]], 1)
  print(f"{visited(states)} cells, {visited(velocities)} of velocities alone, in {len(states)} agent steps")


def visited(states: np.ndarray) -> int:
  """How many cells states [T, 4], two angles in radians and two velocities in rad/s, fall into."""
  parts = np.floor(states[:, :2] % (2 * np.pi) / (2 * np.pi) * PARTS)
  cells = np.concatenate([np.minimum(parts, PARTS - 1), np.floor(states[:, 2:])], 1)
  return len(np.unique(cells, axis=0))


def random_states(env: Environment, steps: int, seed: int) -> np.ndarray:
  """[T, 4] of an environment, which is closed, under uniform random actions, from as many episodes as come."""
  rng, found = np.random.default_rng(seed), []
  with closing(env):
    step = env.reset()
    for _ in range(steps):
      found.append(np.concatenate([step.observation[EVENT + name] for name in NAMES]))
      step = env.reset() if step.is_last else env.step(random_actions(env.spec.action, rng, 1)[0])
  return np.stack(found)


def replayed_states(run: Path) -> np.ndarray:
  """[T, 4] of all steps in the replay of a run directory, in any order."""
  found = []
  for path in segments(run / "replay"):
    reader = SegmentReader(path)
    _, _, columns = reader.layout.unpack(reader.read(0, reader.records))
    hidden = "" if OBSERVATION + NAMES[0] in columns else EVENT
    found.append(np.concatenate([columns[OBSERVATION + hidden + name] for name in NAMES], -1))
  return np.concatenate(found)


def _hidden(by_name):
  return {EVENT + name if name in NAMES else name: value for name, value in by_name.items()}


if __name__ == "__main__":
  main()
