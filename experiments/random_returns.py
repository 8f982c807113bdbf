"""What uniform random actions score on a DeepMind Control task: the least that an agent has to beat.

python experiments/random_returns.py --task dmc/cartpole_swingup --action-repeat 8
"""

import argparse
from collections.abc import Sequence
from contextlib import closing

import numpy as np

from dreamerax.envs import EnvConfig, make
from dreamerax.envs.suites.actions import random_actions


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--task", required=True)
  parser.add_argument("--action-repeat", type=int, default=1)
  parser.add_argument("--observations", nargs="+", default=["position"], help="pictures only cost time here")
  parser.add_argument("--episodes", type=int, default=100)
  parser.add_argument("--seed", type=int, default=0)
  options = parser.parse_args(arguments)
  config = EnvConfig(options.task, options.action_repeat, observations=tuple(options.observations))
  rng = np.random.default_rng(options.seed)
  returns = []
  with closing(make(config, options.seed)) as env:
    for _ in range(options.episodes):
      step, total = env.reset(), 0.0
      while not step.is_last:
        step = env.step(random_actions(env.spec.action, rng, 1)[0])
        total += step.reward
      returns.append(total)
  print(
    f"{np.mean(returns):.0f} ± {np.std(returns):.0f} over {len(returns)} episodes, {min(returns):.0f} to {max(returns):.0f}"
  )


if __name__ == "__main__":
  main()
