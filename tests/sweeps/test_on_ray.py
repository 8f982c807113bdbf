"""The same sweeps on a Ray of this machine alone."""

from pathlib import Path

import psutil
import pytest

from dreamerax.sweeps.on_ray import OnRay
from dreamerax.sweeps.process import Job
from dreamerax.sweeps.spec import Resources
from tests.conftest import error_without_ray, run_apart
from tests.sweeps.pretended import TOTAL, attempts, sweep


def check(folder: Path) -> None:
  """In a process of its own, as Ray reads its settings when it is imported."""
  pool = OnRay("local", grace=1.0)
  try:
    listening = {
      connection.laddr.ip
      for process in psutil.Process().children(recursive=True)
      for connection in process.net_connections()
      if connection.status == psutil.CONN_LISTEN
    }
    assert listening and listening <= {"127.0.0.1", "::ffff:127.0.0.1"}, listening
    assert pool.check(Resources(cpus=0.5)) is None
    assert "CPU 0.5, GPU 1000" in (pool.check(Resources(cpus=0.5, gpus=1000)) or "")
    many = pool.check(Resources(cpus=0.5, hosts=10_000)) or ""
    assert "of resources.hosts=10000 with CPU 0.5 each" in many
    assert pool.check(Resources(cpus=0.5, hosts=2)) is None
    manifest = sweep(folder, {"crashes": "once", "mistaken": "refuse"}, pool, retries=1)
    found = {name: (record.state, record.attempts) for name, record in manifest.items()}
    assert found == {"crashes": ("finished", 2), "mistaken": ("failed", 1)}
    assert manifest["crashes"].env_steps == TOTAL and manifest["mistaken"].reason.endswith("must be at least 1")
    check_death_of_actor(folder / "node", pool)
    check_death_of_host(folder / "hosts", pool)
  finally:
    pool.close()


def check_death_of_actor(folder: Path, pool) -> None:
  """With the actor its attempt ends, and another one goes on; both were begun once."""
  import threading
  import time

  def kill_owner():
    while not (folder / "trial" / "metrics.jsonl").exists():
      time.sleep(0.02)
    psutil.Process(attempts(folder, "trial")[0]).parent().kill()

  threading.Thread(target=kill_owner).start()
  record = sweep(folder, {"trial": "wait"}, pool, retries=1)["trial"]
  assert (record.state, record.attempts, record.env_steps) == ("finished", 2, TOTAL)
  assert len(attempts(folder, "trial")) == 2


def check_death_of_host(folder: Path, pool) -> None:
  """Where an actor is lost, the other host, which notices nothing, is ended too, and what both had is free again."""
  import time

  from ray.util import placement_group_table

  folder.mkdir()
  program = "import os, sys, time; open(sys.argv[-1], 'w').write(f'{os.getpid()} '); time.sleep(600)"
  pool.submit(Job("trial", ("-S", "-c", program), str(folder), TOTAL, str(folder), Resources(cpus=0.5, hosts=2)))
  events, pids = [], {}
  while pool.busy:
    events += pool.poll()
    if events and not pids and all((folder / name).exists() and (folder / name).read_text() for name in "01"):
      pids = {name: psutil.Process(int((folder / name).read_text())) for name in "01"}
      pids["1"].parent().kill()
    time.sleep(0.05)
  assert [event.kind for event in events] == ["began", "crashed"], events
  psutil.wait_procs(pids.values(), timeout=10)
  assert not any(process.is_running() for process in pids.values())
  assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}


def test_a_local_ray_runs_a_sweep_and_listens_on_loopback_alone(tmp_path: Path):
  program = (
    f"from pathlib import Path; from tests.sweeps import test_on_ray; test_on_ray.check(Path({str(tmp_path)!r}))"
  )
  run_apart(program, timeout=240)


def test_without_ray_the_extra_is_named(tmp_path: Path):
  error = error_without_ray("from dreamerax.sweeps.on_ray import OnRay; OnRay('local')", tmp_path)
  assert "ValueError: --ray local needs Ray: pip install 'dreamerax[ray]'" in error


@pytest.mark.parametrize(
  "address", ["127.0.0.1:9", "ray://127.0.0.1:9", "no.such.host.invalid:6379", "127.0.0.1:99999"]
)
def test_where_nobody_answers_is_told_at_once(address: str):
  with pytest.raises(ValueError, match=f"--ray {address}: nobody answers"):
    OnRay(address)
