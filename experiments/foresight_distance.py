"""How far from its goal an object is when an episode of visual foresight ends, beside baselines on the same episodes.

python -m experiments.foresight_distance runs/foresight --episodes 30 --costs pixel image

The baselines leave the object where it is; act at random; move the puck straight to the object's goal, or along the line from
where the object is to there, which are those of Finn and Levine (2017) and know nothing of the puck's place beside the
object; and plan with the same planner on the true physics, rewarded by minus the true distance. Last but one comes the
controller of `goal_baselines.py`, which knows where everything is and goes around the object first. In the end, what
foresight leaves between object and goal is compared with each baseline, beginning by beginning.
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


def with_planner(
  config: RunConfig, candidates: int | None, replan_every: int | None, final_weight: float | None
) -> tuple[RunConfig, Planning]:
  """The run's configuration with these numbers of its planner, where they are given, and the planning in it."""
  behavior = config.agent.behavior
  if not isinstance(behavior, VisualForesight):
    raise SystemExit("the run follows no pixel: train the preset foresight")
  planner: Planner = behavior.planning.planner
  if candidates is not None and isinstance(planner, BlockCEM):
    planner = replace(planner, candidates=candidates)
  given = {"replan_every": replan_every, "final_weight": final_weight}
  changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
  planning = replace(behavior.planning, planner=planner, **changes)
  return replace(config, agent=replace(config.agent, behavior=replace(behavior, planning=planning))), planning


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
  parser.add_argument("--candidates", type=int, help="plans of an iteration; the run's own by default")
  parser.add_argument("--replan-every", type=int, help="steps that a plan serves; the run's own by default")
  parser.add_argument(
    "--final-weight", type=float, help="of a plan's last step, towards the pixel; the run's own by default"
  )
  parser.add_argument(
    "--costs", nargs="+", choices=("pixel", "image"), default=["pixel"], help="what a plan is judged by"
  )
  parser.add_argument("--seed", type=int, default=1)
  options = parser.parse_args(arguments)
  agent, params = api.load_agent(options.run)
  config, planning = with_planner(
    api.load_config(options.run), options.candidates, options.replan_every, options.final_weight
  )
  task = config.env.task
  scene = goal_baselines.TASKS.get(task)
  if not isinstance(scene, table.Table) or not scene.objects or config.env.action_repeat != 1:
    raise SystemExit(f"{options.run} is of {task}: the baselines are for objects on a table, without repeated actions")
  truth = TruePhysics(scene, goal_task.simulate(scene, options.seed).physics, planning)
  compared = {
    "left alone": goal_baselines.still,
    "random": goal_baselines.chance,
    "puck to the goal": goal_baselines.to_goal(scene),
    "puck along the line": goal_baselines.along(scene),
    "same planner, true physics": truth,
    "controller of the true state": goal_baselines.push(scene),
  }
  reached = {}
  for name, controller in compared.items():
    reached[name] = baseline(task, controller, options.episodes, options.seed)
    show(name, reached[name])
  for cost in options.costs:
    planned = with_cost(config, planning, cost)
    distances = foresight(Agent(planned.agent, agent.spec), params, planned, options.episodes, options.seed)
    show(f"foresight, {cost}", distances)
    for name, other in reached.items():
      print(f"  {paired(distances, other)} than {name}", flush=True)


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
