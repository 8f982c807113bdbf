"""check_env names what is wrong: one environment per mistake."""

import numpy as np
import pytest

from dreamerax.envs import check_env
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests.envs.toys import Counter


class Broken(Counter):
  """A Counter whose answers, or spec, are replaced."""

  def __init__(self, key=None, observation=None, reset=None, step=None, action=None):
    super().__init__(length=3)
    self.replace = {"reset": reset or {}, "step": step or {}}
    self.observation, self.key, self.action = observation, key, action

  @property
  def spec(self):
    arrays = {self.key or "clock": self.observation or ArraySpec((2,))}
    return EnvSpec(arrays, self.action or ActionSpec(2))

  def reset(self, seed=None):
    return super().reset(seed)._replace(**self.replace["reset"])

  def step(self, action):
    return super().step(action)._replace(**self.replace["step"])


@pytest.mark.parametrize(
  ("env", "message"),
  [
    (Broken(key="reward"), "'reward', a name kept"),
    (Broken(key="goal/clock"), r"hidden observations only \(goal/clock\).* that does not begin with goal/ or event/"),
    (Broken(observation=ArraySpec((2,), "float64")), "float32"),
    (Broken(observation=ArraySpec((2, 2))), r"float32 \[size\]"),
    (Broken(observation=ArraySpec((0,))), "holds nothing"),
    (Broken(observation=ArraySpec((5,))), r"float32 \[2\]; its spec says float32 \[5\]"),
    (Broken(action=ActionSpec(0)), "action.size=0"),
    (Broken(action=ActionSpec(1, discrete=True)), "action.size=1"),
    (Broken(reset={"observation": {}}), "keys"),
    (Broken(step={"observation": {"clock": np.full(2, np.nan, np.float32)}}), r"nan at \[0\], not a finite"),
    (Broken(step={"observation": {"clock": [0.0, 0.0]}}), "not a numpy array"),
    (Broken(step={"observation": {"clock": np.zeros(2)}}), "float64"),
    (Broken(step={"reward": np.nan}), "the reward is nan"),
    (Broken(step={"reward": np.zeros(1)}), "not a finite number"),
    (Broken(reset={"reward": 1.0}), "reward is 1.0; nothing was done"),
    (Broken(reset={"is_first": False}), "is_first"),
    (Broken(step={"is_first": True}), "is_first"),
    (Broken(reset={"is_last": True}), "at least one step"),
    (Broken(step={"is_terminal": True, "is_last": False}), "is_terminal without is_last"),
    (Broken(step={"is_last": 0}), "not a bool"),
  ],
)
def test_the_mistake_is_named(env, message):
  with pytest.raises(ValueError, match=message):
    check_env(env, steps=5)


def test_an_environment_that_writes_into_its_action_is_found():
  class Writer(Counter):
    def step(self, action):
      action *= 0
      return super().step(action)

  with pytest.raises(ValueError, match="changes the action"):
    check_env(Writer())


def test_an_environment_that_ignores_its_seed_is_found():
  made = []

  def factory(seed):
    made.append(Counter(seed=seed + len(made)))
    return made[-1]

  with pytest.raises(ValueError, match="differ in observation 'clock' at step 0"):
    check_env(Counter(), factory=factory)


def test_a_reset_that_takes_no_seed_is_found():
  class Unseeded(Counter):
    def reset(self):  # pyright: ignore
      return super().reset()

  class Demanding(Counter):
    def reset(self, seed):  # pyright: ignore
      return super().reset(seed)

  with pytest.raises(ValueError, match=r"cannot be called with a seed.*def reset\(self, seed: int \| None = None\)"):
    check_env(Unseeded())
  with pytest.raises(ValueError, match="cannot be called without a seed"):
    check_env(Demanding())


@pytest.mark.parametrize(
  ("late", "where"), [(False, "observation 'clock' at step 0"), (True, "reward or flags at step 2")]
)
def test_an_environment_that_does_not_repeat_an_episode_is_named_but_not_refused(caplog, late, where):
  class Drifting(Counter):
    episodes = 0

    def reset(self, seed=None):
      self.episodes += 1
      return super().reset(seed if late else self.episodes)

    def step(self, action):
      step = super().step(action)
      return step._replace(reward=step.reward + self.episodes * (self.clock == 2))

  check_env(Drifting())
  assert f"reset(seed=0) begins an episode that differs from the one it began before in {where}" in caplog.text


def test_a_sound_environment_passes(caplog):
  check_env(Counter(), factory=Counter)
  assert not caplog.text
