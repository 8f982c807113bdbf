"""Whatever happens to files or to the process, what is restored is a state that was saved, and the newest that is whole."""

import copy
import json
import multiprocessing
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dreamerax.runtime.checkpoint import checksums
from dreamerax.runtime.checkpoint.checkpoints import FOLDER, Checkpoints, verify
from dreamerax.runtime.checkpoint.folder import find_steps
from dreamerax.runtime.checkpoint.metadata import SAVED
from tests.runtime import savers
from tests.runtime.savers import check_whole, like, make_extra, make_saved, make_state
from tests.runtime.toys import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
  """Checkpoints at 10 and 20 env steps."""
  save(tmp_path / FOLDER, 10, 20)
  return tmp_path / FOLDER


def save(folder: Path, *env_steps: int) -> None:
  checkpoints = Checkpoints(folder)
  for step in env_steps:
    checkpoints.save(make_state(step), make_saved(step), make_extra(step))
  checkpoints.close()
  assert checkpoints.failed is None


def restore(folder: Path) -> tuple[int, list[str]]:
  """Env steps of what a trainer continues with, and what it is told."""
  told: list[str] = []
  checkpoints = Checkpoints(folder, told.append)
  restored = checkpoints.restore(like())
  checkpoints.close()
  assert restored is not None
  return check_whole(restored), told


def names(folder: Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def files(folder: Path) -> list[Path]:
  return sorted(path for path in folder.rglob("*") if path.is_file())


def undo(folder: Path) -> None:
  """The trainer has renamed a damaged checkpoint: gives it back its name, for the next file."""
  (folder / "20.bad").rename(folder / "20")


def test_any_flipped_byte_is_noticed_and_the_older_checkpoint_taken(folder: Path):
  for path in files(folder / "20"):
    name, content = path.relative_to(folder / "20").as_posix(), path.read_bytes()
    for place in {0, 7, len(content) // 2, len(content) - 1}:
      for bit in (0x01, 0x20):
        flipped = bytearray(content)
        flipped[place] ^= bit
        path.write_bytes(flipped)
        problem = checksums.find_problem(folder / "20")
        assert problem is not None and problem.startswith(f"{name} is damaged"), (name, place)
    assert restore(folder) == (10, [f"passed over: the checkpoint at 20 env steps: {problem}"])
    undo(folder)
    path.write_bytes(content)
  assert restore(folder) == (20, [])


def test_any_missing_or_shortened_file_is_noticed(folder: Path):
  for path in files(folder / "20"):
    name, content = path.relative_to(folder / "20").as_posix(), path.read_bytes()
    path.write_bytes(content[:-1])
    problem = checksums.find_problem(folder / "20")
    expected = (
      "is damaged" if name == checksums.MANIFEST else f"has {len(content) - 1:,} bytes instead of {len(content):,}"
    )
    assert problem == f"{name} {expected}"
    path.unlink()
    step, (line,) = restore(folder)
    assert step == 10 and f"{name} is missing" in line
    undo(folder)
    path.write_bytes(content)
  assert restore(folder) == (20, [])


def test_an_empty_newest_directory_is_passed_over_and_kept(folder: Path):
  (folder / "99").mkdir()
  step, (line,) = restore(folder)
  assert step == 20 and "99 env steps: it is unfinished" in line
  assert names(folder) == ["10", "20", "99.bad"]


def test_a_damaged_checkpoint_does_not_cost_the_last_good_one(folder: Path):
  (folder / "20" / "arrays.bin").write_bytes(b"")
  checkpoints = Checkpoints(folder, lambda line: None)
  assert checkpoints.restore(like()) is not None
  for step in (15, 20):  # the run gets to 20 a second time
    checkpoints.save(make_state(step), make_saved(step), make_extra(step))
    checkpoints.wait()
    assert names(folder) == {15: ["10", "15", "20.bad"], 20: ["15", "20", "20.bad"]}[step]
  checkpoints.close()
  assert restore(folder) == (20, [])


def test_only_older_checkpoints_are_deleted(folder: Path):
  save(folder, 5, 6, 7)
  assert names(folder) == ["10", "20", "6", "7"]


def test_where_all_are_damaged_nothing_begins_anew(folder: Path):
  for step in ("10", "20"):
    (folder / step / "saved.json").unlink()
  checkpoints = Checkpoints(folder)
  with pytest.raises(ValueError, match=r"at 20 env steps: saved\.json is missing; .* at 10 env steps: .* put a copy"):
    checkpoints.restore(like())
  checkpoints.close()
  assert names(folder) == ["10", "20"]


def test_a_start_removes_what_a_crash_has_left_and_finishes_what_only_lacked_its_name(folder: Path):
  shutil.copytree(folder / "10", folder / "10.old")
  (folder / "10.old" / "saved.json").unlink()
  shutil.copytree(folder / "20", folder / "30.new")
  (folder / "30.new" / checksums.MANIFEST).unlink()
  (folder / "notes.new").mkdir()  # not ours
  save(folder)
  assert names(folder) == ["10", "20", "notes.new"]
  (folder / "20").rename(folder / "20.new")
  save(folder)
  assert names(folder) == ["10", "20", "notes.new"]


def test_verify_tells_each_problem_and_changes_nothing(folder: Path):
  (folder / "20" / "state" / "_METADATA").unlink()
  shutil.copytree(folder / "10", folder / "30.new")
  before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files(folder)}
  first, second = verify(folder.parent)
  assert first == (10, sum(path.stat().st_size for path in files(folder / "10")), None)
  assert second.env_steps == 20 and second.problem == "state/_METADATA is missing"
  assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files(folder)} == before
  assert verify(folder) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
  """A file system of 1 MiB."""
  mounted = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, check=False
  )
  if mounted.returncode:
    pytest.skip("mounting needs root")
  yield tmp_path
  subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_disk_that_is_full_at_any_point_of_a_save_leaves_the_earlier_ones(disk: Path, capfd: pytest.CaptureFixture):
  folder, ballast, told, pages = disk / FOLDER, disk / "ballast", [], 0
  checkpoints = Checkpoints(folder, told.append)
  checkpoints.save(make_state(10), make_saved(10), make_extra(10))
  checkpoints.wait()
  while True:  # with one page more each time
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 4096 * pages))
    checkpoints.save(make_state(20), make_saved(20), make_extra(20))
    checkpoints.wait()
    ballast.unlink()
    if checkpoints.failed is None:
      break
    assert checkpoints.failed.startswith("No space left on device") and checkpoints.failed in told[-1]
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", ""), "one line says it all"
    assert names(folder) == ["10"] and verify(disk)[0].problem is None
    pages += 1
  assert pages > 8, "the disk was full early and late in a save"
  checkpoints.close()
  assert names(folder) == ["10", "20"]
  assert restore(folder) == (20, [])


def test_only_the_closed_loop_of_a_failed_save_is_kept_quiet(folder: Path, monkeypatch: pytest.MonkeyPatch):
  told = []
  monkeypatch.setattr(sys, "unraisablehook", told.append)
  for _ in range(2):
    restore(folder)
  for text, thing in (("Event loop is closed", None), ("Event loop is closed", folder), ("another", None)):
    sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError(text), object=thing))  # type: ignore[arg-type]
  assert [(str(each.exc_value), each.object) for each in told] == [("Event loop is closed", folder), ("another", None)]


def test_a_file_that_may_not_grow_fails_the_save_and_not_the_run(folder: Path):
  told: list[str] = []
  checkpoints = Checkpoints(folder, told.append)
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
  try:
    checkpoints.save(make_state(30), make_saved(30), make_extra(30))
    checkpoints.wait()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert checkpoints.failed is not None and "File too large" in checkpoints.failed
  assert told == [f"the checkpoint at 30 env steps could not be saved: {checkpoints.failed}"]
  assert names(folder) == ["10", "20"] and checkpoints.newest == 20
  checkpoints.save(make_state(30), make_saved(30), make_extra(30))
  checkpoints.close()
  assert checkpoints.failed is None
  assert restore(folder) == (30, [])


def test_kill_at_any_moment_costs_nothing_that_was_saved(tmp_path: Path):
  context = multiprocessing.get_context("forkserver")  # imports once, and has not started jax when it forks
  context.set_forkserver_preload(["tests.runtime.savers"])
  chance, acknowledged, kills, torn = random.Random(0), 0, 0, 0
  while torn < 6 and kills < 100:  # until enough of them hit a save
    kills += 1
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=savers.save_until_killed, args=(tmp_path, sender))
    process.start()
    sender.close()
    acknowledged = max(acknowledged, receiver.recv())
    time.sleep(chance.uniform(0, 0.15))
    process.kill()
    process.join()
    while True:
      try:
        acknowledged = max(acknowledged, receiver.recv())
      except EOFError:
        break
    torn += any(name.endswith((".new", ".old")) for name in names(tmp_path))
    step, told = restore(tmp_path)
    assert acknowledged <= step <= acknowledged + 1 and told == []
    assert len(names(tmp_path)) <= 3
  assert torn == 6 and acknowledged >= kills


def paths(index: dict, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
  """Of everything in a checkpoint's index of arrays."""
  below = [paths(value, (*before, name)) for name, value in index.items() if isinstance(value, dict)]
  return [*((*before, name) for name in index), *(path for each in below for path in each)]


@pytest.mark.slow
def test_a_checkpoint_that_lacks_some_of_its_arrays_is_refused_in_words(tmp_path: Path):
  """As somebody else may have written it: the checksums are right."""
  run(tmp_path / "whole", env_steps=400, sync=True)
  (step,) = find_steps(tmp_path / "whole" / FOLDER)
  row = json.loads((tmp_path / "whole" / FOLDER / str(step) / SAVED).read_text())
  missing = paths(row["extra"])
  assert len(missing) > 20
  for number, path in enumerate(missing):
    changed = copy.deepcopy(row)
    part = changed["extra"]
    for name in path[:-1]:
      part = part[name]
    del part[path[-1]]
    logdir = tmp_path / str(number)
    shutil.copytree(tmp_path / "whole", logdir)
    (logdir / FOLDER / str(step) / SAVED).write_text(json.dumps(changed))
    checksums.write_manifest(logdir / FOLDER / str(step))
    try:
      run(logdir, env_steps=404, sync=True, eval_episodes=0)
    except ValueError as error:
      assert "checkpoint" in str(error) or "arrays" in str(error), path
