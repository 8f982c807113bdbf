"""`foresight` with the other two costs of Ebert et al. (2018), as presets: a goal's image, and a classifier of success.

dreamerax record --task table/place --rendering fast --image-size 48 --episodes 300 --out episodes/place
dreamerax train-world-model experiments.foresight_costs:classifier --data episodes/place --updates 1000 --logdir runs/classifier
dreamerax eval runs/classifier

The goal's image has nothing to learn: `foresight_distance.py --cost image` gives it to a run of `foresight`. The weights
of a plan's last image are the published ones: all for the goal's image, and 100 for the classifier.
"""

from dataclasses import replace

from dreamerax import presets
from dreamerax.behavior.classifier_foresight import ClassifierForesight
from dreamerax.behavior.goal_image_foresight import GoalImageForesight
from dreamerax.behavior.image_planner import ImagePlanner
from dreamerax.run_config import RunConfig

GOAL_IMAGE_WEIGHT, CLASSIFIER_WEIGHT = 1000.0, 100.0  # of the last image of a plan


def goal_image() -> RunConfig:
  run = presets.build("foresight", "small")
  planning = replace(_planner(run).planning, final_weight=GOAL_IMAGE_WEIGHT)
  return replace(run, agent=replace(run.agent, behavior=GoalImageForesight(planning)))


def classifier() -> RunConfig:
  run = presets.build("foresight", "small")
  planning = replace(_planner(run).planning, final_weight=CLASSIFIER_WEIGHT)
  agent = replace(run.agent, behavior=ClassifierForesight(planning))
  return replace(run, env=replace(run.env, task="table/place"), agent=agent)


def _planner(run: RunConfig) -> ImagePlanner:
  assert isinstance(run.agent.behavior, ImagePlanner)
  return run.agent.behavior
