"""What one host tells the others, and what all of them make of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dreamerax.runtime.collect.collector import Episode
from dreamerax.runtime.devices.hosts import Hosts
from dreamerax.runtime.errors import Interrupted
from dreamerax.runtime.host_sync import Agreement, Turn
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.seeds import own_seed
from dreamerax.runtime.settings import LoopConfig
from tests.runtime.toys import make_replay


class WithAnother(Hosts):
  """Two hosts, the other of which always tells the same."""

  other = Turn(agent_steps=8, stored=50, ready=1)

  def __init__(self):
    super().__init__()
    self.count = 2

  def sum(self, values):
    return np.asarray(values, np.float64) + np.asarray(self.other, np.float64)


def test_a_single_host_agrees_with_itself():
  stop = StopSignals()
  agreement = Agreement(Hosts(), stop, make_replay())
  assert agreement.all_reduce(Turn(agent_steps=3, stored=70, ready=True)) == Turn(3, stored=70, ready=True)
  stop.requested = True  # counts at once
  with pytest.raises(Interrupted):
    agreement.check_stop()


def test_steps_of_all_hosts_are_added_and_each_must_have_a_sequence():
  agreement, config = Agreement(WithAnother(), StopSignals(), make_replay()), LoopConfig(prefill_steps=60)
  assert not agreement.turn.is_filled(config, 2)
  turn = agreement.all_reduce(Turn(agent_steps=4, stored=9))
  assert (turn.agent_steps, turn.stored) == (12, 59) and not turn.is_filled(config, 2)
  assert not agreement.all_reduce(Turn(stored=10)).is_filled(config, 2)
  assert agreement.all_reduce(Turn(stored=10, ready=1)).is_filled(config, 2)


def test_nobody_leaves_before_all_know():
  stop = StopSignals()
  agreement = Agreement(WithAnother(), stop, make_replay())
  stop.requested = True
  agreement.check_stop()  # the others would wait for this one
  agreement.all_reduce(Turn())
  with pytest.raises(Interrupted):
    agreement.check_stop()


class First(Hosts):
  """Of two; records what it tells."""

  def __init__(self):
    super().__init__()
    self.count, self.told = 2, []

  def sum(self, values):
    self.told.append(list(values))
    return np.asarray(values)


def test_what_the_first_host_finds_or_refuses_the_others_learn():
  first = First()
  assert first.ask_first(lambda: 1200) == 1200
  with pytest.raises(KeyError):
    first.ask_first(lambda: {}["missing"])
  assert first.told == [[1200, 0], [0, 1]]
  second = First()
  second.index = 1
  second.sum = lambda values: np.array([1200, 0])
  assert second.ask_first(lambda: pytest.fail("only host 0 is asked")) == 1200
  second.sum = lambda values: np.array([0, 1])
  with pytest.raises(ValueError, match="host 0 of 2 cannot begin or continue this run"):
    second.ask_first(lambda: 0)


def test_own_numbers_of_environments_are_means_over_the_episodes_of_all_hosts():
  logs = [[{"a": 1.0, "b": 5.0}, {"a": 2.0}], [{"ä": -1.0, "a": 6.0}]]
  episodes = [[Episode(0, 0.0, 1, log) for log in each] for each in logs]
  meeting, tables = threading.Barrier(2), [[], []]

  class Meeting(Hosts):
    """Two in one process, each in a thread."""

    def sum(self, values):
      tables[self.index] = np.asarray(values, np.float64)
      meeting.wait()
      total = tables[0] + tables[1]
      meeting.wait()
      return total

  def play(index: int) -> list[dict[str, float]]:
    hosts = Meeting()
    hosts.count, hosts.index = 2, index
    agreement, told = Agreement(hosts, StopSignals(), make_replay()), []
    for mine in (episodes[index], [], episodes[index][:1]):
      agreement.all_reduce(Turn.of(make_replay(), 1, mine))
      told.append(agreement.mean_logs(mine))
    return told

  with ThreadPoolExecutor(2) as threads:
    first, second = threads.map(play, range(2))
  assert first == second == [{"a": 3.0, "b": 5.0, "ä": -1.0}, {}, {"a": 3.5, "b": 5.0, "ä": -1.0}]


def test_each_host_has_a_seed_of_its_own():
  seeds = [own_seed(seed, host) for seed in range(3) for host in range(8)]
  assert len(set(seeds)) == len(seeds) and own_seed(5, 0) == 5
