"""Finds places where dreams begin: in what a run has seen or, without a replay on disk, in fresh episodes."""

import abc
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dreamerax import envs
from dreamerax.envs.base import to_row
from dreamerax.envs.journal import derive_seeds
from dreamerax.replay.log.read import read_sequence
from dreamerax.run_config import RunConfig
from dreamerax.runtime.checkpoint.replay import newest_log
from dreamerax.types import Transition

_FRESH = 16  # episodes


class DreamStart(NamedTuple):
  """Steps that the model sees before it dreams."""

  steps: Transition  # [T, ...]
  label: str  # for people


class Starts(abc.ABC):
  """Places from 0 to 1."""

  label: str
  """What the places are, for people."""

  @abc.abstractmethod
  def at(self, where: float) -> DreamStart:
    """Raises ValueError where there is no such place, or nothing in it."""


class ReplayedStarts(Starts):
  """Sequences of the replay's log as it is when asked: from the oldest, 0, to the newest, 1."""

  label = "replayed state, oldest to newest"

  def __init__(self, folder: Path, context: int):
    self._folder, self._context = folder, context

  def at(self, where: float) -> DreamStart:
    sequence = read_sequence(self._folder, where, self._context)
    if sequence is None:
      raise ValueError("the replay holds nothing whole there any more: choose another start")
    last = sequence.position + len(sequence.steps.reward) - 1
    return DreamStart(sequence.steps, f"environment {sequence.stream}, agent step {last:,}")


class FreshStarts(Starts):
  """First observations of episodes of the run's environment, made here at once: a renderer is bound to its thread."""

  label = "fresh episode"

  def __init__(self, config: RunConfig, seed: int):
    # The seed of one episode has 32 bits.
    seeds = range(seed, seed + _FRESH) if seed + _FRESH <= 2**32 else derive_seeds(seed, _FRESH)
    env = envs.make(config.env.as_evaluated(), seeds[0])
    try:
      action = np.zeros(env.spec.action.size, np.float32)
      self._starts = [DreamStart(to_row(env.reset(each), action), f"episode of seed {each}") for each in seeds]
    finally:
      env.close()

  def at(self, where: float) -> DreamStart:
    if not 0 <= where <= 1:
      raise ValueError(f"where={where} must lie in [0, 1]")
    return self._starts[round(where * (_FRESH - 1))]


def find_starts(run_dir: Path, config: RunConfig, context: int, seed: int) -> Starts:
  """ReplayedStarts ones where the run's replay has any.

  Args:
    context: steps that the model sees before a replayed start.
    seed: of the first fresh episode.
  """
  folder = newest_log(run_dir)
  if folder is None or read_sequence(folder, 0.0, 1) is None:
    return FreshStarts(config, seed)
  return ReplayedStarts(folder, context)
