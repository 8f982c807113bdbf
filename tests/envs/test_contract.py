"""What an environment answers is checked at every step, wherever it is stepped."""

import re
from contextlib import closing

import numpy as np
import psutil
import pytest

from dreamerax.envs import EnvConfig, WorkerConfig, make, make_batch, violations
from dreamerax.envs.base import Step
from dreamerax.envs.contract import Checked
from dreamerax.envs.faults import Breach, EnvironmentFault, NotFinite
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec
from tests.envs import toys

IMAGE, VECTOR = np.zeros((2, 3, 1), np.uint8), np.zeros(2, np.float32)
SHOWN = {"image": IMAGE, "place": VECTOR}
FINE = Step(SHOWN, 0.5, False, False, False)
FIRST = FINE._replace(reward=0.0, is_first=True)
NOT_BEGUN = r"^the episode is over \(or never began\)"  # as `Checked` says it, without a task's name
NAN = np.array([0, np.nan], np.float32)


class Answers(toys.Counter):
  """Begins as it should, and then answers what it is given."""

  def __init__(self, *answers, first=FIRST):
    super().__init__()
    self.answers, self.first = list(answers), first

  @property
  def spec(self):
    return EnvSpec({"image": ArraySpec((2, 3, 1), "uint8"), "place": ArraySpec((2,))}, ActionSpec(2))

  def reset(self, seed=None):
    return self.first

  def step(self, action):
    return self.answers.pop(0)


def shown(**changes) -> Step:
  return FINE._replace(observation={**SHOWN, **changes})


WRONG = {
  "no step": (tuple(FINE), "it returned tuple, not a Step"),
  "no dict": (FINE._replace(observation=[IMAGE, VECTOR]), "the observation is list, not a dict"),
  "key missing": (FINE._replace(observation={"image": IMAGE}), r"has the keys \['image'\], spec \['image', 'place'\]"),
  "key more": (shown(other=VECTOR), r"has the keys \['image', 'other', 'place'\]"),
  "keys of two kinds": (FINE._replace(observation={1: VECTOR, "a": VECTOR}), r"has the keys \['1', 'a'\]"),
  "a scalar": (shown(place=np.float32(1)), "observation 'place' is float32, not a numpy array"),
  "one number": (shown(place=np.zeros(1, np.float32)), r"'place' is float32 \[1\]; its spec says float32 \[2\]"),
  "no axis": (shown(place=np.zeros((), np.float32)), r"'place' is float32 \[\]; its spec says float32 \[2\]"),
  "strings": (shown(place=np.array(["1", "2"])), r"'place' is <U1 \[2\]; its spec says float32 \[2\]"),
  "objects": (shown(place=np.array([None, 2], object)), r"'place' is object \[2\]"),
  "float64": (shown(place=np.zeros(2)), r"'place' is float64 \[2\]; its spec says float32 \[2\]"),
  "a float image": (shown(image=np.zeros((2, 3, 1), np.float32)), r"'image' is float32 .* its spec says uint8"),
  "another image": (shown(image=np.zeros((3, 2, 1), np.uint8)), r"'image' is uint8 \[3, 2, 1\]; its .* \[2, 3, 1\]"),
  "nan": (shown(place=NAN), r"observation 'place' is nan at \[1\], not a finite number"),
  "inf": (shown(place=np.array([-np.inf, 0], np.float32)), r"'place' is -inf at \[0\], not a finite number"),
  "nan and more": (shown(place=NAN)._replace(is_last=1), "is_last is 1, not a bool"),
  "reward None": (FINE._replace(reward=None), "the reward is None, not a finite number"),
  "reward array": (FINE._replace(reward=np.ones(1)), r"the reward is array\(\[1.\]\), not a finite number"),
  "reward string": (FINE._replace(reward="1"), "the reward is '1', not a finite number"),
  "reward complex": (FINE._replace(reward=1j), "the reward is 1j"),
  "reward nan": (FINE._replace(reward=np.nan), "the reward is nan, not a finite number"),
  "reward beyond float32": (FINE._replace(reward=1e39), "the reward is 1e[+]39, not a finite number"),
  "reward huge": (FINE._replace(reward=10**400), "the reward is 10000.*…, not a finite number"),
  "flag None": (FINE._replace(is_terminal=None), "is_terminal is None, not a bool"),
  "flag array": (FINE._replace(is_last=np.array([True])), r"is_last is array\(\[ True\]\), not a bool"),
  "begins again": (FINE._replace(is_first=True), "is_first is True"),
  "terminal alone": (FINE._replace(is_terminal=True), "is_terminal without is_last"),
}
NOT_FINITE = {"nan", "inf", "reward nan", "reward beyond float32", "reward huge"}
RIGHT = [
  FINE,
  shown(place=np.array([-3e38, 1e-40], np.float32)),
  FINE._replace(reward=1),
  FINE._replace(reward=np.float16(1), is_last=np.True_),
  FINE._replace(reward=np.float64(1e38), is_last=True, is_terminal=True),
]


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_answer_is_named_with_its_step_and_its_mending(case: str):
  answer, message = WRONG[case]
  env = Checked(Answers(FINE, answer))
  env.reset()
  env.step(np.zeros(2))
  with pytest.raises(Breach, match=f"^step 2 of its episode: .*{message}.*: [a-z]") as breach:
    env.step(np.zeros(2))
  assert isinstance(breach.value, NotFinite) == (case in NOT_FINITE)
  assert "\n" not in str(breach.value)
  with pytest.raises(RuntimeError, match="call reset"):  # nothing is built on a wrong answer
    env.step(np.zeros(2))


@pytest.mark.parametrize("answer", RIGHT)
def test_a_right_answer_is_passed_on(answer: Step):
  env = Checked(Answers(answer))
  env.reset()
  assert env.step(np.zeros(2)) is answer
  assert not list(violations.of_step(answer, env.spec, "step", first=False))


@pytest.mark.parametrize(
  ("first", "message"),
  [
    (FINE, "the reward is 0.5; nothing was done yet|is_first is False"),
    (FINE._replace(is_first=True), "the reward is 0.5"),
    (FIRST._replace(is_last=True), "an episode has at least one step"),
    (FIRST._replace(observation={**SHOWN, "place": NAN}), "'place' is nan"),
  ],
)
def test_a_wrong_beginning_is_named(first: Step, message: str):
  with pytest.raises(Breach, match=f"^reset: .*({message})"):
    Checked(Answers(first=first)).reset()


@pytest.mark.parametrize("marks", [[0.3, 0.4, 1.0, 0.2], [-0.1, 0.4, 0.5, 0.2]])
def test_a_marked_pixel_outside_the_image_is_named(marks: list[float]):
  class Marks(Answers):
    @property
    def spec(self):
      return EnvSpec({**super().spec.observation, "goal/pixels": ArraySpec((4,))}, ActionSpec(2))

  within = {**SHOWN, "goal/pixels": np.array([0, 0.4, 0.99, 0.2], np.float32)}
  Checked(Marks(first=FIRST._replace(observation=within))).reset()
  beyond = {**SHOWN, "goal/pixels": np.array(marks, np.float32)}
  with pytest.raises(
    Breach, match=r"^reset: observation 'goal/pixels' is .*, outside the image: give rows and columns as sh"
  ):
    Checked(Marks(first=FIRST._replace(observation=beyond))).reset()


def test_marks_of_another_shape_are_refused_with_the_spec():
  spec = EnvSpec({"image": ArraySpec((2, 3, 1), "uint8"), "goal/pixels": ArraySpec((2,))}, ActionSpec(2))
  (violation,) = violations.of_spec(spec)
  assert re.search(r"'goal/pixels'\] is float32 \[2\], not float32 \[4\]: give row and column", str(violation))


def test_stepping_past_the_end_is_refused():
  env = Checked(Answers(FINE._replace(is_last=True), FINE))
  env.reset()
  env.step(np.zeros(2))
  with pytest.raises(RuntimeError, match="call reset"):
    env.step(np.zeros(2))


class Strange(toys.Counter):
  """Shows what it must not at the third step of its second episode, but where seed 0 made it on trial."""

  def __init__(self, seed: int, odd):
    super().__init__(seed, length=6)
    self.odd, self.episodes, self.is_on_trial = odd, 0, seed == 0

  def reset(self, seed=None):
    self.episodes += 1
    return super().reset(seed)

  def _step(self, reward: float) -> Step:
    step = super()._step(reward)
    return self.odd(step) if (self.clock, self.episodes, self.is_on_trial) == (3, 2, False) else step


def short(seed: int) -> toys.Counter:
  """An array is too short in the second episode."""
  return Strange(seed, lambda step: step._replace(observation={"clock": step.observation["clock"][:1]}))


def unlimited(seed: int) -> toys.Counter:
  """A number is infinite in the second episode."""
  return Strange(seed, lambda step: step._replace(observation={"clock": np.full(2, np.inf, np.float32)}))


WAYS = pytest.mark.parametrize("workers", [None, WorkerConfig(1)], ids=["here", "worker"])


@WAYS
def test_a_wrong_answer_ends_its_episode_wherever_it_is_stepped(workers, caplog):
  config = EnvConfig(f"{__name__}:short")
  with closing(make_batch(config, 2, 7, workers)) as envs:
    rows = [envs.reset()]
    clock = [rows[0].observation["clock"][1, 0].copy()]
    for _ in range(11):
      rows.append(envs.step(np.zeros((2, 2))))
      clock.append(rows[-1].observation["clock"][1, 0].copy())
  # Six steps, then two of the second episode, whose last is shown once more; the third goes on after it.
  assert clock == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 2, 0]
  assert rows[10].is_last.all() and not rows[10].is_terminal.any() and not rows[10].reward.any()
  assert envs.faults >= 1
  says = r"environment \d, step 3 of its episode: observation 'clock' is float32 \[1\]; its spec says float32 \[2\]"
  assert re.search(says, caplog.text) and "Traceback" not in caplog.text


@WAYS
def test_a_number_that_is_not_finite_ends_the_run_or_its_episode_alone(workers, caplog):
  config = EnvConfig(f"{__name__}:unlimited")
  with closing(make_batch(config, 2, 7, workers)) as envs:
    envs.reset()
    says = r"^environment 0, step 3 of its episode: observation 'clock' is inf at \[0\].*--nonfinite skip$"
    with pytest.raises(EnvironmentFault, match=says):
      for _ in range(11):
        envs.step(np.zeros((2, 2)))
  with closing(make_batch(config, 2, 7, workers, skip_nonfinite=True)) as envs:
    processes = psutil.Process().children(recursive=True)
    rows = [envs.reset()] + [envs.step(np.zeros((2, 2))).observation["clock"][:, 0].copy() for _ in range(24)]
    assert envs.faults == 2
    assert psutil.Process().children(recursive=True) == processes  # none was started again
  assert np.isfinite(np.stack(rows[1:])).all()
  assert rows[7:13] == pytest.approx(np.repeat([[0], [1], [2], [2], [0], [1]], 2, 1))
  assert "the episode ends before it" in caplog.text


def test_the_tasks_of_all_suites_are_checked():
  for config in (EnvConfig("tests.envs.toys:corridor"), EnvConfig("gym/CartPole-v1"), EnvConfig(f"{__name__}:short")):
    with closing(make(config, 0)) as env, pytest.raises(RuntimeError, match=NOT_BEGUN):
      env.step(np.zeros(env.spec.action.size))
  with pytest.raises(RuntimeError, match=NOT_BEGUN):
    make(EnvConfig("dmc/cartpole_balance", rendering="fast"), 0).step(np.zeros(1))
