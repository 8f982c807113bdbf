import numpy as np
import pytest

from dreamerax.envs import EnvConfig, make_batch
from dreamerax.envs.journal import derive_seeds, episode_seed
from dreamerax.envs.vector import SerialEnvs
from tests.envs.toys import Counter


def batch(*lengths: int, terminal: bool = False) -> SerialEnvs:
  return SerialEnvs([Counter(length=length, terminal=terminal) for length in lengths], range(len(lengths)))


def test_reset_begins_everywhere():
  row = batch(2, 3).reset()
  assert row.is_first.all() and not row.is_last.any() and not row.reward.any() and not row.action.any()
  np.testing.assert_array_equal(row.observation["clock"][:, 0], [0, 0])
  assert row.action.dtype == row.reward.dtype == np.float32 and row.is_first.dtype == bool


def test_each_stream_begins_its_next_episode_by_itself():
  envs = batch(2, 3)
  actions = np.array([[0.5, 0.1], [0.25, 0.2]], np.float32)
  rows = [envs.reset(), *(envs.step(actions) for _ in range(7))]
  clock = np.stack([row.observation["clock"][:, 0] for row in rows], 1)
  np.testing.assert_array_equal(clock, [[0, 1, 2, 0, 1, 2, 0, 1], [0, 1, 2, 3, 0, 1, 2, 3]])
  first = np.stack([row.is_first for row in rows], 1)
  np.testing.assert_array_equal(first, clock == 0)
  np.testing.assert_array_equal(np.stack([row.is_last for row in rows], 1), clock == [[2], [3]])
  # What led to a first row is nothing: neither the action that was sent nor a reward.
  sent = np.stack([row.action for row in rows], 1)
  np.testing.assert_array_equal(sent, np.where(first[..., None], 0, actions[:, None]))
  np.testing.assert_array_equal(np.stack([row.reward for row in rows], 1), np.where(first, 0, actions[:, :1]))


@pytest.mark.parametrize("terminal", [False, True])
def test_terminal_and_last_are_told_apart(terminal):
  envs = batch(1, terminal=terminal)
  envs.reset()
  row = envs.step(np.zeros((1, 2)))
  assert row.is_last[0] and row.is_terminal[0] == terminal


def test_the_action_of_a_stream_that_is_reset_is_ignored():
  envs = batch(1)
  envs.reset()
  envs.step(np.zeros((1, 2)))
  assert envs.step(np.full((1, 2), np.nan)).is_first[0]


def test_the_caller_owns_what_it_receives_and_what_it_sends():
  envs = batch(9)
  first = envs.reset()
  actions = np.zeros((1, 2), np.float32)
  envs.send(actions)
  actions[:] = 1
  second = envs.receive()
  assert second.action[0, 0] == 0
  assert first.observation["clock"][0, 0] == 0 and second.observation["clock"][0, 0] == 1


def test_reset_drops_a_step_that_nobody_received():
  envs = batch(9)
  envs.reset()
  envs.send(np.ones((1, 2)))
  assert envs.reset().is_first.all()
  assert envs.step(np.zeros((1, 2))).reward[0] == 0


def test_send_and_receive_alternate():
  envs = batch(9)
  with pytest.raises(RuntimeError, match="without send"):
    envs.receive()
  envs.reset()
  envs.send(np.zeros((1, 2)))
  with pytest.raises(RuntimeError, match="without receive"):
    envs.send(np.zeros((1, 2)))


def test_wrong_shapes_counts_and_specs_are_refused():
  with pytest.raises(ValueError, match=r"\(3, 2\)"):
    batch(1, 1).send(np.zeros((3, 2)))
  with pytest.raises(ValueError, match="num_envs"):
    SerialEnvs([], [])
  with pytest.raises(ValueError, match="1 environments and 2 seeds"):
    SerialEnvs([Counter()], [0, 1])


def test_seeds_differ_between_streams_and_do_not_depend_on_how_many_there_are():
  assert len(set(derive_seeds(0, 100))) == 100
  assert derive_seeds(0, 3) == derive_seeds(0, 8)[:3] != derive_seeds(1, 3)


def test_every_episode_of_a_stream_has_a_seed_of_its_own():
  envs = make_batch(EnvConfig("tests.envs.toys:counter"), 2, seed=5)
  for number in range(3):  # a reset cuts an episode short, and the next begins
    expected = [np.random.SeedSequence([seed, number]).generate_state(1)[0] for seed in derive_seeds(5, 2)]
    assert expected == [episode_seed(seed, number) for seed in derive_seeds(5, 2)]
    np.testing.assert_array_equal(envs.reset().observation["clock"][:, 1], np.float32(expected))
