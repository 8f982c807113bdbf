"""config.json: what is written, what is noticed, and what an older one lacks."""

import json
from pathlib import Path

import pytest

from dreamerax import presets, run_directory
from dreamerax.runtime.checkpoint_folder import FOLDER
from dreamerax.runtime.saved import SAVED, Saved
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

SPEC = EnvSpec({"image": ArraySpec((16, 16, 3), "uint8")}, ActionSpec(2))


def write(logdir: Path, **changes) -> str:
  config = presets.build("quick", None)
  return run_directory.write_config(type(config)(**{**vars(config), **changes}), SPEC, logdir, "quick").checksum


def save(logdir: Path, checksum: str) -> None:
  folder = logdir / FOLDER / "10"
  folder.mkdir(parents=True, exist_ok=True)
  (folder / SAVED).write_text(json.dumps({"saved": Saved.nothing(0)._replace(config=checksum).to_json()}))


def edit(logdir: Path, **changes) -> None:
  path = logdir / "config.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_that_goes_on_alike_writes_nothing(tmp_path: Path):
  write(tmp_path)
  before = (tmp_path / "config.json").stat()
  write(tmp_path)
  assert (tmp_path / "config.json").stat() == before


def test_checkpoints_of_earlier_settings_stay_known(tmp_path: Path):
  first = write(tmp_path)
  save(tmp_path, first)
  assert write(tmp_path, env_steps=77_000) != first
  run_directory.check_checkpoints_know_config(tmp_path)
  edit(tmp_path, checksum="edited", preset="mine")
  run_directory.check_checkpoints_know_config(tmp_path)
  last = write(tmp_path, env_steps=78_000)
  run_directory.check_checkpoints_know_config(tmp_path)
  save(tmp_path, last)
  run_directory.check_checkpoints_know_config(tmp_path)
  save(tmp_path, "another")
  with pytest.raises(ValueError, match=r"config\.json is not the one that the newest checkpoint was saved with"):
    run_directory.check_checkpoints_know_config(tmp_path)


def test_every_digit_is_under_the_checksum(tmp_path: Path):
  write(tmp_path)
  path = tmp_path / "config.json"
  text = path.read_bytes()
  for place in [i for i, byte in enumerate(text) if chr(byte).isdigit()]:
    flipped = bytearray(text)
    flipped[place] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"config\.json is not"):
      run_directory.read_config(tmp_path)


def test_a_config_of_an_older_version_is_read_and_gets_its_records(tmp_path: Path):
  write(tmp_path)
  data = json.loads((tmp_path / "config.json").read_text())
  old = {name: data[name] for name in ("preset", "spec", "config")}
  (tmp_path / "config.json").write_text(json.dumps(old))
  save(tmp_path, "")
  run_directory.check_checkpoints_know_config(tmp_path)
  assert run_directory.load_config(tmp_path) == presets.build("quick", None)
  write(tmp_path)
  new = json.loads((tmp_path / "config.json").read_text())
  assert new["started"] is None and new["continued"][0]["version"] == data["started"]["version"]
  write(tmp_path)
  assert json.loads((tmp_path / "config.json").read_text()) == new


def test_a_config_that_leads_elsewhere_is_refused(tmp_path: Path):
  write(tmp_path / "mine")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "config.json").symlink_to(tmp_path / "mine" / "config.json")
  with pytest.raises(ValueError, match=r"run/config\.json is a symbolic link"):
    run_directory.read_config(tmp_path / "run")
