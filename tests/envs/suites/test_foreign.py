"""What gymnasium and dm_env environments return is read as they declare it, or named."""

import re

import dm_env
import gymnasium
import numpy as np
import pytest
from dm_env import specs
from gymnasium import spaces

from dreamerax.envs.faults import Breach
from dreamerax.envs.suites.dm_env import DmEnv
from dreamerax.envs.suites.gymnasium import GymEnv
from dreamerax.types import ActionSpec

BOX = spaces.Box(-1, 1, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (4, 5, 3), np.uint8)


class Plain(gymnasium.Env):
  """Gives what it is told to."""

  action_space = spaces.Discrete(2)

  def __init__(self, space=BOX, shows=None, reward=1.0, **answers):
    self.observation_space = space
    self.shows = np.zeros(2, np.float32) if shows is None else shows
    self.answers = {"reset": (self.shows, {}), "step": (self.shows, reward, False, False, {}), **answers}

  def reset(self, *, seed=None, options=None):
    return self.answers["reset"]

  def step(self, action):
    return self.answers["step"]


class OldReset(Plain):
  def reset(self):  # pyright: ignore
    return self.shows


STEP = "return observation, reward, terminated, truncated, info"
ZEROS = np.zeros(2, np.float32)
WRONG = {
  "four values": (
    Plain(step=(ZEROS, 1.0, False, {})),
    rf"step gave 4 values \(the interface of gym before 0.26\): {STEP}",
  ),
  "no tuple": (Plain(step=ZEROS), rf"step gave array\(.*: {STEP}"),
  "reset without info": (Plain(reset=ZEROS), r"reset gave array\(.*: return observation, info"),
  "reset without seed": (OldReset(), r"reset takes no seed: declare reset\(self, \*, seed=None, options=None\)"),
  "reward None": (Plain(step=(ZEROS, None, False, False, {})), r"step gave the reward None: .*float\(reward\)"),
  "two rewards": (Plain(step=(ZEROS, np.ones(2), False, False, {})), r"step gave the reward array\(\[1., 1.\]\)"),
  "reward string": (Plain(step=(ZEROS, "1", False, False, {})), "step gave the reward '1'"),
  "reward of 400 digits": (Plain(step=(ZEROS, 10**400, False, False, {})), "step gave the reward 10000"),
  "reward of 5,000 digits": (Plain(step=(ZEROS, 10**5000, False, False, {})), "step gave the reward <int>"),
  "log of 400 digits": (
    Plain(step=(ZEROS, 1.0, False, False, {"log/x": 10**400})),
    "'log/x' is 10000.*: give one number",
  ),
  "log complex": (
    Plain(step=(ZEROS, 1.0, False, False, {"log/x": np.complex64(1j)})),
    "'log/x' is .*: give one number",
  ),
  "terminated None": (
    Plain(step=(ZEROS, 1.0, None, False, {})),
    r"step gave terminated=None: return bool\(terminated\)",
  ),
  "wrong size": (Plain(shows=np.zeros(3, np.float32)), r"'vector' is float32 \[3\]; its space says float32 \[2\]"),
  "a scalar": (Plain(shows=1.0), r"'vector' is float64 \[\]; its space says float32 \[2\]"),
  "None": (Plain(shows=(None, None)), r"'vector' is object \[2\]"),
  "strings": (Plain(shows=np.array(["1", "2"])), r"'vector' is <U1 \[2\]"),
  "complex": (Plain(shows=np.ones(2, complex)), r"'vector' is complex128 \[2\]"),
  "float image": (
    Plain(IMAGE, np.ones((4, 5, 3))),
    r"'image' is float64 \[4, 5, 3\]; its space says uint8 \[4, 5, 3\]: multiply it by 255",
  ),
  "int image": (Plain(IMAGE, np.ones((4, 5, 3), int)), r"'image' is int64 .*: convert it with astype\(np.uint8\)"),
  "bool image": (Plain(IMAGE, np.ones((4, 5, 3), bool)), r"'image' is bool .*: convert it"),
  "channels first": (
    Plain(IMAGE, np.ones((3, 4, 5), np.uint8)),
    r"uint8 \[3, 4, 5\]; .* uint8 \[4, 5, 3\]: .*transpose",
  ),
  "floats for integers": (
    Plain(spaces.Box(0, 9, (2,), np.int64), np.ones(2)),
    r"is float64 \[2\]; its space says int64",
  ),
  "a choice too many": (Plain(spaces.Discrete(3), 3), r"'vector' is 3; its space says Discrete\(3\)"),
  "a choice below": (Plain(spaces.Discrete(3), -1), r"'vector' is -1; its space says Discrete\(3\)"),
  "no dict": (Plain(spaces.Dict(a=BOX), ZEROS), "observation 'a' is missing in array"),
  "key missing": (Plain(spaces.Dict(a=BOX, b=BOX), {"a": ZEROS}), "observation 'b' is missing in {'a'"),
}


def walk(env: GymEnv | DmEnv):
  env.reset(3)
  return env.step(np.array([1, 0], np.float32))


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_gymnasium_does_not_ask_for_is_named(case: str, wrapped: bool):
  env, message = WRONG[case]
  if wrapped:  # gymnasium's wrappers unpack what they get
    env = gymnasium.wrappers.TimeLimit(env, 10)
    if case in ("four values", "no tuple"):
      message = rf"step gave .*values to unpack.*: {STEP}"
  with pytest.raises(Breach, match=message) as breach:
    walk(GymEnv(env, name="plain", seed=0))
  assert "\n" not in str(breach.value)


def test_two_observations_of_one_joined_name_are_refused():
  space = spaces.Dict({"a/b": BOX, "a": spaces.Dict(b=BOX)})
  with pytest.raises(ValueError, match="plain: two observations are called 'a/b'"):
    GymEnv(Plain(space), name="plain", seed=0)


@pytest.mark.parametrize("reward", [1, True, np.float32(1), np.array(1.0), np.array([1.0]), np.array([[1]])])
def test_a_single_number_is_a_reward_in_whatever_it_comes(reward):
  step = walk(GymEnv(Plain(step=(ZEROS, reward, np.False_, np.array([True]), {})), name="plain", seed=0))
  assert step[1:5] == (1.0, False, True, False) and type(step.reward) is float


def test_numbers_of_another_width_are_read():
  for given in (np.ones(2), np.ones(2, np.float16), np.ones(2, int), np.ones(2, bool), [1, 1]):
    step = walk(GymEnv(Plain(shows=given), name="plain", seed=0))
    assert step.observation["vector"].dtype == np.float32 and step.observation["vector"].tolist() == [1, 1]


def test_what_raises_in_the_environment_is_raised():
  class Raising(Plain):
    def step(self, action):
      a, b = (1, 2, 3)  # pyright: ignore
      return a, b

  with pytest.raises(ValueError, match="too many values to unpack"):
    walk(GymEnv(gymnasium.wrappers.TimeLimit(Raising(), 10), name="plain", seed=0))


class Speaker(dm_env.Environment):
  def __init__(self, spec, shows, reward=1.0, step=None):
    self.spec, self.shows, self.reward, self.answer = spec, shows, reward, step

  def observation_spec(self):
    return self.spec

  def action_spec(self):
    return specs.DiscreteArray(2)

  def reset(self):
    return dm_env.restart(self.shows)

  def step(self, action):
    return self.answer or dm_env.transition(self.reward, self.shows)


VECTOR = {"a": specs.Array((2,), np.float32)}


@pytest.mark.parametrize(
  ("env", "message"),
  [
    (Speaker({"p": specs.Array((4, 5, 3), np.uint8)}, {"p": np.ones((4, 5, 3))}), "its spec says uint8.*by 255"),
    (Speaker({"p": specs.Array((4, 5, 3), np.uint8)}, {"p": np.ones((3, 4, 5), np.uint8)}), r"uint8 \[3, 4, 5\]"),
    (Speaker(VECTOR, {"a": np.float32(1)}), r"'a' is float32 \[\]; its spec says float32 \[2\]"),
    (Speaker(VECTOR, {}), "observation 'a' is missing"),
    (Speaker(VECTOR, ZEROS), "the observation is array.*: show a dict of a"),
    (Speaker(VECTOR, {"a": ZEROS}, reward=np.ones(2)), "step gave the reward array"),
    (Speaker(VECTOR, {"a": ZEROS}, step=(1, 2)), r"step gave \(1, 2\): return a dm_env.TimeStep"),
  ],
)
def test_what_dm_env_does_not_ask_for_is_named(env: Speaker, message: str):
  with pytest.raises(Breach, match=message):
    walk(DmEnv(env, name="speaker"))


def test_a_list_of_discrete_arrays_is_several_choices():
  class Levers(Speaker):
    def action_spec(self):
      return [specs.DiscreteArray(3), specs.DiscreteArray(2)]

    def step(self, action):
      taken.append(action)
      return super().step(action)

  taken: list = []
  env = DmEnv(Levers(VECTOR, {"a": ZEROS}), name="levers")
  assert env.spec.action == ActionSpec(5, discrete=True, groups=(3, 2))
  env.reset()
  env.step(np.array([0, 0, 1, 1, 0], np.float32))
  assert taken[0].tolist() == [2, 0] and taken[0].dtype == np.int32


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "int8"])
@pytest.mark.parametrize(("low", "high"), [(0, 2), (0, 9), (3, 3), (-2, 2), (-128, 127), (0, 255)])
def test_every_integer_of_a_box_has_an_equal_share(low: int, high: int, dtype: str):
  if low < np.iinfo(dtype).min or high > np.iinfo(dtype).max:
    return
  count = high - low + 1
  box, spec = spaces.Box(low, high, (1,), np.dtype(dtype).type), specs.BoundedArray((1,), dtype, low, high)

  class Taking(Plain):
    action_space = box

    def step(self, action):
      taken.append(action)
      return super().step(action)

  class Sitting(Speaker):
    def action_spec(self):
      return spec

    def step(self, action):
      taken.append(action)
      return super().step(action)

  for env in (GymEnv(Taking(), name="taking", seed=0), DmEnv(Sitting(VECTOR, {"a": ZEROS}), name="sitting")):
    taken: list[np.ndarray] = []
    env.reset()
    shares = np.linspace(-1, 1, 7 * count, endpoint=False) + 1 / (7 * count)  # midpoints
    for share in [*shares, -1, 1]:
      env.step(np.array([share], np.float32))
    assert all(action.dtype == dtype and action.shape == (1,) for action in taken)
    assert [int(action[0]) for action in taken] == [*np.repeat(np.arange(low, high + 1), 7).tolist(), low, high]


def test_integers_without_bounds_are_refused():
  class Endless(Plain):
    action_space = spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (1,), np.int64)

  with pytest.raises(ValueError, match=re.escape("an action of int64 without bounds")):
    GymEnv(Endless(), name="endless", seed=0)


def test_a_box_of_floats_is_stretched_and_not_rounded():
  class Floats(Plain):
    action_space = spaces.Box(0, 2, (1,), np.float32)

    def step(self, action):
      self.taken = action
      return super().step(action)

  native = Floats()
  env = GymEnv(native, name="floats", seed=0)
  env.reset()
  env.step(np.array([0.25]))
  assert native.taken == [1.25] and native.taken.dtype == np.float32
