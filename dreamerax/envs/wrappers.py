"""What can be put around any environment."""

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.types import EnvSpec


class ActionRepeat(Environment):
  """Takes every action `times` times and sums the rewards; the episode's end cuts the last repeat short.

  dm_control's environments repeat by themselves, because they need not render what this would throw away.
  """

  def __init__(self, env: Environment, times: int):
    self._env = env
    self._times = times

  @property
  def spec(self) -> EnvSpec:
    return self._env.spec

  def reset(self, seed: int | None = None) -> Step:
    return self._env.reset(seed)

  def step(self, action: np.ndarray) -> Step:
    reward = 0.0
    for _ in range(self._times):
      step = self._env.step(action)
      reward += step.reward
      if step.is_last:
        break
    return step._replace(reward=reward)

  def close(self) -> None:
    self._env.close()
