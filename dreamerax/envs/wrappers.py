"""Defines wrappers that fit around any environment."""

from collections.abc import Mapping

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.types import CONDITION, ArraySpec, EnvSpec


class Wrapper(Environment):
  """Passes everything on to the environment that it is put around. Subclasses change what they are for."""

  def __init__(self, env: Environment):
    self._env = env

  @property
  def spec(self) -> EnvSpec:
    return self._env.spec

  @property
  def rendering_seconds(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
    return self._env.rendering_seconds

  @property
  def declared(self) -> Mapping[str, ArraySpec]:
    return self._env.declared

  def reset(self, seed: int | None = None) -> Step:
    return self._env.reset(seed)

  def step(self, action: np.ndarray) -> Step:
    return self._env.step(action)

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    return self._env.replay(seed, actions)

  def render(self) -> np.ndarray:
    return self._env.render()

  def close(self) -> None:
    self._env.close()


class ActionRepeat(Wrapper):
  """Takes every action `times` times and sums the rewards; the episode's end cuts the last repeat short.

  dm_control's environments repeat by themselves, because they need not render what this would throw away.
  """

  replay = Environment.replay  # with repeated actions

  def __init__(self, env: Environment, times: int):
    super().__init__(env)
    self._times = times

  def step(self, action: np.ndarray) -> Step:
    reward = 0.0
    for _ in range(self._times):
      step = self._env.step(action)
      reward += step.reward
      if step.is_last:
        break
    return step._replace(reward=reward)


class OneCondition(Wrapper):
  """Begins every episode as that of one seed, whose number among `count` it shows as `true/condition`, one-hot."""

  def __init__(self, env: Environment, index: int, count: int):
    """index: the seed, below `count`; the environment was made with it, too."""
    super().__init__(env)
    self._index, self._count = index, count

  @property
  def spec(self) -> EnvSpec:
    inner = self._env.spec
    return EnvSpec({**inner.observation, CONDITION: ArraySpec((self._count,))}, inner.action)

  def reset(self, seed: int | None = None) -> Step:
    return self._shown(self._env.reset(self._index))

  def step(self, action: np.ndarray) -> Step:
    return self._shown(self._env.step(action))

  def replay(self, seed: int, actions: np.ndarray) -> Step:
    return self._shown(self._env.replay(self._index, actions))

  def _shown(self, step: Step) -> Step:
    condition = np.zeros(self._count, np.float32)
    condition[self._index] = 1
    return step._replace(observation={**step.observation, CONDITION: condition})
