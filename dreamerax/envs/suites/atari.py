"""Atari games of the Arcade Learning Environment: `atari/pong`.

As DreamerV3 was evaluated (Hafner et al. 2023) and Machado et al. 2018 recommend: sticky actions of probability 0.25, all
18 actions, episodes that end with the game and not with a life, and at most 108,000 frames. Every episode begins with up to 30
frames without action (Mnih et al. 2015).
"""

from typing import Any

import numpy as np

from dreamerax.envs.base import Environment, Step
from dreamerax.envs.config import EnvConfig
from dreamerax.envs.names import check_listed
from dreamerax.envs.suites.actions import DiscreteActions
from dreamerax.types import ArraySpec, EnvSpec

PREFIX = "atari/"
_STICKY = 0.25  # probability that a frame repeats the action of the one before
_NO_OPS = 30  # frames at the start, at most
_FRAMES = 108_000  # of an episode, 30 minutes at 60 a second
_SCREEN = (210, 160, 3)


def make(config: EnvConfig, seed: int) -> Environment:
  """A game at its own size.

  Raises:
    ValueError: there is no such game, or ale-py is not installed.
  """
  check(config.task)
  return Atari(config.task, seed, config.action_repeat)


def check(task: str) -> None:
  """Raises ValueError: there is no such game (names the nearest), or ale-py is not installed."""
  check_listed(task, names(), prefix=PREFIX, of="no game of ale-py", package="ale-py", extra="atari")


def names() -> tuple[str, ...]:
  """Lists all games that ale-py brings along; () where it is not installed."""
  try:
    from ale_py import roms  # pyright: ignore[reportMissingImports]
  except ModuleNotFoundError:
    return ()
  return tuple(PREFIX + game for game in sorted(roms.get_all_rom_ids()))


class Atari(Environment):
  """One game. Env steps are frames: an action is held for `action_repeat` of them, usually 4, and rewards are summed.

  What is shown is the greater of the last two frames, pixel by pixel, as sprites flicker.
  """

  def __init__(self, task: str, seed: int, action_repeat: int):
    """seed: given to the first reset that is given none."""
    import ale_py  # pyright: ignore[reportMissingImports]
    from ale_py.env import AtariEnv  # pyright: ignore[reportMissingImports]

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # otherwise it greets on stderr
    self._env: Any = AtariEnv(
      task.removeprefix(PREFIX), frameskip=1, repeat_action_probability=_STICKY, full_action_space=True
    )
    self._name, self._repeat = task, action_repeat
    self._seed: int | None = seed
    self._actions = DiscreteActions(int(self._env.action_space.n))
    self._rng = np.random.default_rng(seed)
    self._frames = 0

  @property
  def spec(self) -> EnvSpec:
    return EnvSpec({"image": ArraySpec(_SCREEN, "uint8")}, self._actions.spec)

  def reset(self, seed: int | None = None) -> Step:
    if seed is None:
      seed, self._seed = self._seed, None
    if seed is not None:
      self._rng, self._seed = np.random.default_rng(seed), None
    # The emulator's own randomness is drawn from the episode's.
    screen, _ = self._env.reset(seed=int(self._rng.integers(2**31)))
    self._frames = 0
    for _ in range(self._rng.integers(_NO_OPS + 1)):
      screen, _, terminated, *_ = self._env.step(0)
      if terminated:
        screen, _ = self._env.reset()
    return Step({"image": screen}, 0.0, is_first=True, is_last=False, is_terminal=False)

  def step(self, action: np.ndarray) -> Step:
    choice, reward = self._actions(action, self._name), 0.0
    screens: list[np.ndarray] = []
    terminated, end = False, min(self._frames + self._repeat, _FRAMES)
    while self._frames < end and not terminated:
      screen, gain, terminated, *_ = self._env.step(choice)
      screens = [*screens[-1:], screen]  # each is an array of its own
      reward, self._frames = reward + float(gain), self._frames + 1
    last = bool(terminated) or self._frames >= _FRAMES
    image = np.maximum.reduce(screens)
    return Step({"image": image}, reward, is_first=False, is_last=last, is_terminal=bool(terminated))

  def close(self) -> None:
    self._env.close()
