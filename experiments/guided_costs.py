"""What the student and the teachers of a guided-policy run cost, each alone, from each first state.

python experiments/guided_costs.py --run RUN

All take their mean actions. The cost is that of training: the squared distance of the target to its goal, and the
actions' cost, summed over the steps of an episode. The teachers are those that the student of the newest checkpoint has
learned from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from dreamerax import api, envs
from dreamerax.agent import Agent
from dreamerax.behavior.guided_policy import GuidedPolicySearch, GuidedPolicySearchModule
from dreamerax.behavior.local_lqr import linear_action
from dreamerax.nets.observations import concatenate_vectors
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import env_spec
from dreamerax.runtime.checkpoint import packed
from dreamerax.types import GOAL, TRUE, ArrayDict

Policy = Callable[[ArrayDict, int], np.ndarray]  # observation and step of the episode -> action


@dataclass(frozen=True)
class Options:
  run: str  # directory of a run of guided-policy


def play(run: RunConfig, condition: int, policy: Policy) -> tuple[float, float]:
  """The cost of an episode from one first state, and its return."""
  behavior = run.agent.behavior
  assert isinstance(behavior, GuidedPolicySearch)
  env = envs.make(run.env.as_evaluated(), condition)
  step, cost, score = env.reset(), 0.0, 0.0
  for t in range(behavior.horizon):
    action = policy(step.observation, t)
    step = env.step(action)
    goal = step.observation.get(GOAL + behavior.target, 0)
    cost += float(np.square(step.observation[TRUE + behavior.target] - goal).sum())
    cost += behavior.trajectory.action_cost * float(np.square(action).sum()) / 2
    score += step.reward
  env.close()
  return cost, score


def main(options: Options) -> None:
  run = api.load_config(options.run)
  agent = Agent(run.agent, env_spec(run))
  state = packed.load_trained(Path(options.run).absolute(), agent)
  _, behavior = agent.modules(agent.policy_params(state))
  assert isinstance(behavior, GuidedPolicySearchModule)
  kept = state["slow"]["teachers"]["trajectory"]
  student_action = jax.jit(lambda observation: jnp.clip(behavior.student(observation), -1, 1))

  def student(observation: ArrayDict, t: int) -> np.ndarray:
    return np.asarray(student_action({name: observation[name] for name in behavior.seen}))

  costs = []
  for condition in range(behavior.conditions):
    gains = {name: kept[name][condition] for name in ("feedback", "feedforward")}

    def teacher(observation: ArrayDict, t: int, gains: dict[str, jax.Array] = gains) -> np.ndarray:
      features = concatenate_vectors(observation, behavior.shapes)[None]
      return np.asarray(linear_action(gains, features, jnp.array([t]), None))[0]

    (own, score), (taught, wanted) = (play(run, condition, policy) for policy in (student, teacher))
    costs.append((own, taught))
    print(f"condition {condition}: student {own:.4f}, teacher {taught:.4f}; returns {score:.1f}, {wanted:.1f}")
  own, taught = np.mean(costs, 0)
  print(f"mean: student {own:.4f}, teachers {taught:.4f}: {100 * (own / taught - 1):+.1f} %")


if __name__ == "__main__":
  main(tyro.cli(Options))
