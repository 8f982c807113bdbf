"""Writes episodes as they are played."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dreamerax.envs.base import EnvBatch
from dreamerax.envs.quota import episodes_each
from dreamerax.envs.suites.actions import random_actions
from dreamerax.recordings.folder import EpisodeFolder
from dreamerax.types import EnvSpec, Transition

Act = Callable[[Transition, int], np.ndarray]  # (newest row [E, ...], number of the call) -> actions [E, A]


class Recorder:
  """Collects the rows of E streams, and writes each episode when it ends. One that has not ended is not written."""

  def __init__(self, folder: EpisodeFolder, num_envs: int = 1):
    """num_envs: E, streams whose rows come together."""
    self._folder = folder
    self._rows: list[list[Transition]] = [[] for _ in range(num_envs)]

  def add(self, rows: Transition, keep: Sequence[bool] | np.ndarray | None = None) -> list[Path]:
    """Takes the newest row [E, ...] of every stream; returns the files of the episodes that it ends.

    Args:
      rows: what `EnvBatch.reset`, `receive` and `step` return; copied.
      keep: [E], which streams are recorded; all by default.

    Raises:
      ValueError: a row or an episode is not what the folder's spec says.
    """
    if len(rows.reward) != len(self._rows):
      raise ValueError(
        f"rows of {len(rows.reward)} streams were added to a recorder of {len(self._rows)}: give num_envs"
      )
    files = []
    for index, episode in enumerate(self._rows):
      if keep is not None and not keep[index]:
        continue
      if rows.is_first[index]:
        episode.clear()
      episode.append(_row(rows, index))
      if rows.is_last[index]:
        files.append(self._folder.write(_stacked(episode)))
        episode.clear()
    return files


def record(
  envs: EnvBatch,
  act: Act,
  folder: EpisodeFolder,
  *,
  episodes: int,
  after: Callable[[Transition], None] = lambda rows: None,
) -> list[Path]:
  """Plays and writes exactly `episodes` episodes; returns their files.

  Which of them count is settled beforehand, a fixed number from each environment, so that short ones are not favoured. Actions
  are clipped to [-1, 1], as environments do.

  Args:
    after: called with every row [E, ...]; may raise to leave, which keeps what has been written.

  Raises:
    ValueError: the environments show or take something else than the folder's spec, or break their promises.
  """
  if envs.spec != folder.spec:
    raise ValueError(f"the environments have the spec {envs.spec}, and {folder.path} that of {folder.spec}")
  left = np.zeros(envs.num_envs, np.int64)
  quota = episodes_each(episodes, envs.num_envs)
  left[: len(quota)] = quota
  recorder, files, calls = Recorder(folder, envs.num_envs), [], 0
  rows = envs.reset()
  while True:
    files += recorder.add(rows, keep=left > 0)
    left -= rows.is_last
    after(rows)
    if not (left > 0).any():
      return files
    rows = envs.step(np.clip(act(rows, calls), -1, 1))
    calls += 1


def uniform(spec: EnvSpec, seed: int) -> Act:
  """Uniform actions, which follow from the seed and the number of the call."""

  def act(rows: Transition, call: int) -> np.ndarray:
    return random_actions(spec.action, np.random.default_rng((seed, call)), len(rows.reward))

  return act


def _row(rows: Transition, index: int) -> Transition:
  """A copy of one stream's row."""
  observation = {name: np.array(value[index]) for name, value in rows.observation.items()}
  return Transition(observation, *(np.array(value[index]) for value in rows[1:]))


def _stacked(rows: Sequence[Transition]) -> Transition:
  """Rows as an episode [T, ...]."""
  names = rows[0].observation
  observation = {name: np.stack([row.observation[name] for row in rows]) for name in names}
  return Transition(observation, *(np.stack(values) for values in zip(*(row[1:] for row in rows), strict=True)))
