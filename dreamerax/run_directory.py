"""A run directory's config.json: what is in it, and whether a run may go on with it."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dreamerax import config_format, envs, files, parts, provenance
from dreamerax.config import first_difference, from_dict, shown, to_dict
from dreamerax.config_format import EDITED
from dreamerax.envs import violations
from dreamerax.own_code import NOBODY, NotTrusted, Stored, Trust, Trusted
from dreamerax.run_config import RunConfig
from dreamerax.runtime.checkpoint.folder import FOLDER, read_saved
from dreamerax.runtime.checkpoint.metadata import ConfigFile
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

CONFIG = "config.json"
INITIAL = "init_world_model"  # in config.json: the run directory that the world model's first parameters came from
RECORDED = "recorded"  # in config.json: what a world model that was trained alone was trained on
_CHECKSUM, _EARLIER = "checksum", "earlier"
_MEND_CONFIG = (
  f'restore it, or, if you have changed it on purpose, write "{_CHECKSUM}": "{EDITED}" into it, and the run goes on with what '
  "it says"
)
# What is read of config.json, beside the configuration.
_KINDS: Mapping[str, type | tuple[type, ...]] = {
  "preset": (str, type(None)),
  "spec": (dict, type(None)),
  "started": (dict, type(None)),
  "continued": list,
  INITIAL: str,
  _EARLIER: list,
}
_SHOWN = ("preset", "config", "spec")  # in config.json: their words get into terminals, tables and pictures
_SEED_DIR = "seed-"  # and the seed: a run directory among those of several seeds
# Of a run that goes on: its length, how it is watched, where environments and updates are computed.
_MAY_CHANGE = ("env_steps", "loop", "workers", "mesh")


def check_started_as(run_dir: str | Path, preset: str | None, size: str | None) -> None:
  """Whether a run was started with what is asked for; None asks for nothing.

  Raises:
    ValueError: it was started with another preset or size. Also what `load_config` raises.
  """
  for name, asked, stored in (("preset", preset, load_preset(run_dir)), ("size", size, load_size(run_dir))):
    if asked not in (None, stored):
      raise ValueError(f"{name}={asked!r}: the run in {run_dir} was started with {stored!r}; choose another --logdir")


def load_size(run_dir: str | Path) -> Any:
  """The model size that a run was started with."""
  config = read_config(Path(run_dir))["config"]
  return config.get("size") if isinstance(config, dict) else None


def read_config(run_dir: Path) -> dict[str, Any]:
  """What config.json holds: "preset", "config", and what else there is.

  Args:
    run_dir: the directory, or a config.json by itself.

  Raises:
    FileNotFoundError: there is no run. PermissionError: this user may not read it.
    ValueError: it cannot be read, or the directory holds a symbolic link.
  """
  path = run_dir if run_dir.is_file() else run_dir / CONFIG
  try:
    os.lstat(path)  # os.path.lexists takes what may not be read for missing
  except (FileNotFoundError, NotADirectoryError):
    raise FileNotFoundError(f"{run_dir} is not a run directory: it has no {CONFIG}") from None
  if path is not run_dir:
    files.refuse_links(run_dir)
  text = files.read_regular(path)
  try:
    data = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{path} is not JSON ({error}): restore it, or choose another --logdir") from error
  if isinstance(data, dict):
    config_format.check(data, path)
  if not isinstance(data, dict) or not {"preset", "config"} <= data.keys():
    raise ValueError(f"{path} was not written by dreamerax: choose another --logdir")
  for name, kinds in _KINDS.items():
    if name in data and not isinstance(data[name], kinds):
      raise ValueError(f"{path}: {name}={shown(data[name])} is not what dreamerax writes: {_MEND_CONFIG}")
  odd = next((text for name in _SHOWN for text in _texts(data.get(name)) if not text.isprintable()), None)
  if odd is not None:
    raise ValueError(f"{path}: {shown(odd)} has characters that are not printed: {_MEND_CONFIG}")
  if path != run_dir and data.get(_CHECKSUM) not in (None, EDITED, _checksum(data)):
    raise ValueError(f"{path} is not as it was written: {_MEND_CONFIG}")
  return config_format.current(data)


def _texts(data: Any) -> Iterator[str]:
  """All strings in nested lists and dicts, keys included."""
  if isinstance(data, str):
    yield data
  for value in (*data, *data.values()) if isinstance(data, dict) else data if isinstance(data, list) else ():
    yield from _texts(value)


def load_config(run_dir: str | Path, trust: Trusted = NOBODY) -> RunConfig:
  """The configuration that a run was started with.

  Args:
    trust: code of a person's own that may run because the configuration names it: packages, modules, `module:name`, or
      True for whatever it names. A task that is not among it cannot be made.

  Raises:
    FileNotFoundError: there is no run. ValueError: names the field that this version cannot read.
    NotTrusted: a part of the run is of a module that is not trusted.
  """
  parts.import_all()
  stored, trust = read_config(Path(run_dir)), Trust.of(trust)
  try:
    with config_format.naming_the_writer(stored):
      return from_dict(RunConfig, stored["config"], trust=trust)
  except NotTrusted as error:
    raise NotTrusted(error.paths | _paths_of(stored["config"], trust)) from error


def load_outline(run_dir: str | Path) -> RunConfig:
  """A run's configuration for those who describe it: `agent` is what is stored, and no part of it is made.

  Raises:
    FileNotFoundError: there is no run. ValueError: names the field that this version cannot read.
  """
  stored = read_config(Path(run_dir))
  data = stored["config"]
  rest = {name: value for name, value in data.items() if name != "agent"} if isinstance(data, dict) else data
  parts.import_all()
  with config_format.naming_the_writer(stored):
    outline = from_dict(RunConfig, rest, complete=False)
  return dataclasses.replace(outline, agent=data.get("agent"))


def _paths_of(data: Any, trust: Trust) -> set[str]:
  """The import paths in a configuration that are not trusted: its task, and parts of a person's own."""
  if isinstance(data, list):
    return set().union(*(_paths_of(item, trust) for item in data))
  if not isinstance(data, dict):
    return set()
  named = {value for name, value in data.items() if name in ("part", "task") and isinstance(value, str)}
  return {path for path in named if isinstance(trust.read(path), Stored)}.union(
    *(_paths_of(value, trust) for value in data.values())
  )


def load_preset(run_dir: str | Path) -> str | None:
  """The name of the preset that a run was started with, where it is known."""
  return read_config(Path(run_dir))["preset"]


def write_config(config: RunConfig, spec: EnvSpec, logdir: Path, preset: str | None, **more: Any) -> ConfigFile:
  """Writes config.json, where it would change. more: what it holds besides.

  "started" describes the process that began the run, "continued" those that went on with another version, commit or device.
  "checksum" is of all else, and "earlier" has the checksums that checkpoints of this run may have stored.

  Raises:
    ValueError: it cannot be written.
  """
  stored = read_config(logdir) if os.path.lexists(logdir / CONFIG) else {}
  data = config_format.stamped(
    {"preset": preset, **_history(stored), "spec": spec_to_dict(spec), **more, "config": to_dict(config)}
  )
  earlier = stored.get(_EARLIER, [])
  if stored.get(_CHECKSUM) != _checksum({**data, _EARLIER: earlier}):
    known = [saved.config for saved in read_saved(logdir / FOLDER)] + [stored.get(_CHECKSUM, "")]
    earlier = list(dict.fromkeys([*earlier, *(each for each in known if each not in ("", EDITED))]))
  data[_EARLIER] = earlier
  data[_CHECKSUM] = _checksum(data)
  text = json.dumps(data, indent=2) + "\n"
  try:
    logdir.mkdir(parents=True, exist_ok=True)
    files.write_whole(logdir / CONFIG, text)
  except OSError as error:
    raise ValueError(f"logdir={logdir} cannot be written ({error}): choose another --logdir") from error
  return ConfigFile(data[_CHECKSUM], text)


def check_checkpoints_know_config(logdir: Path) -> None:
  """Whether the newest checkpoint was saved with the config.json that is there.

  Raises:
    ValueError: it was not. Also what `read_config` raises.
  """
  data = read_config(logdir)
  newest = next((saved.config for saved in read_saved(logdir / FOLDER)), "")
  if newest and data.get(_CHECKSUM) not in (EDITED, newest) and newest not in data.get(_EARLIER, []):
    raise ValueError(f"{logdir / CONFIG} is not the one that the newest checkpoint was saved with: {_MEND_CONFIG}")


def _history(stored: Mapping[str, Any]) -> dict[str, Any]:
  """Which processes have trained, this one included."""
  this, continued = provenance.describe(), list(stored.get("continued", []))
  if not stored:
    return {"started": this, "continued": []}
  last = continued[-1] if continued else stored.get("started") or {}
  if not provenance.is_same(last, this):
    continued.append(this)
  return {"started": stored.get("started"), "continued": continued}


def _checksum(data: Mapping[str, Any]) -> str:
  """Of what config.json says, however it is laid out."""
  rest = {name: value for name, value in data.items() if name != _CHECKSUM}
  return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def check_same_run(config: RunConfig, logdir: Path) -> None:
  """Whether `config` could go on with what `logdir` holds; anything could where it holds no run.

  Raises:
    ValueError: it holds a symbolic link, a run with another configuration (the first field that differs is named), or one
      that does not act.
  """
  files.refuse_links(logdir)
  if not (logdir / CONFIG).exists():
    return
  check_acts(logdir)
  check_same_config(config, logdir)


def check_acts(run_dir: str | Path) -> None:
  """
  Raises:
    ValueError: the run trained a world model alone.
  """
  if RECORDED in read_config(Path(run_dir)):
    raise ValueError(
      f"{run_dir} holds a world model that was trained alone: begin a run from it with --init-world-model {run_dir} and "
      "another --logdir"
    )


def check_same_config(config: RunConfig, logdir: Path) -> None:
  """`check_same_run` of a directory that holds a run of the same kind."""
  check_checkpoints_know_config(logdir)
  stored = load_config(logdir)
  for name in (field.name for field in dataclasses.fields(config) if field.name not in _MAY_CHANGE):
    difference = first_difference(getattr(stored, name), getattr(config, name), name)
    if difference:
      raise ValueError(differs(difference, logdir))


def differs(difference: tuple[str, Any, Any], logdir: Path) -> str:
  """The error for a `first_difference` from the run in `logdir`."""
  path, old, new = difference
  return (
    f"{path}={new!r} differs from {old!r}, with which the run in {logdir} was started: give {old!r}, or choose another "
    f"--logdir"
  )


def seed_dir(logdir: Path, seed: int) -> Path:
  """Where the run of one seed of several is kept."""
  return logdir / f"{_SEED_DIR}{seed}"


def find_seeds(logdir: Path) -> dict[int, Path]:
  """The run directories of several seeds in `logdir`, by seed."""
  found = (path.parent for path in logdir.glob(f"{_SEED_DIR}*/{CONFIG}"))
  return {int(number): path for path in found if (number := path.name.removeprefix(_SEED_DIR)).isdecimal()}


def stored_spec(run_dir: Path, config: RunConfig) -> EnvSpec:
  """As config.json has it, so that acting needs no simulator; of an environment where an older version wrote the file."""
  data = read_config(run_dir)
  stored = data.get("spec")
  if stored is None:
    return env_spec(config)
  observation = stored.get("observation")
  if not isinstance(observation, dict):
    raise ValueError(f"{run_dir / CONFIG}: spec.observation={shown(observation)}: must be fields by name")
  with config_format.naming_the_writer(data):
    arrays = {name: from_dict(ArraySpec, array, f"spec.observation.{name}") for name, array in observation.items()}
    spec = EnvSpec(arrays, from_dict(ActionSpec, stored.get("action"), "spec.action", complete=False))
  for violation in violations.of_spec(spec):
    raise ValueError(f"{run_dir / CONFIG}: {violation.problem}: {_MEND_CONFIG}")
  return spec


def spec_to_dict(spec: EnvSpec) -> dict[str, Any]:
  return {
    "observation": {name: to_dict(array) for name, array in spec.observation.items()},
    "action": to_dict(spec.action),
  }


def env_spec(config: RunConfig) -> EnvSpec:
  """What a run's environment shows and takes.

  Raises what `envs.look_at` raises.
  """
  return envs.look_at(config.env)
