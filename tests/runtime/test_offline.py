"""Training on experience that is all there already, with the toys' agent."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
import pytest

from dreamerax.runtime.checkpoint.checkpoints import load_state, verify
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.interrupt import StopSignals
from dreamerax.runtime.offline import OfflineConfig, OfflineResult, train_offline
from dreamerax.runtime.telemetry.metrics import read_metrics
from dreamerax.types import Batch, Transition
from tests.runtime.toys import REPLAY, Regression, make_envs, make_replay

UPDATES = 12


class Remembering(Regression):
  """Its updates depend on the latents in the replay, which they refresh."""

  def update(self, state, batch: Batch, key: jax.Array):
    state, latents, metrics = super().update(state, batch, key)
    k = state["params"]["k"] + 1e-3 * batch.context["memory"].mean()
    return {**state, "params": {"k": k}}, {"memory": latents["memory"] - 100 + k}, metrics


def filled(nan: bool = False):
  replay, envs = make_replay(dataclasses.replace(REPLAY, online=False, max_disk_bytes=0)), make_envs(4, 0)
  rng, row = np.random.default_rng(0), envs.reset()
  for _ in range(60):
    replay.add(row._replace(reward=row.reward * np.nan) if nan else row, {"memory": np.zeros((4, 1), np.float32)})
    row: Transition = envs.step(rng.uniform(-1, 1, (4, 1)))
  return replay


def run(
  logdir: Path, updates: int = UPDATES, *, evaluate: Callable | None = None, nan: bool = False, **config
) -> tuple[OfflineResult, list[int]]:
  evaluated: list[int] = []

  def note(params, made: int) -> Mapping[str, float]:
    evaluated.append(made)
    return {"k": float(params["k"])}

  loop = OfflineConfig(**{"updates": updates, "eval_every": 5, "log_every": 1e-9, **config})
  replay = filled(nan)
  return train_offline(Remembering(), replay, loop, evaluate or note, logdir=logdir, seed=0), evaluated


def test_a_run_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
  monkeypatch.setenv("FORCE_COLOR", "1")  # bars, as on a terminal
  run(tmp_path)
  shown = capsys.readouterr().out
  assert f"{UPDATES}/{UPDATES} updates" in shown and "env steps" not in shown


def leaves(logdir: Path) -> list[np.ndarray]:
  return jax.tree.leaves(jax.device_get(load_state(logdir, Remembering())[0]))


def losses(logdir: Path) -> dict[int, float]:
  rows = read_metrics(logdir / "metrics.jsonl")
  return {row["updates"]: row["train/loss/reward"] for row in rows if "train/loss/reward" in row}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A run that was not interrupted."""
  logdir = tmp_path_factory.mktemp("offline")
  result, evaluated = run(logdir)
  assert (result.updates, result.interrupted, evaluated) == (UPDATES, False, [5, 10, 12])
  return logdir


def test_it_learns_and_writes_down_what_it_learned(whole: Path):
  rows = read_metrics(whole / "metrics.jsonl")
  assert [row["k"] for row in rows if "k" in row][-1] == pytest.approx(
    float(load_state(whole, Remembering())[0]["params"]["k"])
  )
  assert sorted(losses(whole)) == list(range(1, UPDATES + 1))
  assert losses(whole)[UPDATES] < losses(whole)[1]
  assert all(row["env_steps"] == row["updates"] and row["agent_steps"] == 0 for row in rows)


def test_an_interrupted_run_goes_on_to_the_bit(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  checks = iter(range(1000))
  with monkeypatch.context() as patched:  # as if Ctrl-C came in the seventh update

    def check(self) -> None:
      self.requested = next(checks) >= 7
      original(self)

    original = StopSignals.check
    patched.setattr(StopSignals, "check", check)
    result, _ = run(tmp_path)
  assert result.interrupted and 0 < result.updates < UPDATES
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write("torn")
  result, evaluated = run(tmp_path)
  assert (result.updates, result.interrupted, evaluated[-1]) == (UPDATES, False, UPDATES)
  for one, other in zip(leaves(whole), leaves(tmp_path), strict=True):
    np.testing.assert_array_equal(one, other)
  assert losses(whole) == losses(tmp_path)


def test_a_complete_run_is_only_evaluated_and_a_longer_one_goes_on(whole: Path, tmp_path: Path):
  run(tmp_path, 6)
  before = leaves(tmp_path)
  result, evaluated = run(tmp_path, 6)
  assert result.updates == 6 and evaluated == [6]
  for one, other in zip(before, leaves(tmp_path), strict=True):
    np.testing.assert_array_equal(one, other)
  assert run(tmp_path, UPDATES)[0].updates == UPDATES
  for one, other in zip(leaves(whole), leaves(tmp_path), strict=True):
    np.testing.assert_array_equal(one, other)


def test_an_update_that_is_not_finite_ends_the_run_and_is_kept(tmp_path: Path):
  with pytest.raises(Diverged, match=r"reward of environment.*there is no checkpoint"):
    run(tmp_path, nan=True)
  assert list((tmp_path / "nonfinite").iterdir()) and not verify(tmp_path)
  result, _ = run(tmp_path / "skipping", nan=True, nonfinite="skip")
  assert result.updates == UPDATES


@pytest.mark.parametrize(
  "field", [{"updates": 0}, {"eval_every": -1}, {"log_every": 0.0}, {"checkpoint_minutes": float("nan")}]
)
def test_figures_that_make_no_sense_are_refused(field: dict):
  with pytest.raises(ValueError, match=next(iter(field))):
    OfflineConfig(**field)


def test_the_saved_counters_are_json(whole: Path):
  (folder,) = [path for path in (whole / "checkpoints").iterdir() if path.name == str(UPDATES)]
  assert json.loads((folder / "saved.json").read_text())["saved"]["counters"]["updates"] == UPDATES
