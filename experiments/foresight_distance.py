"""How far from its goal an object is when an episode of visual foresight ends, beside baselines on the same episodes.

python -m experiments.foresight_distance runs/foresight --episodes 30 --costs pixel image

The baselines leave the object where it is; act at random; move the puck straight to the object's goal, or along the line from
where the object is to there, which are those of Finn and Levine (2017) and know nothing of the puck's place beside the
object; and follow the controller of `goal_baselines.py`, which knows where everything is and goes around the object first.
What foresight leaves between object and goal is compared with each of them, beginning by beginning. In the end, the same
planner plans on the true physics, rewarded by minus the true distance.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dreamerax import api, envs
from dreamerax.agent import Agent
from dreamerax.behavior.goal_image_foresight import GoalImageForesight
from dreamerax.behavior.planners.base import Planner
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.visual_foresight import VisualForesight
from dreamerax.envs.suites import goal_task, table
from dreamerax.run_config import RunConfig
from dreamerax.types import PIXELS
from experiments import foresight_costs, goal_baselines
from experiments.true_physics import TruePhysics


def baseline(task: str, controller: goal_baselines.Controller, episodes: int, seed: int) -> np.ndarray:
  """Last distances [episodes], in metres."""
  return goal_baselines.run(task, controller, episodes, 1, seed)[1]


def starts(task: str, seed: int) -> Iterator[np.ndarray]:
  """The marked pixel and its goal of one episode after another."""
  simulation = goal_task.simulate(goal_baselines.TASKS[task], seed)
  while True:
    yield simulation.reset().observation[PIXELS]


def foresight(agent: Agent, params: Any, config: RunConfig, episodes: int, seed: int) -> np.ndarray:
  """Last distances [episodes], in metres.

  Raises:
    RuntimeError: the environment's episodes are not those of the baselines.
  """
  env, distances = envs.make(config.env, seed), []
  act: Callable[..., Any] = jax.jit(
    lambda params, carry, seen, first, key: agent.act(params, carry, seen, first, key, explore=False)
  )
  key = jax.random.key(seed)
  for _, pixels in zip(range(episodes), starts(config.env.task, seed), strict=False):
    step, carry = env.reset(), agent.initial_carry(1)
    if not np.allclose(step.observation[PIXELS], pixels):
      raise RuntimeError(f"the environment marks {step.observation[PIXELS]}, the baselines' {pixels}")
    while not step.is_last:
      key, draw = jax.random.split(key)
      seen = {name: step.observation[name][None] for name in agent.policy_spec.observation}
      action, carry, _ = act(params, carry, seen, np.array([step.is_first]), draw)
      step = env.step(np.asarray(action)[0])
    distances.append(step.log["distance"])
  env.close()
  return np.array(distances)


def with_planner(config: RunConfig, options: argparse.Namespace) -> tuple[RunConfig, Planning]:
  """The run's configuration with the numbers of its planner that the options name, and the planning in it."""
  behavior = config.agent.behavior
  if not isinstance(behavior, VisualForesight):
    raise SystemExit("the run follows no pixel: train the preset foresight")
  planner: Planner = behavior.planning.planner
  if isinstance(planner, BlockCEM):
    planner = replace(planner, **_given(options, "horizon", "candidates"))
  planning = replace(behavior.planning, planner=planner, **_given(options, "replan_every", "final_weight"))
  return replace(config, agent=replace(config.agent, behavior=replace(behavior, planning=planning))), planning


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
  return {name: value for name in names if (value := getattr(options, name)) is not None}


def with_cost(config: RunConfig, planning: Planning, cost: str) -> RunConfig:
  """The configuration that plans towards the pixel's goal, or towards the goal's image."""
  if cost == "pixel":
    return config
  planning = replace(planning, final_weight=foresight_costs.GOAL_IMAGE_WEIGHT)
  return replace(config, agent=replace(config.agent, behavior=GoalImageForesight(planning)))


def main(arguments: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("run", type=Path, help="run directory of the preset foresight on a task with objects on a table")
  parser.add_argument("--episodes", type=int, default=20)
  parser.add_argument("--horizon", type=int, help="steps of a plan; this and what follows are the run's own by default")
  parser.add_argument("--candidates", type=int, help="plans of an iteration")
  parser.add_argument("--replan-every", type=int, help="steps that a plan serves")
  parser.add_argument("--final-weight", type=float, help="of a plan's last step, towards the pixel")
  parser.add_argument(
    "--costs", nargs="+", choices=("pixel", "image"), default=["pixel"], help="what a plan is judged by"
  )
  parser.add_argument("--seed", type=int, default=1)
  options = parser.parse_args(arguments)
  agent, params = api.load_agent(options.run)
  config, planning = with_planner(api.load_config(options.run), options)
  task = config.env.task
  scene = goal_baselines.TASKS.get(task)
  if not isinstance(scene, table.Table) or not scene.objects or config.env.action_repeat != 1:
    raise SystemExit(f"{options.run} is of {task}: the baselines are for objects on a table, without repeated actions")
  baselines = {
    "left alone": goal_baselines.still,
    "random": goal_baselines.chance,
    "puck to the goal": goal_baselines.to_goal(scene),
    "puck along the line": goal_baselines.along(scene),
    "controller of the true state": goal_baselines.push(scene),
  }
  reached = {}
  for name, controller in baselines.items():
    reached[name] = baseline(task, controller, options.episodes, options.seed)
    show(name, reached[name])
  for cost in options.costs:
    planned = with_cost(config, planning, cost)
    distances = foresight(Agent(planned.agent, agent.spec), params, planned, options.episodes, options.seed)
    show(f"foresight, {cost}", distances)
    for name, other in reached.items():
      print(f"  {paired(distances, other)} than {name}", flush=True)
  truth = TruePhysics(scene, goal_task.simulate(scene, options.seed).physics, planning)  # takes the longest
  show("same planner, true physics", baseline(task, truth, options.episodes, options.seed))


def paired(distances: np.ndarray, others: np.ndarray) -> str:
  """How much less than `others` the distances from the same beginnings are."""
  less = others - distances
  error = less.std(ddof=1) / np.sqrt(len(less)) if len(less) > 1 else np.nan
  return f"{less.mean():+.3f} ± {error:.3f} m nearer, in {np.sum(less > 0)} of {len(less)} episodes,"


def show(name: str, distances: np.ndarray) -> None:
  error = distances.std() / np.sqrt(len(distances))
  print(
    f"{name}: distance {distances.mean():.3f} ± {error:.3f} m, {np.mean(distances <= 0.05):.0%} within 0.05, "
    f"each {np.round(distances, 3).tolist()}",
    flush=True,
  )


if __name__ == "__main__":
  main()
