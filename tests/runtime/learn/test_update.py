"""The update compiles from shapes alone, in a thread of its own, and is traced there once."""

import dataclasses
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dreamerax.envs.base import EnvBatch, Step
from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.vector import SerialEnvs
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import abstract_state
from dreamerax.runtime.learn.update import Programs
from tests.runtime.toys import REPLAY, Follow, Regression, make_replay, run

LONG = dataclasses.replace(REPLAY, capacity=2 * 10**6)  # more than could be filled while a test is waited for


class Counting(Regression):
  """Counts how often its update is traced."""

  traced = 0

  def update(self, state, batch, key):
    self.traced += 1
    return super().update(state, batch, key)


class Broken(Regression):
  """Has an update that cannot be traced."""

  def update(self, state, batch, key):
    raise ValueError("pictures of 5x5 do not fit")


class Impatient(Follow):
  """Takes a thousand times as many steps as it takes to find out."""

  taken = 0

  def step(self, action: np.ndarray) -> Step:
    self.taken += 1
    assert self.taken < 50_000, "the prefill went on"
    return super().step(action)


def make_impatient(num_envs: int, seed: int, film: bool = False) -> EnvBatch:
  seeds = derive_seeds(seed, num_envs)
  return SerialEnvs([Impatient(one) for one in seeds], seeds)


def test_an_update_is_traced_once_and_knows_the_names_of_its_metrics():
  agent, mesh = Counting(), local_mesh()
  with closing(Programs(agent, abstract_state(agent, mesh), make_replay().batch_spec, mesh)) as programs:
    assert programs.update.metrics == ("loss/reward", "noise")
    assert programs.compiled
    assert not programs.flops  # no matrix products; counted without a trace of its own
  assert agent.traced == 1


def test_the_shapes_are_those_that_replay_gives():
  replay = make_replay()
  batch = replay.batch_spec
  assert batch.steps.observation["image"].shape == (8, 8, 4, 4, 3)
  assert batch.steps.observation["image"].dtype == "uint8" and batch.steps.is_first.dtype == "bool"
  assert batch.context["memory"].shape == (8, 1)


def test_an_update_that_cannot_be_compiled_ends_the_prefill(tmp_path: Path):
  with pytest.raises(ValueError, match="pictures of 5x5"):
    run(tmp_path, agent=Broken(), make_envs=make_impatient, prefill_steps=10**6, env_steps=10**9, replay=LONG)
