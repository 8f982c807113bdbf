"""How many states of reacher a run has seen, beside uniform random actions: cells of joint angles and velocities.

dreamerax train plan2explore --size tiny --task dmc/reacher_easy --observations position velocity to_target \
  --action-repeat 4 --env-steps 20000 --logdir runs/explore
python experiments/visited_cells.py --run runs/explore
python experiments/visited_cells.py --task dmc/reacher_easy --action-repeat 4 --env-steps 20000

A cell is a tenth of a full turn of each of the two joints, times 1 rad/s of each joint's velocity. The run's replay must
hold all of its steps, with the observations `position` and `velocity`.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from dreamerax.envs.suites.actions import random_actions

from dreamerax.envs import EnvConfig, make
from dreamerax.replay.log.segment import SegmentReader, segments
from dreamerax.types import OBSERVATION

NAMES = ("position", "velocity")  # observations: angles [2], velocities [2]
PARTS = 10  # of a full turn


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--run", type=Path, help="run directory; without it, random actions")
  parser.add_argument("--task", default="dmc/reacher_easy")
  parser.add_argument("--action-repeat", type=int, default=4)
  parser.add_argument("--env-steps", type=int, default=20_000)
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args(arguments)
  if options.run is None:
    config = EnvConfig(options.task, options.action_repeat, observations=NAMES)
    states = random_states(config, options.env_steps // options.action_repeat, options.seed)
  else:
    states = replayed_states(options.run)
  print(f"{visited(states)} cells in {len(states)} agent steps")


def visited(states: np.ndarray) -> int:
  """How many cells states [T, 4], two angles in radians and two velocities in rad/s, fall into."""
  parts = np.floor(states[:, :2] % (2 * np.pi) / (2 * np.pi) * PARTS)
  cells = np.concatenate([np.minimum(parts, PARTS - 1), np.floor(states[:, 2:])], 1)
  return len(np.unique(cells, axis=0))


def random_states(config: EnvConfig, steps: int, seed: int) -> np.ndarray:
  """[T, 4] under uniform random actions, from as many episodes as come."""
  rng, found = np.random.default_rng(seed), []
  with closing(make(config, seed)) as env:
    step = env.reset()
    for _ in range(steps):
      found.append(np.concatenate([step.observation[name] for name in NAMES]))
      step = env.reset() if step.is_last else env.step(random_actions(env.spec.action, rng, 1)[0])
  return np.stack(found)


def replayed_states(run: Path) -> np.ndarray:
  """[T, 4] of all steps in the replay of a run directory, in any order."""
  found = []
  for path in segments(run / "replay"):
    reader = SegmentReader(path)
    _, _, columns = reader.layout.unpack(reader.read(0, reader.records))
    found.append(np.concatenate([columns[OBSERVATION + name] for name in NAMES], -1))
  return np.concatenate(found)


if __name__ == "__main__":
  main()
