"""Several runs in one process, with one update for all: each is the run that it would be alone."""

import os
import signal
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import jax
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.envs.journal import derive_seeds
from dreamerax.envs.vector import SerialEnvs
from dreamerax.runtime.checkpoint.checkpoints import load_state
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import init_state, replicated
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.learn.compilation import Source
from dreamerax.runtime.learn.seed_group import SeedGroup
from dreamerax.runtime.result import TrainResult
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.runtime.train_seeds import train_runs
from tests import tiny
from tests.runtime.toys import Follow, Regression, run

SEEDS = (0, 1, 2)


def small(logdir: Path, **options: Any) -> TrainResult:
  return run(logdir, **{"env_steps": 600, "video_every": 0, "eval_every": 300, **options})


def together(root: Path, each: dict[int, dict[str, Any]] | None = None, **options: Any) -> dict[str, TrainResult]:
  """Small runs of all seeds; each: what is different for some of them."""
  each = each or {}
  return train_runs(
    {f"seed {n}": partial(small, root / f"seed-{n}", seed=n, **(options | each.get(n, {}))) for n in SEEDS}
  )


def what_is_left(logdir: Path) -> tuple[list[np.ndarray], list[dict]]:
  """The state of the newest checkpoint, and all lines of metrics but what the clock says."""
  state, _ = load_state(logdir, Regression())
  rows = read_metrics(logdir / "metrics.jsonl")
  lines = [{k: v for k, v in row.items() if k != "seconds" and not k.startswith("time/")} for row in rows]
  return jax.tree.leaves(jax.device_get(state)), lines


def assert_alike(logdir: Path, other: Path) -> None:
  """To rounding."""
  (state, lines), (expected_state, expected_lines) = what_is_left(logdir), what_is_left(other)
  jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), state, expected_state)
  assert [line.keys() for line in lines] == [line.keys() for line in expected_lines]
  for line, expected in zip(lines, expected_lines, strict=True):
    np.testing.assert_allclose([*line.values()], [*expected.values()], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_one_update_of_several_is_that_of_each_for_an_agent_of_all_parts():
  agent, mesh = Agent(tiny.config(), tiny.PIXELS), local_mesh()
  shardings, count = replicated(mesh), 2
  given = [
    (
      init_state(agent, mesh, jax.random.key(n)),
      *jax.device_put((tiny.batch(agent, seed=n), jax.random.key(n)), shardings),
    )
    for n in range(count)
  ]
  expected = [jax.jit(agent.update)(*each) for each in given]
  shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), given[0])
  source = Source(agent.update, shapes, (shardings,) * 3, donated=(0,))
  group, results = SeedGroup(count), {}

  def member(index: int) -> None:
    program = group.compile(index, source)
    results[index] = program(*given[index])

  threads = [Thread(target=member, args=(index,)) for index in range(count)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  for index in range(count):
    for leaf, wanted in zip(jax.tree.leaves(results[index]), jax.tree.leaves(expected[index]), strict=True):
      np.testing.assert_allclose(leaf, wanted, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
  root = tmp_path_factory.mktemp("together")
  return root, together(root, sync=True)


def test_every_run_is_the_one_that_it_would_be_alone(finished, tmp_path: Path):
  root, results = finished
  for seed in SEEDS:
    alone = small(tmp_path / f"seed-{seed}", seed=seed, sync=True)
    assert results[f"seed {seed}"].counters == alone.counters
    assert_alike(root / f"seed-{seed}", tmp_path / f"seed-{seed}")
  learned = {float(load_state(root / f"seed-{seed}", Regression())[0]["params"]["k"]) for seed in SEEDS}
  assert len(learned) == len(SEEDS)


def test_whatever_the_threads_do_a_rerun_is_equal_to_the_bit(finished, tmp_path: Path):
  root, _ = finished
  together(tmp_path, sync=True)
  for seed in SEEDS:
    (state, lines), (expected_state, expected_lines) = (what_is_left(r / f"seed-{seed}") for r in (tmp_path, root))
    assert lines == expected_lines
    jax.tree.map(np.testing.assert_array_equal, state, expected_state)


def test_each_goes_on_alone_and_those_that_were_alone_go_on_together(tmp_path: Path):
  together(tmp_path / "mixed", sync=True)
  small(tmp_path / "mixed" / "seed-1", seed=1, env_steps=900, sync=True)
  results = together(tmp_path / "mixed", env_steps=1200, sync=True)
  assert all(result.counters.env_steps >= 1200 for result in results.values())
  small(tmp_path / "alone", seed=1, env_steps=600, sync=True)
  small(tmp_path / "alone", seed=1, env_steps=900, sync=True)
  small(tmp_path / "alone", seed=1, env_steps=1200, sync=True)
  assert_alike(tmp_path / "mixed" / "seed-1", tmp_path / "alone")


class Broken(Follow):
  """From its 50th step on its rewards are no numbers."""

  def __init__(self, seed: int):
    super().__init__(seed)
    self._made = 0

  def step(self, action: np.ndarray):
    self._made += 1
    return super().step(action)._replace(**({"reward": np.nan} if self._made > 50 else {}))


def make_broken(num_envs: int, seed: int, film: bool = False) -> SerialEnvs:
  seeds = derive_seeds(seed, num_envs)
  return SerialEnvs([Broken(one) for one in seeds], seeds)


def test_one_whose_numbers_are_not_finite_leaves_the_others_as_they_were(finished, tmp_path: Path):
  with pytest.raises(Diverged, match=r"seed 1: update .* is not finite"):
    together(tmp_path, {1: {"make_envs": make_broken}}, sync=True, eval_episodes=3)
  assert (tmp_path / "seed-1" / "nonfinite").exists()
  for seed in (0, 2):
    (state, _), (expected, _) = (what_is_left(r / f"seed-{seed}") for r in (tmp_path, finished[0]))
    jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_those_that_end_early_or_have_ended_leave_the_others(tmp_path: Path):
  small(tmp_path / "seed-0", seed=0)
  results = together(tmp_path, {2: {"env_steps": 400}})
  assert [results[f"seed {n}"].counters.env_steps // 100 for n in SEEDS] == [6, 6, 4]
  assert results["seed 0"].evaluation is None and results["seed 1"].evaluation is not None


def test_ctrl_c_saves_all_and_all_go_on(tmp_path: Path):
  class Interrupting(Follow):
    seen = 0

    def step(self, action):
      Interrupting.seen += 1
      if Interrupting.seen == 500:
        os.kill(os.getpid(), signal.SIGINT)
      return super().step(action)

  def make_interrupting(count: int, seed: int) -> SerialEnvs:
    seeds = derive_seeds(seed, count)
    return SerialEnvs([Interrupting(one) for one in seeds], seeds)

  handler = signal.getsignal(signal.SIGINT)
  results = together(tmp_path, {1: {"make_envs": make_interrupting}}, env_steps=2400, eval_every=0)
  assert signal.getsignal(signal.SIGINT) == handler
  for seed in SEEDS:
    result = results[f"seed {seed}"]
    assert result.interrupted and result.counters.env_steps < 2400
    assert load_state(tmp_path / f"seed-{seed}", Regression())[1].counters == result.counters
  assert not any(result.interrupted for result in together(tmp_path, env_steps=2400, eval_every=0).values())


def test_what_one_cannot_survive_lets_the_others_save(tmp_path: Path):
  class Failing(Follow):
    def step(self, action):
      if self.clock == 7:
        raise OSError("the simulator is gone")
      return super().step(action)

  def make_failing(count: int, seed: int) -> SerialEnvs:
    seeds = derive_seeds(seed, count)
    return SerialEnvs([Failing(one) for one in seeds], seeds)

  with pytest.raises(OSError, match="the simulator is gone"):
    together(tmp_path, {1: {"make_envs": make_failing}}, env_steps=100_000)
  for seed in (0, 2):
    _, saved = load_state(tmp_path / f"seed-{seed}", Regression())  # perhaps before its first step
    assert saved.counters.env_steps < 100_000
