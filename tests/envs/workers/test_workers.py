import gc
import os
import signal
import subprocess
import sys
from contextlib import closing

import numpy as np
import psutil
import pytest

from dreamerax.envs import EnvConfig, WorkerConfig, make_batch
from dreamerax.envs.base import EnvBatch
from dreamerax.envs.faults import EnvironmentFault
from dreamerax.envs.journal import derive_seeds, episode_seed
from dreamerax.envs.suites.actions import random_actions
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

SAFE = np.zeros(2, np.float32)
BREAK = np.array([0.5, 0.75], np.float32)


@pytest.fixture
def start():
  """Makes batches of a toy in worker processes, and closes them."""
  batches = []

  def make(toy: str, num_envs: int, count: int, **options) -> EnvBatch:
    batches.append(make_batch(EnvConfig(f"tests.envs.toys:{toy}"), num_envs, 7, WorkerConfig(count, **options)))
    return batches[-1]

  yield make
  for batch in batches:
    batch.close()


def processes() -> list[psutil.Process]:
  return [child for child in psutil.Process().children() if "dreamerax.envs.worker_main" in child.cmdline()]


def assert_equal_rows(one, other):
  for name in one._fields[1:]:
    np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
  for key, value in one.observation.items():
    np.testing.assert_array_equal(value, other.observation[key], err_msg=key)


@pytest.mark.parametrize("num_envs, count", [(5, 2), (3, 8)])
def test_rows_are_those_of_environments_in_this_process(start, num_envs, count):
  envs = start("counter", num_envs, count)
  plain = make_batch(EnvConfig("tests.envs.toys:counter"), num_envs, 7)
  assert envs.spec == plain.spec and envs.num_envs == num_envs
  assert len(processes()) == min(num_envs, count)
  rng = np.random.default_rng(0)
  assert_equal_rows(envs.reset(), plain.reset())
  for _ in range(12):
    actions = random_actions(envs.spec.action, rng, num_envs)
    assert_equal_rows(envs.step(actions), plain.step(actions))
  assert_equal_rows(envs.reset(), plain.reset())  # in the middle of an episode
  actions = np.zeros((num_envs, 2))
  for _ in range(4):
    assert_equal_rows(envs.step(actions), plain.step(actions))
  for batch in (envs, plain):
    batch.send(actions)  # begins an episode that nobody sees
  assert_equal_rows(envs.reset(), plain.reset())


def test_pixels_are_those_of_dm_control_in_this_process():
  config = EnvConfig("dmc/cartpole_balance", action_repeat=400, rendering="balanced")
  plain, envs = make_batch(config, 3, 0), make_batch(config, 3, 0, WorkerConfig(2))
  try:
    assert_equal_rows(envs.reset(), plain.reset())
    for _ in range(4):  # over the end of an episode
      actions = np.full((3, 1), 0.3, np.float32)
      assert_equal_rows(envs.step(actions), plain.step(actions))
    for batch in (envs, plain):  # five rows of three frames
      assert batch.work.total > batch.work.rendering > 15 * 1e-4
  finally:
    envs.close()


def test_parts_in_flight_at_once_give_the_rows_of_the_whole(start):
  parts = start("counter", 5, 2).split()
  plain = make_batch(EnvConfig("tests.envs.toys:counter"), 5, 7)
  assert [part.num_envs for part in parts] == [3, 2]
  whole = plain.reset()
  rows = [part.reset() for part in parts]
  rng = np.random.default_rng(0)
  for _ in range(9):
    np.testing.assert_array_equal(
      np.concatenate([row.observation["clock"] for row in rows]), whole.observation["clock"]
    )
    np.testing.assert_array_equal(np.concatenate([row.action for row in rows]), whole.action)
    actions = random_actions(plain.spec.action, rng, 5)
    parts[0].send(actions[:3])
    parts[1].send(actions[3:])
    whole = plain.step(actions)
    rows = [parts[0].receive(), parts[1].receive()]


def test_an_observation_lasts_until_the_second_next_send(start):
  envs = start("counter", 2, 1)
  first = envs.reset()
  envs.step(np.zeros((2, 2)))
  np.testing.assert_array_equal(first.observation["clock"][:, 0], 0)


def test_a_single_environment_is_not_split(start):
  envs = start("counter", 1, 1)
  assert envs.split() == [envs]


@pytest.mark.parametrize(
  "toy, options, account",
  [
    ("raising", {}, 'raise ZeroDivisionError("the pole is not upright")'),
    ("crashing", {}, "signal SIGSEGV"),
    ("crashing", {}, 'toys.py", line'),
    ("hanging", {"timeout": 3.0}, 'toys.py", line'),
  ],
)
def test_a_failure_ends_the_episodes_of_its_worker_and_nothing_else(start, caplog, toy, options, account):
  envs = start(toy, 4, 2, **options)
  survivors = {child.pid for child in processes()}
  envs.reset()
  before = envs.step(np.tile(SAFE, (4, 1)))
  clock = before.observation["clock"].copy()
  actions = np.stack([SAFE, BREAK, SAFE, SAFE])
  row = envs.step(actions)
  # Worker 1 has environments 1 and 3. Their last observation is shown again, and the episode is cut, not terminal.
  np.testing.assert_array_equal(row.is_last, [False, True, False, True])
  assert not row.is_terminal.any() and not row.is_first.any()
  np.testing.assert_array_equal(row.observation["clock"], clock + np.array([[1, 0], [0, 0], [1, 0], [0, 0]]))
  np.testing.assert_array_equal(row.action, actions)
  assert not row.reward[[1, 3]].any()
  assert envs.faults == 1 and len(survivors & {child.pid for child in processes()}) == 1
  assert "worker 1 (environments 1, 3)" in caplog.text and account in caplog.text

  row = envs.step(np.tile(SAFE, (4, 1)))
  np.testing.assert_array_equal(row.is_first, [False, True, False, True])
  np.testing.assert_array_equal(row.observation["clock"][:, 0], [3, 0, 3, 0])
  # The next episodes, which do not lead into the same failure.
  seeds = [episode_seed(seed, number) for seed, number in zip(derive_seeds(7, 4), [0, 1, 0, 1], strict=True)]
  np.testing.assert_array_equal(row.observation["clock"][:, 1], np.float32(seeds))
  assert [(episode.number, len(episode.actions)) for episode in envs.episodes()] == [(0, 3), (1, 0), (0, 3), (1, 0)]
  np.testing.assert_array_equal(envs.step(np.tile(SAFE, (4, 1))).observation["clock"][:, 0], [4, 1, 4, 1])


def test_a_failure_while_another_part_is_in_flight_ends_the_episodes_of_both(start):
  parts = start("crashing", 4, 1).split()
  for part in parts:
    part.reset()
    part.step(np.tile(SAFE, (2, 1)))
  parts[0].send(np.stack([BREAK, SAFE]))
  parts[1].send(np.tile(SAFE, (2, 1)))
  rows = [part.receive() for part in parts]
  assert all(row.is_last.all() for row in rows)
  rows = [part.step(np.tile(SAFE, (2, 1))) for part in parts]
  assert all(row.is_first.all() for row in rows) and parts[1].faults == 1


def test_a_worker_killed_between_steps_is_noticed_at_the_next(start):
  envs = start("counter", 2, 1)
  envs.reset()
  os.kill(processes()[0].pid, signal.SIGKILL)
  row = envs.step(np.zeros((2, 2)))
  assert row.is_last.all() and envs.step(np.zeros((2, 2))).is_first.all()


def test_a_failure_where_an_episode_begins_loses_nothing(start):
  envs = start("counter", 1, 1)
  os.kill(processes()[0].pid, signal.SIGKILL)
  row = envs.reset()
  assert row.is_first.all()
  # The episode that it failed in is not tried again.
  assert envs.episodes()[0].number == 1
  assert row.observation["clock"][0, 1] == np.float32(episode_seed(derive_seeds(7, 1)[0], 1))
  envs.reset()
  for _ in range(4):
    row = envs.step(np.zeros((1, 2)))
  assert row.is_last.all()
  os.kill(processes()[0].pid, signal.SIGKILL)
  assert envs.step(np.zeros((1, 2))).is_first.all()
  assert envs.faults == 2


def test_an_environment_that_fails_always_ends_the_run(start):
  envs = start("raising", 2, 1)
  envs.reset()
  with pytest.raises(
    EnvironmentFault, match=r"^worker 0 .* failed 5 times .*so: ZeroDivisionError: the pole is not upright$"
  ):
    for _ in range(20):
      envs.step(np.stack([SAFE, BREAK]))


def test_what_cannot_be_made_is_said_at_the_start(start):
  with pytest.raises(ValueError, match=r"(?s)could not be made in a worker.*no license left"):
    start("doomed", 2, 2)
  assert not processes()


def test_workers_whose_spec_is_known_are_waited_for_at_the_first_reset():
  spec = EnvSpec({"clock": ArraySpec((2,))}, ActionSpec(2))
  config, workers = EnvConfig("tests.envs.toys:counter"), WorkerConfig(2)
  plain = make_batch(config, 5, 7)
  with closing(make_batch(config, 5, 7, workers, spec=spec)) as envs:
    assert envs.spec == spec
    assert_equal_rows(envs.reset(), plain.reset())
  other = EnvSpec({"clock": ArraySpec((3,))}, ActionSpec(2))
  for toy, known, says in (
    ("doomed", spec, r"(?s)could not be made in a worker.*no license left"),
    ("counter", other, r"have the spec .*\(2,\).*\(3,\).* was expected"),
  ):
    envs = make_batch(EnvConfig(f"tests.envs.toys:{toy}"), 2, 7, workers, spec=known)
    with closing(envs), pytest.raises(ValueError, match=says):
      envs.reset()
  assert not processes()


@pytest.mark.parametrize(
  ("backend", "says"),
  [("egl", "frames are drawn on EGL's device 0, and 1 was asked for"), ("osmesa", "osmesa draws on none")],
)
def test_frames_that_are_drawn_on_another_device_are_noticed(backend: str, says: str):
  program = f"""
import os, sys
from dreamerax.envs.suites import rendering
rendering.adopt("egl")
rendering.check_device()  # nothing was asked for
sys.modules["dm_control._render"].BACKEND = "{backend}"
os.environ[rendering.DEVICE] = "1"
rendering.check_device()
"""
  environment = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
  done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
  assert done.returncode == 1 and says in done.stderr


def test_a_graphics_device_that_is_told_is_used():
  with closing(make_batch(EnvConfig("dmc/cartpole_balance"), 2, 0, WorkerConfig(1, gpus=(0,)))) as envs:
    assert envs.reset().observation["image"].std() > 0


def test_a_graphics_device_that_is_not_there_is_said_at_the_start():
  says = (
    r"^an environment could not be made in a worker process: it cannot draw on graphics device 99 .*mend workers.gpus$"
  )
  with pytest.raises(ValueError, match=says):
    make_batch(EnvConfig("dmc/cartpole_balance"), 2, 0, WorkerConfig(1, gpus=(99,)))


@pytest.mark.parametrize(("toy", "thread"), [("counter", False), ("deaf", True)])
def test_workers_end_with_the_process_that_started_them(toy: str, thread: bool):
  program = f"""
import threading, time
import numpy as np
from dreamerax.envs import EnvConfig, WorkerConfig, make_batch
def begin():
  global envs
  envs = make_batch(EnvConfig("tests.envs.toys:{toy}"), 2, 0, WorkerConfig(2))
  envs.reset()
if {thread}:  # which ends before the workers do
  other = threading.Thread(target=begin)
  other.start()
  other.join()
else:
  begin()
envs.send(np.full((2, 2), 0.5))
time.sleep(0.5)
print("ready", flush=True)
time.sleep(1000)
"""
  with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
    assert owner.stdout and owner.stdout.readline() == "ready\n"
    children = psutil.Process(owner.pid).children()
    assert len(children) == 2
    owner.kill()
  _, alive = psutil.wait_procs(children, timeout=20)
  assert not alive


def test_environments_are_closed_in_their_process(start, tmp_path, monkeypatch):
  monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
  envs = start("leaving", 3, 2)
  (tmp_path / "notes").unlink(missing_ok=True)  # that of the one that was checked
  seeds = envs.reset().observation["clock"][:, 1]
  envs.close()
  assert sorted(np.float32(line) for line in (tmp_path / "notes").read_text().split()) == sorted(seeds)
  assert not processes()


def test_closing_leaves_no_file_open():
  before = len(os.listdir("/proc/self/fd"))
  for _ in range(3):
    envs = make_batch(EnvConfig("tests.envs.toys:counter"), 2, 7, WorkerConfig(2))
    envs.reset()
    envs.close()
    envs.close()
    del envs  # the rows that it gave out may be read until here
  gc.collect()
  assert len(os.listdir("/proc/self/fd")) == before


def test_ctrl_c_reaches_the_owner_alone(start):
  envs = start("counter", 2, 1)
  envs.reset()
  assert os.getpgid(processes()[0].pid) != os.getpgid(0)


def test_send_and_receive_alternate(start):
  envs = start("counter", 2, 1)
  with pytest.raises(RuntimeError, match="without send"):
    envs.receive()
  envs.reset()
  envs.send(np.zeros((2, 2)))
  with pytest.raises(RuntimeError, match="without receive"):
    envs.send(np.zeros((2, 2)))
  assert envs.reset().is_first.all()  # drops it
  with pytest.raises(ValueError, match=r"\(3, 2\)"):
    envs.send(np.zeros((3, 2)))


def test_as_many_workers_as_cores_and_none_for_one_environment():
  cores = len(os.sched_getaffinity(0))
  assert WorkerConfig().processes(1) == 0
  assert WorkerConfig().processes(1000) == cores
  assert WorkerConfig(count=3).processes(2) == 2 and WorkerConfig(count=0).processes(2) == 0


@pytest.mark.parametrize("field, value", [("count", -1), ("timeout", 0.0), ("gpus", (0, -1))])
def test_settings_without_meaning_are_named(field, value):
  with pytest.raises(ValueError, match=f"workers.{field}="):
    WorkerConfig(**{field: value})
