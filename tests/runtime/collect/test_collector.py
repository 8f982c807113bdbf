"""What reaches replay, and what counts as a step and an episode."""

import jax
import numpy as np

from dreamerax.envs.vector import SerialEnvs
from dreamerax.runtime.collect.collector import Collector, EpisodeTracker
from dreamerax.runtime.collect.policy import AgentPolicy, UniformPolicy
from dreamerax.types import ActionSpec, EnvSpec, Transition
from tests.runtime.toys import SPEC, Follow, Regression, make_envs, make_replay

PARAMS = {"k": np.float32(1.0)}


def test_rows_reach_replay_with_the_latents_of_their_own_observation():
  replay = make_replay(streams=1)
  collector = Collector(AgentPolicy(Regression(), explore=False, key=jax.random.key(0)), make_envs(1, 0), replay)
  for _ in range(60):
    collector.send(PARAMS)
    collector.receive()
  assert replay.steps == 60
  for _ in range(10):
    batch, _ = replay.sample()
    clock = batch.steps.observation["image"][:, 0, 0, 0, 0]
    x, action = batch.steps.observation["x"], batch.steps.action
    begun = batch.steps.is_first[:, 1:, None]
    np.testing.assert_allclose(action[:, 1:], np.where(begun, 0, x[:, :-1]))  # led to the observation beside it
    np.testing.assert_array_equal(clock == 0, batch.steps.is_first[:, 0])
    follows = ~batch.steps.is_first[:, 0]
    np.testing.assert_allclose(batch.context["memory"][follows], action[follows, 0])  # of the row before


def test_resets_are_no_steps_and_episodes_add_up():
  collector = Collector(
    AgentPolicy(Regression(), explore=False, key=jax.random.key(0)), make_envs(3, 0), make_replay(streams=3)
  )
  steps, episodes = 0, []
  for _ in range(32):
    collector.send(PARAMS)
    count, ended = collector.receive()
    steps += count
    episodes += ended
  assert steps == 3 * 30  # two of the 32 rows are resets
  assert [episode.stream for episode in episodes] == [0, 1, 2] * 3
  assert {episode.length for episode in episodes} == {10}
  assert all(abs(episode.score - 10) < 1e-4 for episode in episodes)


def test_streams_end_on_their_own():
  tracker = EpisodeTracker(2)

  def row(reward, first, last):
    flags = np.array(last)
    return Transition({}, None, np.array(reward, np.float32), np.array(first), flags, flags)

  assert tracker.add(row([0, 0], [True, True], [False, False])) == []
  assert tracker.add(row([1, 2], [False, False], [True, False])) == [(0, 1.0, 1, {})]
  assert tracker.add(row([0, 3], [True, False], [False, True])) == [(1, 5.0, 2, {})]
  assert tracker.add(row([4, 0], [False, True], [True, False])) == [(0, 4.0, 1, {})]


def test_noise_differs_from_call_to_call_and_repeats_with_the_index():
  policy = AgentPolicy(Regression(), explore=True, key=jax.random.key(0))
  row, carry = make_envs(2, 0).reset(), policy.initial_carry(2)
  first, again, next_one = (policy(PARAMS, carry, row, index)[0].tolist() for index in (0, 0, 1))
  assert first == again != next_one


def test_chance_fills_the_replay_until_the_policy_follows():
  replay = make_replay(streams=2)
  collector = Collector(UniformPolicy(Regression(), SPEC, seed=0), make_envs(2, 0), replay)
  for step in range(100):
    if step == 50:
      collector.follow(AgentPolicy(Regression(), explore=False, key=jax.random.key(0)))
    collector.send(PARAMS)
    collector.receive()
  random, chosen = [], []
  for _ in range(40):
    batch, slots = replay.sample()
    begun, x = batch.steps.is_first[:, 1:], batch.steps.observation["x"][:, :-1]
    for row, start in enumerate(slots.positions):
      for t in np.flatnonzero(~begun[row]):
        (random if start + t < 50 else chosen).append((batch.steps.action[row, t + 1, 0], x[row, t, 0]))
  actions = np.array(random)[:, 0]
  assert actions.min() < -0.9 and actions.max() > 0.9 and abs(actions.mean()) < 0.15
  np.testing.assert_allclose(*np.array(chosen).T, atol=1e-6)


def test_chance_takes_every_discrete_action_and_another_each_time():
  spec = EnvSpec(SPEC.observation, ActionSpec(3, discrete=True))
  policy, row = UniformPolicy(Regression(), spec, seed=0), make_envs(4, 0).reset()
  actions = np.concatenate([policy(PARAMS, {}, row, index)[0] for index in range(100)])
  np.testing.assert_array_equal(np.sort(actions, -1), np.tile([0, 0, 1], (400, 1)))
  assert actions.sum(0).min() > 80


class Split(SerialEnvs):
  """Environments in two parts, which note what is asked of them."""

  def split(self):
    self.log: list[str] = []
    halves = [Noting(self._envs[:2], [0, 1], "a", self.log), Noting(self._envs[2:], [2], "b", self.log)]
    return halves


class Noting(SerialEnvs):
  def __init__(self, envs, seeds, name, log):
    super().__init__(envs, seeds)
    self.name, self.log = name, log

  def send(self, actions):
    self.log.append(f"send {self.name}")
    super().send(actions)

  def receive(self):
    if self.log:
      self.log.append(f"receive {self.name}")
    return super().receive()


def test_parts_take_turns_and_one_is_always_in_flight():
  envs, replay = Split([Follow() for _ in range(3)], range(3)), make_replay(streams=3)
  collector = Collector(AgentPolicy(Regression(), explore=False, key=jax.random.key(0)), envs, replay)
  steps, episodes = 0, []
  for _ in range(45):
    collector.send(PARAMS)
    count, ended = collector.receive()
    steps += count
    episodes += ended
  assert envs.log[:7] == ["send a", "send b", "receive a", "send a", "receive b", "send b", "receive a"]
  assert [episode.stream for episode in episodes] == [0, 1, 2, 0, 1, 2]
  assert {episode.length for episode in episodes} == {10}
  assert steps == 22 * 2 - 2 * 2 + 22 - 2  # what both parts received, but the rows that begin an episode
  assert replay.steps == 23 * 2 + 22
  twin = make_replay(streams=3)  # the same environments in one part show the same
  whole = Collector(
    AgentPolicy(Regression(), explore=False, key=jax.random.key(0)),
    SerialEnvs([Follow() for _ in range(3)], range(3)),
    twin,
  )
  for _ in range(22):
    whole.send(PARAMS)
    whole.receive()
  for stream in range(3):
    for name, column in twin.rows(stream).items():
      np.testing.assert_array_equal(replay.rows(stream)[name][:22], column, err_msg=f"{name} of {stream}")
