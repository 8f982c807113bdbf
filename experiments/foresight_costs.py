"""`foresight` with the other two costs of Ebert et al. (2018), as presets: a goal's image, and a classifier of success.

python -m experiments.push_data --episodes 300 --out episodes/pushed
dreamerax train-world-model experiments.foresight_costs:goal_image --data episodes/pushed --updates 3000 \
  --logdir runs/goal_image
dreamerax eval runs/goal_image
dreamerax train experiments.foresight_costs:classifier --logdir runs/classifier

The classifier learns from ten images of success, which table/place shows, and from what is replayed. It judges the features
of predicted images; the published one judges the images, by networks of its own.
"""

from dataclasses import replace

from dreamerax import presets
from dreamerax.behavior.base import Behavior
from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.classifier import ExampleClassifier
from dreamerax.behavior.visual_foresight import GoalImageForesight
from dreamerax.run_config import RunConfig

_PLANNING = Planning(BlockCEM(horizon=9, candidates=60))


def goal_image() -> RunConfig:
  return _with(GoalImageForesight(_PLANNING), "table/push")


def classifier() -> RunConfig:
  return _with(Rewarded(_PLANNING, ExampleClassifier()), "table/place")


def _with(behavior: Behavior, task: str) -> RunConfig:
  run = presets.build("foresight", "small")
  return replace(run, env=replace(run.env, task=task), agent=replace(run.agent, behavior=behavior))
