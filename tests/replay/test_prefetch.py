"""Batches reach the device in the background, in an order that depends on the program alone."""

import threading

import numpy as np
import pytest

from dreamerax.replay import Prefetch
from tests.replay.numbered import fill, make


def test_batches_are_those_sampled_at_the_request():
  expected = make(seed=5)
  replay = make(seed=5)
  with Prefetch(replay.sample, lambda batch: batch.steps.reward * 2) as prefetch:
    for count in range(6):
      for each in (replay, expected):
        fill(each, [4], start=[8 * count])
      prefetch.request()
      batch, slots = expected.sample()
      fill(replay, [4], start=[8 * count + 4])  # after the request, so without effect on its batch
      fill(expected, [4], start=[8 * count + 4])
      reward, where = prefetch.next()
      np.testing.assert_array_equal(reward, batch.steps.reward * 2)
      np.testing.assert_array_equal(np.stack(where), np.stack(slots))


def test_transfer_runs_beside_the_caller_and_sampling_in_it():
  replay = make()
  fill(replay, [12])
  threads = {}
  release = threading.Event()

  def sample():
    threads["sample"] = threading.current_thread()
    return replay.sample()

  def transfer(batch):
    threads["transfer"] = threading.current_thread()
    assert release.wait(10)
    return batch

  with Prefetch(sample, transfer) as prefetch:
    prefetch.request()  # returns although the transfer cannot end
    release.set()
    prefetch.next()
  assert threads["sample"] is threading.current_thread()
  assert threads["transfer"] is not threading.current_thread()
  assert not threads["transfer"].is_alive()


def test_requests_are_answered_in_order():
  replay = make()
  fill(replay, [12])
  names = iter("abc")
  with Prefetch(replay.sample, lambda batch: next(names), depth=3) as prefetch:
    for _ in range(3):
      prefetch.request()
    assert prefetch.pending == 3
    assert [prefetch.next()[0] for _ in range(3)] == ["a", "b", "c"]


def test_an_error_of_the_transfer_is_raised_where_the_batch_is_taken():
  replay = make()
  fill(replay, [12])
  failing = iter([True, False])

  def transfer(batch):
    if next(failing):
      raise OSError("device lost")
    return "moved"

  with Prefetch(replay.sample, transfer) as prefetch:
    prefetch.request()
    prefetch.request()
    with pytest.raises(OSError, match="device lost"):
      prefetch.next()
    assert prefetch.next()[0] == "moved"


def test_what_would_wait_for_ever_is_refused():
  replay = make()
  fill(replay, [12])
  prefetch = Prefetch(replay.sample, lambda batch: batch, depth=1)
  with pytest.raises(RuntimeError, match=r"request\(\) first"):
    prefetch.next()
  prefetch.request()
  with pytest.raises(RuntimeError, match="1 batches wait already"):
    prefetch.request()
  prefetch.close()
  with pytest.raises(RuntimeError):
    prefetch.request()
  with pytest.raises(ValueError, match="depth=0"):
    Prefetch(replay.sample, lambda batch: batch, depth=0)
