"""An evaluation plays exactly the episodes asked for, and does not favour short ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.envs import Environment
from dreamerax.envs.faults import NoPicture
from dreamerax.envs.vector import SerialEnvs
from dreamerax.runtime.collect.evaluate import evaluate
from dreamerax.runtime.collect.policy import AgentPolicy
from dreamerax.runtime.errors import Interrupted
from dreamerax.types import EnvSpec
from tests.runtime.toys import SPEC, Follow, Regression, make_envs

PARAMS = {"k": jnp.ones(())}


@pytest.fixture(scope="module")
def policy() -> AgentPolicy:
  return AgentPolicy(Regression(), explore=False, key=jax.random.key(0))


def test_every_environment_has_its_share_however_long_its_episodes_are(policy: AgentPolicy):
  closed = []

  class Uneven(SerialEnvs):
    def close(self):
      closed.append(self.num_envs)

  def envs(count: int, seed: int):
    return Uneven([Follow(length=3 if i == 0 else 20) for i in range(count)], range(seed, seed + count))

  result = evaluate(policy, PARAMS, envs, episodes=7, num_envs=4, seed=0)
  assert result.lengths.tolist() == [3, 3, 20, 20, 20, 20, 20]
  np.testing.assert_allclose(result.returns, result.lengths, rtol=1e-5)  # the mode: no noise costs anything
  assert closed == [4]


@pytest.mark.parametrize(("episodes", "num_envs", "made"), [(10, 16, 10), (10, 4, 4), (4, 4, 4), (5, 4, 3), (1, 4, 1)])
def test_no_more_environments_than_are_kept_busy(policy: AgentPolicy, episodes: int, num_envs: int, made: int):
  counts = []

  def envs(count: int, seed: int):
    counts.append(count)
    return make_envs(count, seed)

  result = evaluate(policy, PARAMS, envs, episodes=episodes, num_envs=num_envs, seed=0)
  assert counts == [made] and len(result.returns) == episodes


def test_the_seed_decides_the_returns(policy: AgentPolicy):
  params = {"k": jnp.zeros(())}
  first, same, other = (evaluate(policy, params, make_envs, episodes=3, num_envs=3, seed=seed) for seed in (5, 5, 6))
  assert first.returns.tolist() == same.returns.tolist() != other.returns.tolist()


def test_the_video_is_the_first_episode(policy: AgentPolicy):
  video = evaluate(policy, PARAMS, make_envs, episodes=3, num_envs=1, seed=0, video=True).video
  assert video is not None and video.shape == (11, 4, 4, 3)
  assert video[:, 0, 0, 0].tolist() == list(range(11))
  assert evaluate(policy, PARAMS, make_envs, episodes=1, num_envs=1, seed=0).video is None


class Blind(Follow):
  """Shows no image, draws itself, and counts how often."""

  drawn = 0

  @property
  def spec(self):
    return EnvSpec({"x": SPEC.observation["x"]}, SPEC.action)

  def render(self):
    Blind.drawn += 1
    return np.full((6, 8, 3), self.clock, np.uint8)

  def _show(self, reward):
    step = super()._show(reward)
    return step._replace(observation={"x": step.observation["x"]})


def blind_envs(count: int, seed: int, *, film: bool = False):
  return SerialEnvs([Blind(length=5) for _ in range(count)], range(seed, seed + count))


def test_an_environment_without_images_is_filmed_as_it_draws_itself(policy: AgentPolicy):
  Blind.drawn = 0
  result = evaluate(policy, PARAMS, blind_envs, episodes=4, num_envs=2, seed=0, video=True)
  assert result.video is not None and result.rewards is not None
  assert result.video.shape == (6, 6, 8, 3) and result.video[:, 0, 0, 0].tolist() == list(range(6))
  assert Blind.drawn == 6  # of one episode of one environment
  assert result.rewards.sum() == pytest.approx(result.returns[0], rel=1e-5)
  Blind.drawn = 0
  evaluate(policy, PARAMS, blind_envs, episodes=4, num_envs=2, seed=0)
  assert Blind.drawn == 0


def test_what_cannot_be_filmed_is_told_before_anything_is_played(policy: AgentPolicy):
  steps = []

  class Undrawn(Blind):
    render = Environment.render

    def step(self, action):
      steps.append(action)
      return super().step(action)

  def envs(count: int, seed: int, *, film: bool = False):
    return SerialEnvs([Undrawn()], [seed])

  with pytest.raises(NoPicture, match=r"no render\(\)"):
    evaluate(policy, PARAMS, envs, episodes=1, num_envs=1, seed=0, video=True)
  assert not steps


def test_a_film_that_cannot_go_on_ends(policy: AgentPolicy, caplog: pytest.LogCaptureFixture):
  class Growing(Blind):
    def render(self):
      return np.zeros((6, 8 + self.clock // 3, 3), np.uint8)

  def envs(count: int, seed: int, *, film: bool = False):
    return SerialEnvs([Growing(length=5)], [seed])

  result = evaluate(policy, PARAMS, envs, episodes=1, num_envs=1, seed=0, video=True)
  assert result.video is not None and len(result.video) == 3 and result.lengths.tolist() == [5]
  assert "ends after 3 frames" in caplog.text


def test_it_can_be_left(policy: AgentPolicy):
  def check():
    raise Interrupted

  with pytest.raises(Interrupted):
    evaluate(policy, PARAMS, make_envs, episodes=1, num_envs=1, seed=0, check=check)


def test_episodes_must_be_positive(policy: AgentPolicy):
  with pytest.raises(ValueError, match="episodes=0"):
    evaluate(policy, PARAMS, make_envs, episodes=0, num_envs=1, seed=0)


@pytest.mark.parametrize("lengths", [(1000, 1000), (1000, 3), (14, 3), (12, 1000)])
def test_episodes_are_cut_where_they_have_as_many_steps_as_they_may(policy: AgentPolicy, lengths: tuple[int, int]):
  def envs(count: int, seed: int):
    return SerialEnvs([Follow(length=lengths[i]) for i in range(count)], range(seed, seed + count))

  result = evaluate(policy, PARAMS, envs, episodes=6, num_envs=2, seed=0, max_steps=12)
  assert result.lengths.tolist() == np.repeat(np.minimum(lengths, 12), 3).tolist()
  np.testing.assert_allclose(result.returns, result.lengths, rtol=1e-5)
  assert result.cut == 3 * sum(length > 12 for length in lengths)
  assert result.scalars().get("eval/cut_episodes", 0) == result.cut


def test_an_evaluation_that_takes_long_says_how_far_it_is(policy: AgentPolicy, monkeypatch: pytest.MonkeyPatch):
  clock, said = iter(range(0, 100_000, 10)), []
  monkeypatch.setattr("dreamerax.runtime.collect.evaluate.time.monotonic", lambda: next(clock))

  def envs(count: int, seed: int):
    return SerialEnvs([Follow(length=10**6) for _ in range(count)], range(seed, seed + count))

  evaluate(policy, PARAMS, envs, episodes=2, num_envs=2, seed=0, max_steps=20, say=said.append)
  assert len(said) == 3
  assert said[0].startswith("evaluation: 0 of 2 episodes have ended after 5 steps") and "TimeLimit" in said[0]


def test_an_environments_own_numbers_are_means_over_episodes(policy: AgentPolicy):
  result = evaluate(policy, PARAMS, make_envs, episodes=5, num_envs=2, seed=0)
  assert set(result.logs) == {"x", "success"} and 0 < result.logs["success"] <= 1
  assert result.scalars()["eval/log/x"] == result.logs["x"] and -0.9 < result.logs["x"] < 0.9
