"""Small environments that cost nothing, for the tests; also what a user's module with factories looks like."""

import os
import signal
import time

import dm_env
import gymnasium
import numpy as np
from dm_env import specs

from dreamerax.envs.base import Environment, Step, checked_action
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec


class Counter(Environment):
  """Shows its clock and its episode's seed, and is over after `length` steps. The reward is the first action."""

  def __init__(self, seed: int = 0, length: int = 4, terminal: bool = False):
    self.seed, self.length, self.terminal = seed, length, terminal
    self.clock, self.ended, self.actions = 0, True, []

  @property
  def spec(self) -> EnvSpec:
    return EnvSpec({"clock": ArraySpec((2,))}, ActionSpec(2))

  def reset(self, seed: int | None = None) -> Step:
    self.seed = self.seed if seed is None else seed
    self.clock, self.ended = 0, False
    return self._step(0.0)

  def step(self, action: np.ndarray) -> Step:
    if self.ended:
      raise RuntimeError("call reset")
    action = checked_action(action, self.spec.action, "counter")
    self.actions.append(action)
    self.clock += 1
    self.ended = bool(self.clock == self.length)
    return self._step(float(action[0]))

  def _step(self, reward: float) -> Step:
    clock = np.array([self.clock, self.seed], np.float32)
    return Step({"clock": clock}, reward, self.clock == 0, self.ended, self.ended and self.terminal)


class Wander(Counter):
  """Adds noise and actions up, for 2 to 7 steps; the seed decides the noise and how many."""

  def __init__(self, seed: int):
    super().__init__(terminal=True)
    self._rng = np.random.default_rng(seed)

  @property
  def spec(self) -> EnvSpec:
    return EnvSpec({"place": ArraySpec((2,)), "view": ArraySpec((2, 2, 1), "uint8")}, ActionSpec(2))

  def reset(self, seed: int | None = None) -> Step:
    if seed is not None:
      self._rng = np.random.default_rng(seed)
    self.place, self.length = self._rng.normal(size=2), self._rng.integers(2, 8)
    return super().reset()

  def step(self, action: np.ndarray) -> Step:
    if not self.ended:
      self.place = self.place + action + self._rng.normal(size=2)
    return super().step(action)

  def _step(self, reward: float) -> Step:
    observation = {
      "place": self.place.astype(np.float32),
      "view": self._rng.integers(256, size=(2, 2, 1), dtype=np.uint8),
    }
    return super()._step(reward and self.place[0])._replace(observation=observation)


class Seeking(Counter):
  """A place to steer, drawn as a dot, and where it should be: hidden goals of both, and whether it is near."""

  def __init__(self, seed: int):
    super().__init__(seed, length=6)

  @property
  def spec(self) -> EnvSpec:
    shown = {"image": ArraySpec((16, 16, 3), "uint8"), "place": ArraySpec((2,))}
    goals = {f"goal/{name}": array for name, array in shown.items()}
    return EnvSpec({**shown, **goals, "event/near": ArraySpec((1,))}, ActionSpec(2))

  def reset(self, seed: int | None = None) -> Step:
    self.place, self.goal = np.random.default_rng(self.seed if seed is None else seed).uniform(-1, 1, (2, 2))
    return super().reset(seed)

  def step(self, action: np.ndarray) -> Step:
    self.place = np.clip(self.place + 0.3 * action, -1, 1)
    return super().step(action)

  def _step(self, reward: float) -> Step:
    near = np.linalg.norm(self.place - self.goal) < 0.3
    observation = {**self._seen(self.place), "event/near": np.array([near], np.float32)}
    observation |= {f"goal/{name}": array for name, array in self._seen(self.goal).items()}
    return super()._step(float(near and self.clock > 0))._replace(observation=observation)

  def _seen(self, place: np.ndarray) -> dict[str, np.ndarray]:
    image = np.zeros((16, 16, 3), np.uint8)
    row, column = np.rint((place + 1) * 7.5).astype(int)
    image[row, column] = 255
    return {"image": image, "place": place.astype(np.float32)}


def seeking(seed: int) -> Seeking:
  return Seeking(seed)


class Telling(Wander):
  """Also gives numbers of its own: its place, and whether it was far away."""

  def _step(self, reward: float) -> Step:
    return super()._step(reward)._replace(log={"place": self.place[0], "success": bool(self.place[0] > 1)})


def telling(seed: int) -> Telling:
  return Telling(seed)


class GymTelling(gymnasium.Env):
  """Gives `info["log/clock"]` and `info["is_success"]`; is over after three steps."""

  observation_space = gymnasium.spaces.Box(-1, 1, (2,))
  action_space = gymnasium.spaces.Box(-1, 1, (1,))

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.clock = 0
    return np.zeros(2, np.float32), {"log/clock": 100.0}

  def step(self, action):
    self.clock += 1
    info = {"log/clock": np.array([self.clock]), "is_success": np.bool_(self.clock == 2), "other": "x"}
    return np.zeros(2, np.float32), 1.0, False, self.clock == 3, info


class Fragile(Counter):
  """Breaks at the action (0.5, 0.75): in its own way, given as a function."""

  def __init__(self, seed: int, breaks):
    super().__init__(seed, length=6)
    self.breaks = breaks

  def step(self, action: np.ndarray) -> Step:
    if tuple(action) == (0.5, 0.75):
      self.breaks()
    return super().step(action)


class Corridor(dm_env.Environment):
  """A dm_env whose episode lasts three steps and ends with the given discount. Actions lie in [0, 10] × [-2, 2]."""

  def __init__(self, discount: float = 1.0, seed: int = 0):
    self.discount, self.seed, self.actions, self.clock = discount, seed, [], 0
    self.buffer = np.zeros((2, 2))

  def observation_spec(self):
    return {"grid": specs.Array((2, 2), np.float64), "count": specs.Array((), np.int64)}

  def action_spec(self):
    return specs.BoundedArray((2,), np.float64, [0, -2], [10, 2])

  def reset(self):
    self.clock = 0
    return dm_env.restart(self._observation())

  def step(self, action):
    self.actions.append(action)
    self.clock += 1
    if self.clock < 3:
      return dm_env.transition(1.0, self._observation())
    return dm_env.TimeStep(dm_env.StepType.LAST, 1.0, self.discount, self._observation())

  def _observation(self):
    self.buffer[:] = self.clock + self.seed / 10  # one buffer for all steps, as simulators do
    return {"grid": self.buffer, "count": self.clock}


class DmTelling(Corridor):
  """Shows `log/count`, which is for people."""

  def observation_spec(self):
    return {**super().observation_spec(), "log/count": specs.Array((), np.float64)}

  def _observation(self):
    return {**super()._observation(), "log/count": float(self.clock)}


class Dice(Corridor):
  """A dm_env that holds its randomness as a composer environment of dm_control does."""

  def __init__(self, seed: int):
    super().__init__()
    self.random_state = np.random.RandomState(seed)

  def _observation(self):
    return {"grid": self.random_state.normal(size=(2, 2)), "count": self.clock}


class Gallery(gymnasium.Env):
  """A gymnasium environment with nested observations and choices numbered from 3."""

  observation_space = gymnasium.spaces.Dict(
    {
      "grey": gymnasium.spaces.Box(0, 255, (4, 5), np.uint8),
      "camera": gymnasium.spaces.Box(0, 255, (6, 4, 3), np.uint8),
      "body": gymnasium.spaces.Dict(
        {"angles": gymnasium.spaces.Box(-1, 1, (2, 2)), "gear": gymnasium.spaces.Discrete(3)}
      ),
    }
  )
  action_space = gymnasium.spaces.Discrete(4, start=3)

  def __init__(self, ends_by: str = "terminated"):
    self.ends_by, self.actions, self.clock = ends_by, [], 0
    self.observation_space.seed(0)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    if seed is not None:
      self.observation_space.seed(seed)
    self.clock = 0
    return self.observation_space.sample(), {}

  def step(self, action):
    self.actions.append(action)
    self.clock += 1
    over = self.clock == 3
    observation = self.observation_space.sample()
    return observation, 0.5, over and self.ends_by == "terminated", over and self.ends_by == "truncated", {}


class Levers(gymnasium.Env):
  """Shows which choice of each lever pays, anew at every step, and pays the share of those that were taken."""

  def __init__(self, action_space: gymnasium.spaces.MultiDiscrete | gymnasium.spaces.MultiBinary, length: int = 10):
    self.action_space, self.length = action_space, length
    flat = gymnasium.spaces.flatten(action_space, action_space.sample())
    self.observation_space = gymnasium.spaces.Box(0, 1, flat.shape)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    if seed is not None:
      self.action_space.seed(seed)
    self.clock = 0
    return self._shown(), {}

  def step(self, action):
    assert self.action_space.contains(action), action
    self.clock += 1
    reward = float(np.mean(action == self.wanted))
    return self._shown(), reward, False, self.clock == self.length, {}

  def _shown(self) -> np.ndarray:
    self.wanted = self.action_space.sample()
    return gymnasium.spaces.flatten(self.action_space, self.wanted).astype(np.float32)


def levers() -> gymnasium.Env:
  return Levers(gymnasium.spaces.MultiDiscrete([3, 2]))


def switches() -> gymnasium.Env:
  return Levers(gymnasium.spaces.MultiBinary(3))


def counter(seed: int) -> Environment:
  return Counter(seed)


def wander(seed: int) -> Environment:
  return Wander(seed)


def fickle(seed: int) -> Environment:
  """Repeats itself only where it was made with an odd seed."""

  class Fickle(Wander):
    def reset(self, seed_: int | None = None) -> Step:
      super().reset(seed_)
      if seed % 2 == 0:
        self.place = np.random.default_rng().normal(size=2)
      return self._step(0.0)

  return Fickle(seed)


def forgetful(seed: int) -> Environment:
  """Cannot be replayed where it was made with an even seed; shows zeros there, as does memory that nobody wrote."""

  class Forgetful(Wander):
    def _step(self, reward: float) -> Step:
      step = super()._step(reward)
      nothing = {key: np.zeros_like(value) for key, value in step.observation.items()}
      return step if seed % 2 else step._replace(observation=nothing, reward=0.0)

    def replay(self, seed_: int, actions: np.ndarray) -> Step:
      if seed % 2 == 0:
        raise OSError("the door is locked")
      return super().replay(seed_, actions)

  return Forgetful(seed)


def mortal(seed: int) -> Environment:
  """Takes its process with it when it is replayed where it was made with an even seed."""

  class Mortal(Wander):
    def replay(self, seed_: int, actions: np.ndarray) -> Step:
      if seed % 2 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
      return super().replay(seed_, actions)

  return Mortal(seed)


def raising(seed: int) -> Environment:
  def breaks():
    raise ZeroDivisionError("the pole is not upright")

  return Fragile(seed, breaks)


def crashing(seed: int) -> Environment:
  return Fragile(seed, lambda: os.kill(os.getpid(), signal.SIGSEGV))


def hanging(seed: int) -> Environment:
  return Fragile(seed, lambda: time.sleep(1000))


def deaf(seed: int) -> Environment:
  """Hangs in every step but those of the environment on trial, and hears no signal that can be ignored."""

  class Deaf(Counter):
    def step(self, action: np.ndarray) -> Step:
      if seed:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
          signal.signal(number, signal.SIG_IGN)
        time.sleep(1000)
      return super().step(action)

  return Deaf(seed)


def leaving(seed: int) -> Environment:
  """Notes in the file that the variable NOTES names when it is closed."""

  class Leaving(Counter):
    def close(self):
      with open(os.environ["NOTES"], "a") as file:
        file.write(f"{self.seed}\n")

  return Leaving(seed)


def doomed(seed: int) -> Environment:
  """Can be made once on trial, and not again."""
  if seed:
    raise OSError("no license left")
  return Counter(seed)


def corridor(seed) -> dm_env.Environment:
  return Corridor(seed=seed)


def dice(seed) -> dm_env.Environment:
  return Dice(seed)


def gallery(ends_by="truncated") -> gymnasium.Env:
  return Gallery(ends_by)


def two_arguments(width, height) -> Environment:
  return Counter(width + height)


def liar(seed: int) -> Environment:
  class Liar(Counter):
    @property
    def spec(self) -> EnvSpec:
      return EnvSpec({"clock": ArraySpec((3,))}, ActionSpec(2))

  return Liar(seed)


class Painted(Counter):
  """Shows no image, and draws itself: everything as bright as its clock."""

  def render(self) -> np.ndarray:
    return np.full((6, 8, 3), self.clock, np.uint8)


def painted(seed: int) -> Environment:
  return Painted(seed)


def unpaintable(seed: int) -> Environment:
  """Cannot draw itself from the third step on."""

  class Unpaintable(Painted):
    def render(self) -> np.ndarray:
      if self.clock >= 3:
        raise OSError("the ink is dry")
      return super().render()

  return Unpaintable(seed)


def explosive(seed: int) -> Environment:
  """Takes its process with it when it is drawn."""

  class Explosive(Painted):
    def render(self) -> np.ndarray:
      os.kill(os.getpid(), signal.SIGKILL)
      return super().render()

  return Explosive(seed)


class GymPainted(GymTelling):
  """Draws itself where it is made to."""

  metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

  def __init__(self, render_mode: str | None = None):
    self.render_mode = render_mode

  def render(self):
    return np.full((400, 600, 3), 7, np.uint8)


def killed(seed: int) -> Environment:
  """Ends its process when it is made."""
  os.kill(os.getpid(), signal.SIGSEGV)
  return Counter(seed)


def gone(seed: int) -> Environment:
  """Ends its process without a word."""
  os._exit(3)


def endless(seed: int) -> Environment:
  """Is never made."""
  time.sleep(1000)
  return Counter(seed)


def gone_later(seed: int) -> Environment:
  """Ends its process in the middle of an episode."""

  class GoneLater(Counter):
    def step(self, action: np.ndarray) -> Step:
      if self.clock == 2:
        os._exit(4)
      return super().step(action)

  return GoneLater(seed)
