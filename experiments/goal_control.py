"""How near to their goals a few decisions of trained agents lead, beside random actions and beside staying where one is.

python experiments/goal_control.py runs/cfm runs/poke --decisions 20
python experiments/goal_control.py runs/events --change agent.behavior.inner.reward.weight=0

Runs are directories of `dreamerax train` or `dreamerax train-world-model` on goal/ or table/ tasks. All meet the same
episodes. It prints the mean distance to the goal after so many decisions with its standard error, the share of episodes
that end within reach of the goal, and on the table the distance of the puck to its place in the goal and the number of
decisions that touched an object. `--change` sets fields of the runs' configurations, in numbers: of their planners, say.
"""

import argparse
import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import jax
import numpy as np

import dreamerax
from dreamerax import api
from dreamerax.agent import Agent
from dreamerax.config import changed
from dreamerax.envs import EnvConfig, Environment
from dreamerax.envs.suites import goal, goal_task, table

Observations = Mapping[str, np.ndarray]  # {name: [E, *shape]}
Act = Callable[[Observations], np.ndarray]  # -> actions [E, A]
Figures = dict[str, np.ndarray]  # {name: [episodes]}

TASKS: dict[str, goal_task.GoalScene] = {**goal.TASKS, **table.TASKS}
_TOGETHER = 10  # environments at once


@contextmanager
def environments(config: EnvConfig, decisions: int) -> Iterator[list[Environment]]:
  """Environments of the task whose episodes end after so many decisions; closed on leaving."""
  scene = copy.copy(TASKS[config.task])
  vars(scene)["steps"] = decisions * config.action_repeat
  if isinstance(scene, table.Table):
    config = replace(config, observations=(*config.observations, "puck"))
  envs = [goal_task.make(scene, config, 0) for _ in range(_TOGETHER)]
  try:
    yield envs
  finally:
    for env in envs:
      env.close()


def play(envs: list[Environment], begin: Callable[[], Act], episodes: int, seed: int) -> Figures:
  """Figures of at least so many episodes, whose goals follow from the seed; `begin` gives who acts in some of them."""
  found: dict[str, list[float]] = {"distance": [], "success": []}
  for first in range(seed, seed + episodes, len(envs)):
    act, contacts = begin(), np.zeros(len(envs))
    steps = [env.reset(first + number) for number, env in enumerate(envs)]
    while not steps[0].is_last:
      shown = {name: np.stack([step.observation[name] for step in steps]) for name in steps[0].observation}
      steps = [env.step(action) for env, action in zip(envs, act(shown), strict=True)]
      contacts += [step.observation.get("event/contact", np.zeros(1))[0] for step in steps]
    found["distance"] += [step.log["distance"] for step in steps]
    found["success"] += [step.reward for step in steps]
    if "puck" in steps[0].observation:
      gaps = [step.observation["puck"] - step.observation["goal/puck"] for step in steps]
      found.setdefault("puck", []).extend(np.linalg.norm(gaps, axis=-1))
      found.setdefault("contacts", []).extend(contacts)
  return {name: np.array(values) for name, values in found.items()}


def policies(run: str, changes: Mapping[str, float], size: int, seed: int) -> dict[str, Callable[[], Act]]:
  """Who acts: the agent of a run, chance, and one that stays; each has actions of `size` entries."""
  trained, params = api.load_agent(run, trust=True)
  agent = Agent(changed(api.load_config(run, trust=True), changes).agent, trained.spec)
  decide = jax.jit(partial(agent.act, explore=False))

  def begin() -> Act:
    carry, first, key = agent.initial_carry(_TOGETHER), np.ones(_TOGETHER, bool), jax.random.key(seed)

    def act(shown: Observations) -> np.ndarray:
      nonlocal carry, first, key
      key, used = jax.random.split(key)
      observation = {name: shown[name] for name in agent.policy_spec.observation}
      action, carry, _ = decide(params, carry, observation, first, used)
      first = np.zeros(_TOGETHER, bool)
      return np.asarray(action)

    return act

  random = np.random.default_rng(seed)
  return {
    " ".join([run, *(f"{path}={value}" for path, value in changes.items())]): begin,
    "random": lambda: lambda shown: random.uniform(-1, 1, (_TOGETHER, size)).astype(np.float32),
    "still": lambda: lambda shown: np.zeros((_TOGETHER, size), np.float32),
  }


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("runs", nargs="+")
  parser.add_argument("--decisions", type=int, default=20)
  parser.add_argument("--episodes", type=int, default=100)
  parser.add_argument("--seed", type=int, default=1000)
  parser.add_argument("--change", nargs="+", default=(), metavar="FIELD=NUMBER")
  options = parser.parse_args(arguments)
  changes = {path: json.loads(value) for path, _, value in (each.partition("=") for each in options.change)}
  played = set()
  for run in options.runs:
    config = dreamerax.load_config(run, trust=True).env
    with environments(config, options.decisions) as envs:
      for name, begin in policies(run, changes, envs[0].spec.action.size, options.seed).items():
        if (config.task, name) in played:
          continue
        played.add((config.task, name))
        found = play(envs, begin, options.episodes, options.seed)
        print(f"{config.task} {name}:", ", ".join(f"{key} {_mean(value)}" for key, value in found.items()), flush=True)


def _mean(values: np.ndarray) -> str:
  return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


if __name__ == "__main__":
  main()
