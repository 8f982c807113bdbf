"""The train ratio is met exactly over a run, however the steps come in."""

from fractions import Fraction
from math import floor
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamerax.runtime.schedule import BurstConfig, IterationsConfig, TrainRatio, TrainRatioConfig


class Counters(NamedTuple):
  env_steps: int = 0
  agent_steps: int = 0
  updates: int = 0


def test_one_update_at_the_first_call_and_the_prefill_is_not_owed():
  schedule = TrainRatio(32, 1024)
  assert schedule.due(Counters(agent_steps=5000)) == 1
  assert schedule.due(Counters(agent_steps=5000)) == 0
  assert schedule.due(Counters(agent_steps=5031)) == 0
  assert schedule.due(Counters(agent_steps=5032)) == 1


def test_several_updates_are_due_where_many_steps_came_at_once():
  schedule = TrainRatio(512, 1024)
  schedule.due(Counters(agent_steps=0))
  assert [schedule.due(Counters(agent_steps=16 * n)) for n in range(1, 4)] == [8, 8, 8]


@settings(max_examples=50, deadline=None)
@given(
  ratio=st.sampled_from([0.1, 0.3, 1.7, 32, 512, 1e-3]),
  per_update=st.sampled_from([1, 7, 256, 1024]),
  prefill=st.integers(0, 5000),
  moves=st.lists(st.integers(0, 5000), min_size=1, max_size=50),
)
def test_the_ratio_is_met_exactly_after_every_call(ratio, per_update, prefill, moves):
  schedule = TrainRatio(ratio, per_update)
  made = schedule.due(Counters(agent_steps=prefill))
  collected = 0
  for move in moves:
    collected += move
    made += schedule.due(Counters(agent_steps=prefill + collected))
    assert made == 1 + floor(Fraction(str(ratio)) * collected / per_update)


def test_a_tenth_is_a_tenth_over_a_long_run():
  schedule = TrainRatio(0.1, 1)
  made = sum(schedule.due(Counters(agent_steps=n)) for n in range(0, 100_001))
  assert made == 10_001


def test_only_agent_steps_count():
  schedule = TrainRatio(1, 1)
  schedule.due(Counters(env_steps=0, agent_steps=0))
  assert schedule.due(Counters(env_steps=40, agent_steps=10, updates=3)) == 10


@pytest.mark.parametrize("stop", [0, 1, 3, 10])
def test_a_restored_schedule_continues_as_if_never_stopped(stop):
  steps = [Counters(agent_steps=700 + 16 * n) for n in range(20)]
  whole = TrainRatio(3.3, 100)
  expected = [whole.due(each) for each in steps]
  before = TrainRatio(3.3, 100)
  made = [before.due(each) for each in steps[:stop]]
  after = TrainRatio(3.3, 100)
  after.restore(before.state())
  assert made + [after.due(each) for each in steps[stop:]] == expected


def test_a_ratio_changed_at_a_restart_counts_from_there_on():
  before = TrainRatio(1, 10)
  before.due(Counters(agent_steps=0))
  before.due(Counters(agent_steps=1005))
  after = TrainRatio(10, 10)
  after.restore(before.state())
  assert after.due(Counters(agent_steps=1015)) == 10  # and half an update from before is still owed
  assert after.state()["owed_numerator"] * 2 == after.state()["owed_denominator"]


def test_a_refill_after_a_restart_is_not_owed():
  before = TrainRatio(1, 10)
  before.due(Counters(agent_steps=100))
  before.due(Counters(agent_steps=105))
  after = TrainRatio(1, 10)
  after.restore(before.state())
  after.waive(Counters(agent_steps=1105))
  assert after.due(Counters(agent_steps=1109)) == 0
  assert after.due(Counters(agent_steps=1110)) == 1  # five steps before the restart, five after the refill


def test_waiving_before_the_first_call_keeps_the_first_update():
  schedule = TrainRatio(1, 10)
  schedule.waive(Counters(agent_steps=1000))
  assert schedule.due(Counters(agent_steps=1000)) == 1


def test_the_config_builds_the_schedule_and_refuses_at_once():
  schedule = TrainRatioConfig(ratio=2.0).build(2, 4)
  schedule.due(Counters())
  assert schedule.due(Counters(agent_steps=40)) == 10
  with pytest.raises(ValueError, match="train_ratio=-1"):
    TrainRatioConfig(ratio=-1)


@pytest.mark.parametrize("ratio", [-1, float("nan"), float("inf")])
def test_a_ratio_without_meaning_is_refused(ratio):
  with pytest.raises(ValueError, match="train_ratio="):
    TrainRatio(ratio, 1024)


def test_an_empty_batch_is_refused():
  with pytest.raises(ValueError, match="steps_per_update=0"):
    TrainRatio(32, 0)


def test_bursts_fall_due_every_so_many_steps_after_the_first_call():
  schedule = BurstConfig(updates=100, every=1000, first=7).build(5, 10)
  due = [schedule.due(Counters(env_steps=n)) for n in (5000, 5999, 6000, 6001, 6999, 7000, 9500, 9999, 10_000)]
  assert due == [7, 0, 100, 0, 0, 100, 200, 0, 100]


def test_bursts_count_the_steps_of_their_unit():
  schedule = BurstConfig(updates=1, every=5, first=0, unit="agent_steps").build(5, 10)
  assert [schedule.due(Counters(env_steps=n, agent_steps=n // 2)) for n in range(0, 41, 2)].count(1) == 4


def test_bursts_go_on_where_they_were_and_owe_nothing_for_a_refill():
  config = BurstConfig(updates=2, every=10, first=1)
  schedule, again = config.build(5, 10), config.build(5, 10)
  schedule.due(Counters(env_steps=3))
  again.restore(schedule.state())
  assert again.due(Counters(env_steps=13)) == schedule.due(Counters(env_steps=13)) == 2
  again.waive(Counters(env_steps=500))
  assert again.due(Counters(env_steps=509)) == 0
  assert again.due(Counters(env_steps=510)) == 2


@pytest.mark.parametrize("field", ["updates", "every", "first"])
def test_bursts_without_meaning_are_refused(field):
  with pytest.raises(ValueError, match=f"schedule.{field}=-1"):
    BurstConfig(**{field: -1})


def test_iterations_fall_due_where_their_last_episode_ends():
  schedule = IterationsConfig(updates=3).build(4, 11)  # 4 episodes of 10 steps
  assert schedule.on_policy
  # 2 environments in lockstep, whose resets are no steps; the prefill ends at 14.
  due = [schedule.due(Counters(agent_steps=n)) for n in (14, 38, 40, 40, 42, 78, 80, 80, 160)]
  assert due == [0, 0, 3, 0, 0, 0, 3, 0, 6]
  again = IterationsConfig(updates=3).build(4, 11)
  again.restore(schedule.state())
  assert again.due(Counters(agent_steps=200)) == schedule.due(Counters(agent_steps=200)) == 3
  schedule.waive(Counters(agent_steps=250))
  assert schedule.due(Counters(agent_steps=270)) == 0
  with pytest.raises(ValueError, match=r"schedule.updates=0 must be at least 1"):
    IterationsConfig(updates=0)


def test_a_warmup_is_made_while_the_first_iteration_is_collected():
  schedule = IterationsConfig(updates=3, warmup=10).build(4, 11)
  due = [schedule.due(Counters(agent_steps=n)) for n in (14, 20, 27, 38, 40, 42, 80)]
  assert due == [0, 2, 3, 4, 1 + 3, 0, 3]  # of 26 steps to the end of the first iteration
  again = IterationsConfig(updates=3, warmup=10).build(4, 11)
  assert [again.due(Counters(agent_steps=n)) for n in (14, 20)] == [0, 2]
  once_more = IterationsConfig(updates=3, warmup=10).build(4, 11)
  once_more.restore(again.state())
  assert [once_more.due(Counters(agent_steps=n)) for n in (27, 40)] == [3, 5 + 3]
  with pytest.raises(ValueError, match=r"schedule.warmup=-1 must be at least 0"):
    IterationsConfig(warmup=-1)
