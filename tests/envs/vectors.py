"""VectorEnvs of gymnasium that cost nothing, as a user's module with factories has them."""

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from tests.envs.toys import Gallery, GymTelling


class Walks(VectorEnv):
  """Adds noise and actions up. Stream i is terminal after `2 + i` steps, and out of time after 3; rewards are places."""

  single_observation_space = spaces.Dict(
    {
      "place": spaces.Box(-np.inf, np.inf, (2,), np.float64),
      "image": spaces.Box(0, 255, (9, 8), np.uint8),
      "event": spaces.Dict({"near": spaces.Discrete(2)}),
    }
  )
  single_action_space = spaces.Box(-2, 2, (2,), np.float32)

  def __init__(self, num_envs: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP, render_mode: str | None = None):
    self.num_envs, self.mode, self.render_mode = num_envs, mode, render_mode
    self.metadata = {"autoreset_mode": mode}
    self.lengths = 2 + np.arange(num_envs)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.place, self.clock = np.zeros((self.num_envs, 2)), np.zeros(self.num_envs, int)
    self.over = np.zeros(self.num_envs, bool)
    self._begin(~self.over)
    return self._shown(), {}

  def step(self, actions):
    begun = self.over.copy()
    self.place += np.where(begun[:, None], 0, actions) + self.np_random.normal(size=self.place.shape)
    self.clock += 1
    if self.mode == AutoresetMode.NEXT_STEP:
      self._begin(begun)
    rewards = np.where(begun & (self.mode == AutoresetMode.NEXT_STEP), 0, self.place[:, 0])
    terminated, truncated = self.clock == self.lengths, (self.clock == 3) & (self.clock != self.lengths)
    infos = {"log/clock": self.clock.astype(float), "_log/clock": ~self.over}
    over = terminated | truncated
    if self.mode == AutoresetMode.SAME_STEP:
      infos = {**infos, "final_obs": self._shown(), "_final_obs": over, "final_info": infos}
      self._begin(over)
    else:
      self.over = over
    return self._shown(), rewards, terminated, truncated, infos

  def render(self):
    return tuple(np.full((6, 8, 3), clock, np.uint8) for clock in self.clock)

  def _begin(self, which):
    self.place[which] = self.np_random.normal(size=(which.sum(), 2))
    self.clock[which] = 0

  def _shown(self):
    image = np.broadcast_to(self.clock[:, None, None], (self.num_envs, 9, 8)).astype(np.uint8)
    near = (np.abs(self.place).max(-1) < 1).astype(np.int64)
    return {"place": self.place.copy(), "image": image, "event": {"near": near}}


class Saved(Walks):
  """One that can be saved."""

  def checkpoint(self):
    state = self.np_random.bit_generator.state["state"]
    words = [state[name] >> shift & 0xFFFFFFFF for name in ("state", "inc") for shift in range(0, 128, 32)]
    return {"place": self.place, "clock": self.clock, "over": self.over, "random": np.array(words, np.uint32)}

  def restore(self, arrays):
    super().reset(seed=0)
    self.place, self.clock, self.over = (arrays[name].copy() for name in ("place", "clock", "over"))
    words = [sum(int(word) << 32 * i for i, word in enumerate(half)) for half in arrays["random"].reshape(2, 4)]
    generator = self.np_random.bit_generator
    generator.state = {**generator.state, "state": dict(zip(("state", "inc"), words, strict=True))}


def walks(num_envs: int, render_mode: str | None = None) -> VectorEnv:
  return Walks(num_envs, render_mode=render_mode)


def same_step(num_envs: int) -> VectorEnv:
  return Walks(num_envs, AutoresetMode.SAME_STEP)


def saved(num_envs: int) -> VectorEnv:
  return Saved(num_envs)


def saved_same_step(num_envs: int) -> VectorEnv:
  return Saved(num_envs, AutoresetMode.SAME_STEP)


def cartpoles(num_envs: int) -> VectorEnv:
  return gymnasium.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point")


def galleries(num_envs: int) -> VectorEnv:
  """Nested observations, choices numbered from 3, and a last observation for each environment that ended."""
  return SyncVectorEnv([Gallery] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def telling(num_envs: int) -> VectorEnv:
  return SyncVectorEnv([GymTelling] * num_envs)


def disabled(num_envs: int) -> VectorEnv:
  return SyncVectorEnv([Gallery] * num_envs, autoreset_mode=AutoresetMode.DISABLED)


def fewer(num_envs: int) -> VectorEnv:
  return Walks(num_envs + 1)


def single(num_envs: int) -> gymnasium.Env:
  return Gallery()


def broken(num_envs: int) -> VectorEnv:
  raise OSError("no license left")


def without(seed: int) -> VectorEnv:
  return Walks(1)


class Silent(Walks):
  """Ends episodes in their last step, and does not say what it showed then."""

  def step(self, actions):
    *answer, infos = super().step(actions)
    infos.pop("final_obs")
    return (*answer, infos)


def silent(num_envs: int) -> VectorEnv:
  return Silent(num_envs, AutoresetMode.SAME_STEP)


class Spoilt(Walks):
  """Breaks in its own way at its fourth step."""

  steps = 0

  def step(self, actions):
    observation, rewards, terminated, truncated, infos = super().step(actions)
    self.steps += 1
    if self.steps == 4:
      observation, rewards, terminated = self.spoil(observation, rewards, terminated)
    return observation, rewards, terminated, truncated, infos


def spoilt(spoil) -> VectorEnv:
  envs = Spoilt(2)
  envs.spoil = spoil
  return envs
