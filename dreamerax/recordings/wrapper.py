"""An environment whose episodes are written as somebody's own loop steps it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamerax.envs.base import Environment, Step, to_row
from dreamerax.envs.contract import Checked
from dreamerax.envs.wrappers import Wrapper
from dreamerax.recordings.folder import EpisodeFolder
from dreamerax.recordings.recorder import Recorder


class RecordedEnv(Wrapper):
  """Passes everything through, and writes each episode when it ends."""

  replay = Environment.replay  # whose steps are written, too

  def __init__(self, env: Environment, folder: str | Path, about: Mapping[str, Any] | None = None):
    """
    Args:
      folder: made where it is missing; an existing one gets further episodes.
      about: where the episodes come from, kept in spec.json.

    Raises:
      what `EpisodeFolder.create` raises; in `reset` and `step` what `Checked` raises.
    """
    super().__init__(env if isinstance(env, Checked) else Checked(env))
    self._recorder = Recorder(EpisodeFolder.create(folder, env.spec, about))

  def reset(self, seed: int | None = None) -> Step:
    return self._record(self._env.reset(seed), np.zeros(self.spec.action.size))

  def step(self, action: np.ndarray) -> Step:
    return self._record(self._env.step(action), action)

  def _record(self, step: Step, action: np.ndarray) -> Step:
    self._recorder.add(to_row(step, np.asarray(action, np.float32).clip(-1, 1)))  # as environments do
    return step
