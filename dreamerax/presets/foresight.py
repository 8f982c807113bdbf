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

  No reward is learned from. The last image of a plan has ten times the weight of the others. Size "published" plans with
  the published number of candidates.
  """
  run = cdna(size)
  planner = BlockCEM() if size == "published" else BlockCEM(horizon=9, candidates=60)
  behavior = VisualForesight(Planning(planner, final_weight=10.0))
  return replace(run, agent=replace(run.agent, behavior=behavior))
