"""What is saved comes back bit by bit, whatever a crash left beside it."""

import json
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from dreamerax.runtime.checkpoint import array_file, checksums
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, Checkpoints, RunState, load_state, verify
from dreamerax.runtime.counters import Counters
from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import abstract_state, init_state
from dreamerax.runtime.schedule import BurstConfig, ScheduleConfig, TrainRatioConfig
from tests.runtime.toys import Regression


def saved(env_steps: int) -> RunState:
  position = {"row": 2**63 + 1, "files": [["a", 2**53 + 1]]}  # beyond what floats hold
  return RunState(Counters(env_steps, env_steps // 2, 7), 1.5, 3, 60, {"last": 5}, 0, position, 99, Counters(2, 1, 0))


@pytest.fixture
def agent() -> Regression:
  return Regression(shape=(3,))


def save(folder: Path, agent: Regression, *env_steps: int) -> dict:
  checkpoints = Checkpoints(folder / FOLDER)
  state = init_state(agent, local_mesh(), jax.random.key(0))
  for step in env_steps:
    state["params"]["k"] = jnp.full((3,), float(step))
    checkpoints.save(state, saved(step))
  checkpoints.close()
  return state


def test_the_newest_comes_back_whole(tmp_path: Path, agent: Regression):
  state = save(tmp_path, agent, 10, 20, 30)
  restored, row = load_state(tmp_path, agent)
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  assert row == saved(30)
  assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["20", "30"]


@pytest.mark.parametrize(
  "name", ["exp[lr=3e-4]", "[1]", "50% %41 a b", "*?{x}", "'q\"uo`te$HOME;", "λ\n日本", "a#b?c&d=e"]
)
def test_a_directory_may_have_any_name(tmp_path: Path, agent: Regression, name: str):
  state = save(tmp_path / name, agent, 10)
  restored, row = load_state(tmp_path / name, agent)
  jax.tree.map(np.testing.assert_array_equal, restored, state)
  assert row == saved(10)
  (each,) = verify(tmp_path / name)
  assert each.problem is None


@pytest.mark.parametrize("schedule", [TrainRatioConfig(), BurstConfig()])
def test_a_run_that_ends_before_its_first_update_is_read_again(schedule: ScheduleConfig):
  row = saved(4)._replace(schedule=schedule.build(1, 1).state())
  assert RunState.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_a_state_that_cannot_be_read_back_is_not_saved(
  tmp_path: Path, agent: Regression, monkeypatch: pytest.MonkeyPatch
):
  state = init_state(agent, local_mesh(), jax.random.key(0))
  told: list[str] = []
  checkpoints, write = Checkpoints(tmp_path / FOLDER, told.append), ocp.StandardCheckpointer.save
  monkeypatch.setattr(
    ocp.StandardCheckpointer, "save", lambda orbax, path, state: write(orbax, path, {"params": state["params"]})
  )
  checkpoints.save(state, saved(10))
  checkpoints.close()
  assert checkpoints.failed is not None and "arrays can be read back" in checkpoints.failed
  assert len(told) == 1 and not list((tmp_path / FOLDER).iterdir())


def test_a_checkpoint_whose_state_was_never_merged_is_named(tmp_path: Path, agent: Regression):
  save(tmp_path, agent, 10, 20)
  (tmp_path / FOLDER / "20" / "state" / "manifest.ocdbt").unlink()
  checksums.write_manifest(tmp_path / FOLDER / "20")
  assert "cannot be read" in str(verify(tmp_path)[1].problem)
  assert load_state(tmp_path, agent)[1].counters.env_steps == 10


def test_reading_passes_over_damage_and_changes_nothing(tmp_path: Path, agent: Regression):
  save(tmp_path, agent, 10, 20)
  torn = tmp_path / FOLDER / "98"
  torn.mkdir()
  (torn / "state").mkdir()
  (tmp_path / FOLDER / "20" / "saved.json").unlink()
  (tmp_path / FOLDER / "99.new").mkdir()
  before, told = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}, []
  assert load_state(tmp_path, agent, told.append)[1].counters.env_steps == 10
  assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
  assert [line.split(": ")[1:] for line in told] == [
    [
      "the checkpoint at 98 env steps",
      "it is unfinished, or of another version of dreamerax",
      "manifest.txt is missing",
    ],
    ["the checkpoint at 20 env steps", "saved.json is missing"],
  ]


def test_a_checkpoint_is_saved_once_and_again_after_more_updates(tmp_path: Path, agent: Regression):
  state = save(tmp_path, agent, 10)
  checkpoints = Checkpoints(tmp_path / FOLDER)
  checkpoints.restore(abstract_state(agent, local_mesh()))
  made = (tmp_path / FOLDER / "10").stat().st_ino
  checkpoints.save(state, saved(10))
  checkpoints.wait()
  assert (tmp_path / FOLDER / "10").stat().st_ino == made
  more = saved(10)._replace(counters=Counters(10, 5, 8))
  checkpoints.save(state, more)
  checkpoints.close()
  assert load_state(tmp_path, agent)[1] == more
  assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["10"]


EXTRA = {
  "memory": {"deter": np.array([[1, 2]], jnp.bfloat16), "nothing": {}},
  "rows": {"image": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "is_first": np.array([True, False])},
  "sampler": {"state": np.array([2**64 - 1], np.uint64), "clock": np.int64(-(2**62))},
  "pending": np.zeros((0, 3), np.float32),
  "none": np.zeros((0,), jnp.bfloat16),
  "column": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
}


@pytest.mark.parametrize("extra", [EXTRA, {}], ids=["full", "empty"])
def test_extra_arrays_come_back_with_their_shapes_and_dtypes(tmp_path: Path, agent: Regression, extra: dict):
  given = jax.tree.map(np.array, extra)
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(init_state(agent, local_mesh(), jax.random.key(0)), saved(1), given)
  for array in jax.tree.leaves(given):
    array[...] = 0  # the caller goes on with its own
  checkpoints.wait()
  restored = checkpoints.restore(abstract_state(agent, local_mesh()))
  checkpoints.close()
  assert restored is not None
  assert jax.tree.structure(restored[2]) == jax.tree.structure(extra)
  for found, wanted in zip(jax.tree.leaves(restored[2]), jax.tree.leaves(extra), strict=True):
    assert type(found) is np.ndarray and found.dtype == wanted.dtype and found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes() and found.flags.writeable


@pytest.mark.parametrize("extra", [{"a": np.array([None])}, {"a": np.ones(2, ">f4")}, {1: np.ones(2)}])
def test_what_would_not_come_back_is_refused(tmp_path: Path, agent: Regression, extra: dict):
  checkpoints = Checkpoints(tmp_path)
  with pytest.raises(TypeError, match=r"cannot be saved|is no string"):
    checkpoints.save(init_state(agent, local_mesh(), jax.random.key(0)), saved(1), extra)
  checkpoints.close()
  assert list(tmp_path.iterdir()) == []


def test_saving_goes_on_behind_and_deletes_nothing_before_it_is_complete(
  tmp_path: Path, agent: Regression, monkeypatch: pytest.MonkeyPatch
):
  state = save(tmp_path, agent, 10, 20)
  go, write = threading.Event(), checksums.write_manifest
  monkeypatch.setattr(checksums, "write_manifest", lambda folder: go.wait() and write(folder))
  checkpoints = Checkpoints(tmp_path / FOLDER)
  checkpoints.save(state, saved(30))
  assert checkpoints.newest == 20 and (tmp_path / FOLDER / "10").exists()
  go.set()
  checkpoints.close()
  assert checkpoints.newest == 30 and not (tmp_path / FOLDER / "10").exists()


def test_a_mistake_in_the_program_is_no_full_disk(tmp_path: Path, agent: Regression, monkeypatch: pytest.MonkeyPatch):
  def write_manifest(folder: Path) -> None:
    raise RuntimeError("a mistake")

  monkeypatch.setattr(checksums, "write_manifest", write_manifest)
  with pytest.raises(RuntimeError, match="a mistake"):
    save(tmp_path, agent, 10)


def test_a_state_that_is_donated_while_it_is_saved_arrives_unchanged(tmp_path: Path):
  state = jax.device_put(
    {"params": {"k": jnp.arange(1e6)}}, abstract_state(Regression(), local_mesh())["params"]["k"].sharding
  )
  forward = jax.jit(lambda state: jax.tree.map(lambda x: x * 0 - 1, state), donate_argnums=0)
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(state, saved(1))
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)
  for _ in range(20):
    state = forward(state)
  checkpoints.wait()
  restored = checkpoints.restore(like)
  checkpoints.close()
  assert restored is not None
  np.testing.assert_array_equal(restored[0]["params"]["k"], np.arange(1e6, dtype=np.float32))


def test_another_shape_is_refused_by_name(tmp_path: Path, agent: Regression):
  save(tmp_path, agent, 10)
  with pytest.raises(ValueError, match=r"params/k is float32 \(3,\) in the checkpoint .* and float32 \(4,\)"):
    load_state(tmp_path, Regression(shape=(4,)))


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, agent: Regression):
  save(tmp_path, agent, 10)
  path = tmp_path / FOLDER / "10"
  row = json.loads((path / "saved.json").read_text())
  for changes, named in (
    ({"format": 99, "version": "7.1.0"}, r"10 has format 99 of dreamerax 7\.1\.0, and this is dreamerax "),
    ({"saved": {**row["saved"], "more": 1}}, "which reads up to format"),
  ):
    (path / "saved.json").write_text(json.dumps({**row, **changes}))
    checksums.write_manifest(path)
    with pytest.raises(ValueError, match=named):
      load_state(tmp_path, agent)


def test_without_a_checkpoint_the_directory_is_named(tmp_path: Path, agent: Regression):
  with pytest.raises(FileNotFoundError, match=str(tmp_path)):
    load_state(tmp_path, agent)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
  "change",
  [
    *({"counters": counters} for counters in ({"steps": 1}, {"env_steps": -1, "agent_steps": 0, "updates": 0}, [])),
    *({"metrics": -5}, {"metrics": "5"}, {"seconds": "x"}, {"schedule": [1]}, {"replay": [1]}, {"others": [1]}),
    *({"replay": {name: "x"}} for name in ("segment", "offset", "written", "files")),
  ],
)
def test_what_nobody_can_have_saved_is_refused_by_name(change: dict, tmp_path: Path):
  row = {"saved": {**saved(10).to_json(), **change}}
  (tmp_path / "saved.json").write_text(json.dumps(row))
  with pytest.raises(ValueError, match=r"saved\.json is not what dreamerax writes"):
    RunState.read(tmp_path)


@pytest.mark.parametrize("entry", [["float32", [10**13]], ["float32", [-1]], ["object", [1]], ["float32", [3]], [], 7])
def test_arrays_that_a_file_does_not_hold_are_refused(entry: object, tmp_path: Path):
  (tmp_path / "arrays.bin").write_bytes(bytes(8))
  with (tmp_path / "arrays.bin").open("rb") as file, pytest.raises(ValueError, match="does not hold the arrays"):
    array_file.read(file, {"a": entry})
