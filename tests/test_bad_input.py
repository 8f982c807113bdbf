"""Files that people write or edit: whatever is in them, they are read, or a ValueError of one line says what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamerax import config_file, parts, presets
from dreamerax.config import from_dict, shown, to_dict
from dreamerax.presets import PRESETS
from dreamerax.recordings import EpisodeFolder
from dreamerax.recordings.folder import SPEC
from dreamerax.run_config import RunConfig
from dreamerax.run_directory import RunDirectory
from dreamerax.sweeps import spec
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition

_fuzz = settings(max_examples=60, deadline=None, print_blob=True, database=None)  # prints how a failure is repeated
_DEEP = "[" * 3000 + "]" * 3000
_numbers = st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**4000, 1e308, -1e-308, 5e-324])
_others = st.sampled_from(
  [None, True, [], {}, [1], [[1]], {"part": [1]}, {"part": None}, "", "a:b", ".x:y", "\0", "é\n"]
)
_nonfinite = st.sampled_from([float("inf"), float("-inf"), float("nan")])
_values = st.one_of(_numbers, _others, _nonfinite, st.integers(), st.floats(), st.text(max_size=5))


def check(read: Callable[[], Any]) -> None:
  """It is read, or is refused in a line that people can read."""
  try:
    read()
  except ValueError as error:
    assert 0 < len(str(error)) < 2000


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
  """Of every value in nested lists and dicts."""
  inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
  return [path, *(place for name, value in inner for place in places(value, (*path, name)))]


def put(data: Any, path: tuple[Any, ...], value: Any) -> Any:
  """A copy in which another value is at that place."""
  if not path:
    return value
  copy = data.copy()
  copy[path[0]] = put(data[path[0]], path[1:], value)
  return copy


RUNS = {name: to_dict(presets.build(name)) for name in PRESETS}
PLACES = {name: places(data) for name, data in RUNS.items()}


@_fuzz
@given(st.data())
def test_a_configuration_with_any_value_anywhere(data: st.DataObject):
  parts.import_all()
  name = data.draw(st.sampled_from(sorted(RUNS)))
  changed = put(RUNS[name], data.draw(st.sampled_from(PLACES[name])), data.draw(_values))
  check(lambda: from_dict(RunConfig, changed))


@pytest.mark.parametrize(
  ("path", "value", "message"),
  [
    (("agent", "part"), [1], r"no AgentConfig is called \[1\]"),
    (("agent", "behavior", "part"), None, "no Behavior is called None"),
    (("agent", "behavior"), None, "expected the fields of Behavior, got None"),
    (("agent", "optimizer", "learning_rate"), float("nan"), "learning_rate=nan: must be a finite number"),
    (("loop", "log_every"), float("inf"), "log_every=inf: must be a finite number"),
    pytest.param(("loop", "log_every"), 10**400, "log_every=1000.*: does not fit in 64 bits", id="float"),
    (("env_steps",), 2**64, "env_steps=18446744073709551616: does not fit in 64 bits"),
    pytest.param(("env_steps",), 10**5000, "env_steps=<int of too many digits>: does not fit", id="digits"),
    pytest.param(("env_steps",), "x" * 10**6, "env_steps='xxx.*xxx': must be of type int", id="long"),
  ],
)
def test_what_is_wrong_in_a_configuration_is_named(path: tuple[str, ...], value: Any, message: str):
  parts.import_all()
  with pytest.raises(ValueError, match=message) as caught:
    from_dict(RunConfig, put(RUNS["quick"], path, value))
  assert len(str(caught.value)) < 400


def test_a_value_is_shown_in_a_line_whatever_it_is():
  endless: list[Any] = []
  endless.append(endless)
  bomb: Any = "x" * 1000
  for _ in range(60):
    bomb = [bomb] * 9
  for value in (endless, bomb, 10**5000, {"a": bomb}, json.loads("[" * 300 + "]" * 300)):
    assert len(shown(value)) < 20_000


CONFIG = json.dumps({"preset": "quick", "spec": None, "checksum": "edited", "config": RUNS["quick"]})


@pytest.mark.parametrize(
  "content",
  [
    *(
      b"",
      b"\xff\xfe\xfa",
      b"null",
      b"[]",
      b"1" * 5000,
      _DEEP.encode(),
      b'{"preset": null, "config": ' + _DEEP.encode() + b"}",
    ),
    *(CONFIG.replace("null", text, 1).encode() for text in ("3", "[1]", '{"observation": [1]}')),
    *(CONFIG.replace('"quick"', text, 1).encode() for text in ("3", "[1]", "{}", "true")),
    *(CONFIG.replace('"spec"', f'"{name}": 3, "spec"').encode() for name in ("started", "continued", "earlier")),
  ],
  ids=lambda content: content[:20].decode(errors="replace"),
)
def test_a_config_file_with_anything_in_it(content: bytes, tmp_path: Path):
  path = tmp_path / config_file.CONFIG
  path.write_bytes(content)

  def read() -> None:
    _ = RunDirectory.open(tmp_path).spec

  with pytest.raises(ValueError, match=r"config\.json|^spec|^config"):
    read()


SWEEP = {
  "grids": [
    {
      "presets": ["quick"],
      "tasks": ["dmc/walker_walk"],
      "seeds": [0, 1],
      "options": {"num-envs": 3},
      "vary": {"schedule.ratio": [1, 2]},
      "name": "a",
      "resources": {"gpus": 0.5, "custom": {"disk": 1}},
    }
  ],
  "options": {"sync": True},
  "resources": {"cpus": 2, "memory": 1},
  "retries": 1,
}


@_fuzz
@given(st.sampled_from(places(SWEEP)), _values)
def test_a_sweep_with_any_value_anywhere(tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any):
  path = tmp_path_factory.getbasetemp() / "any.yaml"
  path.write_text(yaml.safe_dump(put(SWEEP, place, value)))
  check(lambda: spec.read(path))


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (_DEEP, "any.yaml is nested too deeply"),
    ("{grids: [{presets: [quick]}], resources: {gpus: .inf}}", "resources.gpus=inf: must be a finite number"),
    ("{grids: [{presets: [quick]}], resources: {gpus: .nan}}", "resources.gpus=nan: must be a finite number"),
    ("{grids: [{presets: [quick]}], resources: {custom: {disk: .inf}}}", "resources.disk=inf: must be a number"),
    ("{grids: [{presets: [quick]}], retries: 0x1" + "0" * 6000 + "}", "retries=<int of too many digits>"),
    ("{grids: [{presets: [quick]}], retries: 1" + "0" * 6000 + "}", "is not YAML: Exceeds the limit"),
    ("part: [1]", r"no Sweep is called \[1\]"),
    ("grids: !!bool maybe", "any.yaml is not YAML: 'maybe'"),
    ("grids: !!timestamp x", "any.yaml is not YAML"),
    ("grids: 2020-13-45", "any.yaml is not YAML: month must be"),
    ("{grids: [{presets: [quick], options: {a: {b: 1}}}]}", r"a=\{'b': 1\}: must be a finite number, a word"),
    ("{grids: [{presets: [quick], vary: {a: [.nan]}}]}", r"vary\.a=nan: must be a finite number, a word"),
    ("{grids: [{presets: [quick], vary: {3: [1]}}]}", "option 3: must be the name of an option"),
    ("a: &a [x, x]\nb: &b [*a, *a]\ngrids: [{presets: *b}]", r"any\.yaml\.a: Sweep of this version"),
  ],
)
def test_what_is_wrong_in_a_sweep_is_named(text: str, message: str, tmp_path: Path):
  path = tmp_path / "any.yaml"
  path.write_text(text)
  with pytest.raises(ValueError, match=message) as caught:
    spec.read(path)
  assert len(str(caught.value)) < 1000


def test_a_sweep_that_nobody_can_run_is_refused():
  numbers = list(range(100))
  with pytest.raises(ValueError, match="grids have 1,000,000 trials, and a sweep has 100,000 at most"):
    spec.Sweep(grids=(spec.Grid(presets=("quick",), vary={"a": numbers, "b": numbers, "c": numbers}),))


@pytest.mark.parametrize(
  "text", ["1 / 0", "import sys; sys.exit()", "def", "raise RecursionError", "\0", "sweep = [[]] * 99"]
)
def test_a_program_that_fails_is_the_mistake_of_who_wrote_it(text: str, tmp_path: Path):
  path = tmp_path / "spec.py"
  path.write_text(text)
  with pytest.raises(ValueError, match=r"spec\.py"):
    spec.read(path)


def test_a_sweep_that_is_no_text_or_no_file_is_named(tmp_path: Path):
  path = tmp_path / "spec.yaml"
  path.write_bytes(b"\xff\xfe\xfa")
  with pytest.raises(ValueError, match=r"spec\.yaml is not YAML: 'utf-8' codec"):
    spec.read(path)
  with pytest.raises(FileNotFoundError, match="is no regular file"):
    spec.read(tmp_path)


SHOWN = EnvSpec({"vector": ArraySpec((2,))}, ActionSpec(1))


def episode_folder(path: Path) -> EpisodeFolder:
  """One that holds an episode of three steps."""
  folder, zeros = EpisodeFolder.create(path, SHOWN), np.zeros(3, np.float32)
  first, last = np.array([True, False, False]), np.array([False, False, True])
  folder.write(Transition({"vector": np.zeros((3, 2), np.float32)}, zeros[:, None], zeros, first, last, last))
  return folder


@_fuzz
@given(st.data())
def test_a_recording_whose_spec_has_any_value_anywhere(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
  path = tmp_path_factory.getbasetemp() / "any spec"
  if not path.exists():
    episode_folder(path)
    (path / SPEC).rename(path / "whole.json")
  whole = json.loads((path / "whole.json").read_text())
  (path / SPEC).write_text(json.dumps(put(whole, data.draw(st.sampled_from(places(whole))), data.draw(_values))))
  check(lambda: EpisodeFolder(path).read_all())


@_fuzz
@given(st.data())
def test_an_episode_with_any_bytes_changed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
  path = tmp_path_factory.getbasetemp() / "any episode"
  folder = EpisodeFolder(path) if path.exists() else episode_folder(path)
  if not (path / "whole").exists():
    folder.files()[0].rename(path / "whole")
  content = bytearray((path / "whole").read_bytes())
  for _ in range(data.draw(st.integers(1, 3))):
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
  (path / "episode-000000.npz").write_bytes(content[: data.draw(st.integers(0, len(content)))])
  check(lambda: folder.read_all())


@pytest.mark.parametrize("content", ["[" * 3000, "{}", "null", '{"format": 1e999}', "1" * 5000])
def test_a_recording_whose_spec_is_something_else_is_named(content: str, tmp_path: Path):
  episode_folder(tmp_path)
  (tmp_path / SPEC).write_text(content)
  with pytest.raises(ValueError, match=SPEC):
    EpisodeFolder(tmp_path)
