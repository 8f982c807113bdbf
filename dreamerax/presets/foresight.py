"""Visual foresight (Finn and Levine 2017)."""

from dataclasses import replace

from dreamerax.behavior.planners.block_cem import BlockCEM
from dreamerax.behavior.planning import Planning
from dreamerax.behavior.visual_foresight import VisualForesight
from dreamerax.presets.cdna import cdna
from dreamerax.run_config import RunConfig


def foresight(size: str) -> RunConfig:
  """Visual foresight (Finn and Levine 2017): plans so that a marked pixel moves to its goal, in the model of `cdna`.

  dreamerax record --task table/push --rendering fast --episodes 300 --out episodes/push
  dreamerax train-world-model foresight --data episodes/push --logdir runs/foresight
  dreamerax eval runs/foresight

  No reward is learned from. A plan serves five steps, and its last image has ten times the weight of the others.
  """
  run = cdna(size)
  behavior = VisualForesight(Planning(BlockCEM(), replan_every=5, final_weight=10.0))
  return replace(run, agent=replace(run.agent, behavior=behavior))
