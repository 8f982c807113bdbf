"""LEXA (Mendonca et al. 2021)."""

from dataclasses import replace

from dreamerax.behavior.achiever import Achiever
from dreamerax.behavior.exploring import Exploring
from dreamerax.behavior.goals.relabel import Shuffled
from dreamerax.behavior.rewarded import Rewarded
from dreamerax.behavior.rewards.disagreement import Disagreement
from dreamerax.presets.her import her
from dreamerax.run_config import RunConfig


def lexa(size: str) -> RunConfig:
  """LEXA (Mendonca et al. 2021): an explorer finds states, an achiever learns in imagination to reach any of them.

  dreamerax train lexa --task goal/reacher

  The explorer collects all data, for the disagreement of an ensemble. The achiever is evaluated and exported. The goals
  that it learns from are any steps of the batch, and its reward is the learned number of steps to the goal. The parts are
  those of `quick`, where the paper's are those of Dreamer v2, and the paper's achiever collects every other episode.
  """
  run = her(size)
  achiever = run.agent.behavior
  assert isinstance(achiever, Achiever)
  ensemble = Disagreement(members=10, layers=2, units=128)
  behavior = Exploring(task=replace(achiever, goals=Shuffled()), explorer=Rewarded(achiever.inner, ensemble))
  return replace(run, agent=replace(run.agent, behavior=behavior))
