"""Makes the training and the held-out set of recorded episodes, and the replay that holds the first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dreamerax.recordings import EpisodeFolder
from dreamerax.replay.replay import Replay, ReplayConfig
from dreamerax.types import ArraySpec, EnvSpec, Transition


class Split(NamedTuple):
  """Episodes [T, ...] to train on, and those that are held out."""

  training: list[Transition]
  held_out: list[Transition]

  @property
  def steps(self) -> int:
    """The number of steps of the training episodes, what their resets showed
    included."""
    return sum(len(episode.reward) for episode in self.training)


def split(folder: EpisodeFolder, share: float, seed: int) -> Split:
  """Holds out a share of the episodes, at least one; which of them follows from the seed and from how many there are.

  Raises:
    ValueError: a file cannot be read, or there are too few episodes.
  """
  if not 0 < share < 1:
    raise ValueError(f"held_out={share} must lie between 0 and 1: it is the share of episodes that are not trained on")
  episodes = folder.read_all()
  if len(episodes) < 2:
    raise ValueError(f"{folder.path} holds one episode, and one is held out: record another")
  count = min(max(1, round(share * len(episodes))), len(episodes) - 1)
  order = np.random.default_rng(seed).permutation(len(episodes))
  held_out = set(order[:count].tolist())
  return Split(
    [episode for index, episode in enumerate(episodes) if index not in held_out],
    [episode for index, episode in enumerate(episodes) if index in held_out],
  )


def make_replay(
  episodes: Sequence[Transition],
  spec: EnvSpec,
  latent_spec: Mapping[str, ArraySpec],
  config: ReplayConfig,
  seed: int,
) -> Replay:
  """A replay that holds these episodes one after the other, with zero latents.

  Raises:
    ValueError: they are too short for one sequence, or do not fit in the replay.
  """
  steps, sequence = sum(len(episode.reward) for episode in episodes), config.sequence
  if steps < sequence:
    raise ValueError(
      f"the training episodes have {steps} steps in all, and a sequence {sequence}: record more, or lower "
      "--replay.batch-length"
    )
  if steps > config.capacity:
    raise ValueError(f"replay.capacity={config.capacity} is less than the {steps} steps recorded: raise it")
  replay = Replay(spec, latent_spec, config=replace(config, capacity=steps), streams=1, seed=seed)
  if replay.capacity < steps:
    raise ValueError(
      f"of the {steps} steps recorded, {replay.capacity} fit in memory ({replay.describe()}): raise --replay.max-bytes, or "
      "train on fewer episodes"
    )
  nothing = {name: np.zeros((1, *array.shape), array.dtype) for name, array in latent_spec.items()}
  for episode in episodes:
    for step in range(len(episode.reward)):
      row = slice(step, step + 1)
      observation = {name: value[row] for name, value in episode.observation.items()}
      replay.add(Transition(observation, *(value[row] for value in episode[1:])), nothing)
  return replay
