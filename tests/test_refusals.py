"""Whatever a person types or a file holds: the command does it, or refuses it in one line with an exit status."""

import copy
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tyro._errors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamerax import cli, presets
from dreamerax.commands import refusals, train
from dreamerax.commands.options import Options, whole
from dreamerax.config import from_dict, to_dict
from dreamerax.own_code import account
from dreamerax.run_config import RunConfig
from tests.conftest import ROOT

OPTIONS = sorted(Options(train.defaults(None, size=None, logdir=None)[0], ()).known())
NUMBERS = ["0", "-1", "1", "7", "1e5", "100k", "-5k", "1.5", "1e-3", "nan", "inf", "-inf", "1e999", "0x10", str(2**63)]
NUMBERS += [str(2**64), "9" * 5000, "1_0", "1e400000000", "--", "-", "None", "True", "[1]", "null"]
WORDS = [
  "",
  " ",
  "image",
  "gym/",
  "dmc/",
  ":",
  ".x:y",
  "a b",
  "é",
  "\udcff",
  "a\nb",
  "{}",
  "x" * 5000,
  "../..",
  "/dev/null",
]
quickly = settings(
  deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

values = st.sampled_from(NUMBERS + WORDS) | st.text(max_size=8) | st.integers().map(str) | st.floats().map(str)
lines = st.lists(st.tuples(st.sampled_from(OPTIONS), st.lists(values, max_size=2)), max_size=3)


def one_line(status: int, capsys: pytest.CaptureFixture[str]) -> str:
  """What was refused; the test fails where it is more than a line, or none."""
  said = capsys.readouterr().err
  assert "Traceback" not in said and "This is a bug" not in said, said
  assert status == 0 or (status in (1, 2) and len(said.splitlines()) == 1), (status, said)
  return said


@given(lines)
@settings(quickly, max_examples=12)
def test_any_options_make_a_run_or_a_line(typed: list[tuple[str, list[str]]]):
  arguments = [word for option, words in typed for word in (option, *words)]
  try:
    config = cli.read_run(arguments)
  except (ValueError, OSError) as error:  # OSError: of a file that --config or --logdir names
    assert str(error).strip()
  except SystemExit as end:
    assert not end.code and {"-h", "--help"} & set(arguments)
  else:
    assert isinstance(config, RunConfig)


def test_the_private_part_of_tyro_is_of_the_one_version_that_is_asked_for():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  (wanted,) = [line for line in project["dependencies"] if line.startswith("tyro")]
  assert wanted == f"tyro=={importlib.metadata.version('tyro')}", "try every refusal with a new version, then name it"
  fields = {"UnrecognizedArgs": "tokens", "MissingArgs": "missing_arguments", "InvalidChoice": "choices"}
  for event, field in {**fields, "BadValue": "argument", "InstantiationFailure": "message"}.items():
    found = getattr(tyro._errors, event, None)
    assert found is not None and field in found.__dataclass_fields__, f"tyro has moved _errors.{event}.{field}"
  assert callable(tyro._errors.on_parse_error)


@given(st.integers(-(2**63), 2**64 - 1))
def test_every_whole_number_of_64_bits_is_read(number: int):
  assert whole(str(number)) == whole(f"{number:_}") == number


@given(st.text(max_size=12) | st.sampled_from(NUMBERS))
def test_any_text_is_a_whole_number_or_refused(text: str):
  try:
    assert isinstance(whole(text), int)
  except ValueError as error:
    assert "number" in str(error) or "64 bits" in str(error)


@pytest.mark.parametrize("command", ["eval", "compare", "plot", "video", "dream", "export", "doctor", "sweep"])
@pytest.mark.parametrize(
  "name", ["missing", "empty", "folder", "binary", "a" * 300, "loop", "binary/below", "folder.yaml"]
)
def test_any_place_is_refused_in_a_line(command: str, name: str, capsys, monkeypatch, tmp_path: Path):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "empty").touch()
  (tmp_path / "folder").mkdir()
  (tmp_path / "folder.yaml").mkdir()
  (tmp_path / "binary").write_bytes(bytes(range(256)))
  (tmp_path / "loop").symlink_to("loop")
  status = cli.main([command, name])
  assert status in (1, 2)
  if command != "doctor":  # whose findings are its output
    one_line(status, capsys)


@pytest.mark.parametrize(
  "text",
  [b"\xff\xfe", b"", b"null", b"[1]", b"{}", b"[" * 1100, b"a: &a [*a]", b"grids: 1", b"grids: [[1]]",
   b"grids: [{presets: [quick], seeds: [.inf]}]", b"grids: [{presets: [quick]}]\nresources: {gpus: .inf}",
   b"grids: [{presets: [quick], seeds: [18446744073709551616]}]", b"grids: [{presets: [quick], options: {1: 2}}]",
   b"grids: [{presets: [quick], vary: {num-envs: [{}]}}]", b"\x00", b"a: b: c", b"!!python/object:os.system {}"],
)  # fmt: skip
def test_any_sweep_is_checked_in_a_line(text: bytes, capsys, monkeypatch, tmp_path: Path):
  monkeypatch.chdir(tmp_path)
  Path("spec.yaml").write_bytes(text)
  status = cli.main(["sweep", "spec.yaml", "--dry-run"])
  assert status == 2
  one_line(status, capsys)


def _paths(data: Any, path: tuple = ()) -> list[tuple]:
  """Of everything in nested dicts and lists."""
  items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
  return [path, *(each for key, value in items for each in _paths(value, (*path, key)))]


STORED = {"preset": "quick", "config": to_dict(presets.build("quick"))}
odd = st.sampled_from([None, [], {}, [1], "", "x", True, -1, 0, 2**63, 2**64, float("nan"), float("inf"), 1e308])


@given(st.lists(st.tuples(st.sampled_from([p for p in _paths(STORED) if p]), odd), min_size=1, max_size=2))
@settings(quickly, max_examples=80)
def test_any_config_is_read_or_refused_in_a_line(changes: list[tuple[tuple, Any]]):
  data = copy.deepcopy(STORED)
  for path, value in changes:
    node: Any = data
    for key in path[:-1]:
      node = node[key] if isinstance(node, dict) and key in node else {}
    if isinstance(node, dict):
      node[path[-1]] = value
  try:
    from_dict(RunConfig, data["config"])
  except ValueError as error:
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_output_that_cannot_be_written_is_no_crash(where: str):
  done = subprocess.run(
    ["bash", "-c", f"{sys.executable} -m dreamerax --help >{where}"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == done.returncode


def test_output_in_ascii_ends_no_command():
  line = [sys.executable, "-m", "dreamerax", "check-env", "gym/CartPole-v1"]
  environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
  done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
  assert done.returncode == 0 and "Nothing is wrong." in done.stdout, done.stderr


def test_code_that_exits_is_no_success(capsys):
  assert cli.main(["check-env", "sys:exit"]) == 2
  assert "ended it by sys.exit" in one_line(2, capsys)


_WITHOUT_RIGHTS = """
import os, sys
from dreamerax import cli
root = sys.argv[1]
for line in (
  "eval {}/secret", "plot {}/secret", "compare {}/secret", "export {}/secret", "sweep {}/secret.yaml",
  "train --logdir {}/secret/run", "train --logdir {}/run", "train-world-model --data {}/secret",
  "record --task gym/CartPole-v1 --episodes 1 --num-envs 1 --out {}/episodes",
  *(f"{command} {{}}/{name}" for name in ("secret", "listed", "entered") for command in ("doctor", "runs", "dream", "video")),
  "train --config {}/listed", "compare {}/listed", "eval {}/entered", "eval latest",
):
  os.chdir(root)
  print(line, cli.main(line.format(root).split()), flush=True)
"""


def as_others() -> list[str]:
  """What starts a program to which permissions apply: to root they do not."""
  if os.getuid() != 0:
    return []
  if shutil.which("setpriv") is None:
    pytest.skip("permissions do not apply to root")
  return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


@pytest.mark.slow
def test_a_user_without_rights_is_told_in_a_line(tmp_path: Path):
  modes = {"secret": 0, "listed": 0o444, "entered": 0o111, "runs": 0}
  for name, mode in modes.items():
    (tmp_path / name).mkdir()
    (tmp_path / name / "config.json").write_text(json.dumps(STORED))
    (tmp_path / name).chmod(mode)
  (tmp_path / "secret.yaml").write_text("grids: [{presets: [quick]}]")
  (tmp_path / "secret.yaml").chmod(0)
  tmp_path.chmod(0o555)
  done = subprocess.run(
    [*as_others(), sys.executable, "-c", _WITHOUT_RIGHTS, str(tmp_path)],
    cwd=ROOT,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  for path in (*(tmp_path / name for name in modes), tmp_path):
    path.chmod(0o755)
  assert done.returncode == 0, done.stderr
  assert "Traceback" not in done.stderr, done.stderr
  refused = [line for line in done.stderr.splitlines() if line.startswith("dreamerax ")]
  assert all(line.endswith((" 1", " 2")) for line in done.stdout.splitlines()), done.stdout
  assert len(refused) == len(done.stdout.splitlines()) == 25, done.stdout + done.stderr
  assert all("Permission denied" in line for line in refused), done.stderr


def test_a_line_is_short_and_printable_whatever_code_of_others_has_said():
  class Odd(Exception):
    def __str__(self) -> str:
      raise TypeError

  assert account(Odd()) == "Odd"
  refusal = refusals.explain(ValueError(f"begins{chr(27)}[2J\n{'x' * 10**6}\udcff ends"))
  assert refusal is not None and refusal.line.isprintable() and len(refusal.line) < 5000
  assert refusal.line.startswith("begins") and refusal.line.endswith("ends")
