"""Every benchmark of training runs once, small, and prints what the documentation promises."""

import json
from dataclasses import replace

import jax.numpy as jnp
import pytest
from jax.profiler import ProfileData

from benchmarks import common, end_to_end, launches, seeds, soak, update
from dreamerax import presets
from dreamerax.presets import Preset
from dreamerax.run_config import RunConfig
from tests import tiny


def build(size: str) -> RunConfig:
  quick = presets.build("quick")
  return replace(
    quick,
    size=size,
    num_envs=2,
    agent=tiny.config(),
    env=replace(quick.env, image_size=12),
    loop=replace(quick.loop, prefill_steps=20),
  )


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setitem(presets.PRESETS, "tiny", Preset("for tests", build, ("xs",), "xs"))


def only_row(capsys: pytest.CaptureFixture[str]) -> dict:
  (line,) = capsys.readouterr().out.splitlines()
  return json.loads(line)


def test_update(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setitem(update.GFLOP_PER_STEP, ("tiny", "xs", 16), 0.5)
  update.main(
    ["--preset", "tiny", "--size", "xs", "--batch", "2", "--length", "4", "--repeats", "2", "--image-size", "16"]
  )
  row = only_row(capsys)
  assert (row["benchmark"], row["size"], row["image_size"], row["batch"], row["length"]) == ("update", "xs", 16, 2, 4)
  assert 0 < row["min"] <= row["seconds_per_update"] <= row["max"]
  assert row["images_per_second"] == pytest.approx(8 / row["seconds_per_update"])
  assert row["gflop"] == 4.0
  share = 4.0 / row["matmul_gflop_per_second"] / row["seconds_per_update"]
  assert row["share_of_matmul"] == pytest.approx(share)
  assert row["compile_seconds"] > 0 and row["machine"]["devices"]


TRACE = """
planes { name: "/host:CPU" lines { name: "Stream #1" events { duration_ps: 9 } } }
planes {
  name: "/device:GPU:0"
  lines { name: "XLA Ops" events { duration_ps: 9 } }
  lines { name: "Stream #14(Compute)" events { duration_ps: 5 } events { offset_ps: 7 duration_ps: 1 } }
  lines { name: "Stream #15(MemcpyD2D)" events { duration_ps: 3 } }
}
planes { name: "/device:GPU:1" lines { name: "Stream #14(Compute)" events { duration_ps: 5 } } }
"""


def test_what_gpus_started_is_counted_in_their_traces():
  assert launches.count(ProfileData.from_serialized_xspace(ProfileData.text_proto_to_serialized_xspace(TRACE))) == 4


def test_a_function_starts_nothing_on_gpus_where_there_are_none():
  assert launches.launches(lambda: jnp.ones(3) + 1) == 0


@pytest.mark.slow
def test_seeds(capsys: pytest.CaptureFixture[str]):
  seeds.main(["--preset", "tiny", "--seeds", "2", "--batch", "2", "--length", "4", "--repeats", "2"])
  row = only_row(capsys)
  assert (row["benchmark"], row["size"], row["seeds"], row["batch"], row["length"]) == ("seeds", "xs", 2, 2, 4)
  assert 0 < row["together_min"] <= row["seconds_together"] <= row["together_max"]
  assert row["gain"] == pytest.approx(row["seconds_one_by_one"] / row["seconds_together"])


@pytest.mark.slow
def test_end_to_end(capsys: pytest.CaptureFixture[str]):
  line = "--preset tiny --task dmc/cartpole_balance --envs 2 --batch 2 --length 4 --ratio 2 --seconds 0.5"
  end_to_end.main(line.split())
  row = only_row(capsys)
  assert (row["benchmark"], row["size"], row["envs"], row["batch"]) == ("end_to_end", "xs", 2, 2)
  for name in ("acting_env_steps_per_second", "training_env_steps_per_second", "updates_per_second"):
    assert row[name] > 0
  assert row["seconds_to_first_update"] > 0 and row["peak_memory_gb"] > 0.1


def test_the_table_is_readable_at_eighty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setenv("COLUMNS", "80")
  wide = {f"quite_a_long_name_{i}": i / 7 for i in range(12)}
  common.report([wide | {"size": "1m", "machine": {}}, wide | {"size": "12m", "machine": {}}])
  table = capsys.readouterr().err
  assert max(len(line) for line in table.splitlines()) <= 80
  assert "12m" in table and "…" not in table
  common.report([wide])
  table = capsys.readouterr().err
  assert all(name in table for name in wide)
  common.report([{"size": "1m", "seconds": 1.0}, {"size": "12m", "seconds": 2.0}])
  assert "seconds" in capsys.readouterr().err


@pytest.mark.slow
def test_soak(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(soak, "FAULTS", {name: soak.FAULTS[name] for name in ("worker killed", "trainer killed")})
  assert soak.main(["--minutes", "2.5"]) == 0
  *faults, memory = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
  assert {row["fault"] for row in faults} == {"worker killed", "trainer killed"}
  assert all(row["survived"] > 0 for row in faults)
  assert memory["env_steps"] > 0 and memory["memory_mib"] > 100
