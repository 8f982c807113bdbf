"""Reads and writes config.json, with the checks of what a file from elsewhere holds."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dreamerax import config_format, files, provenance
from dreamerax.config import shown, to_dict
from dreamerax.config_format import EDITED
from dreamerax.run_config import RunConfig
from dreamerax.runtime.checkpoint.folder import FOLDER, read_saved
from dreamerax.runtime.checkpoint.metadata import ConfigFile
from dreamerax.types import EnvSpec

CONFIG = "config.json"
INITIAL = "init_world_model"  # in config.json: the run directory that the world model's first parameters came from
RECORDED = "recorded"  # in config.json: what a world model that was trained alone was trained on
CHECKSUM, EARLIER = "checksum", "earlier"
MEND = (
  f'restore it, or, if you have changed it on purpose, write "{CHECKSUM}": "{EDITED}" into it, and the run goes on with what '
  "it says"
)
# What is read of config.json, beside the configuration.
_KINDS: Mapping[str, type | tuple[type, ...]] = {
  "preset": (str, type(None)),
  "spec": (dict, type(None)),
  "started": (dict, type(None)),
  "continued": list,
  INITIAL: str,
  EARLIER: list,
}
_SHOWN = ("preset", "config", "spec")  # in config.json: their words get into terminals, tables and pictures


def read(run_dir: Path) -> dict[str, Any]:
  """Reads what config.json holds: "preset", "config", and what else there is.

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
      raise ValueError(f"{path}: {name}={shown(data[name])} is not what dreamerax writes: {MEND}")
  odd = next((text for name in _SHOWN for text in _texts(data.get(name)) if not text.isprintable()), None)
  if odd is not None:
    raise ValueError(f"{path}: {shown(odd)} has characters that are not printed: {MEND}")
  if path != run_dir and data.get(CHECKSUM) not in (None, EDITED, _checksum(data)):
    raise ValueError(f"{path} is not as it was written: {MEND}")
  return config_format.current(data)


def _texts(data: Any) -> Iterator[str]:
  """All strings in nested lists and dicts, keys included."""
  if isinstance(data, str):
    yield data
  for value in (*data, *data.values()) if isinstance(data, dict) else data if isinstance(data, list) else ():
    yield from _texts(value)


def write(
  config: RunConfig,
  spec: EnvSpec,
  logdir: Path,
  preset: str | None,
  *,
  stored: Mapping[str, Any],
  **more: Any,
) -> ConfigFile:
  """Writes config.json, where it would change.

  "started" describes the process that began the run, "continued" those that went on
  with another version, commit or device. "checksum" is of all else, and "earlier" has
  the checksums that checkpoints of this run may have stored.

  Args:
    stored: what `read` found in `logdir`; empty where a run begins.
    more: what the file holds besides.

  Raises:
    ValueError: it cannot be written.
  """
  data = config_format.stamped(
    {"preset": preset, **_history(stored), "spec": spec_to_dict(spec), **more, "config": to_dict(config)}
  )
  earlier = stored.get(EARLIER, [])
  if stored.get(CHECKSUM) != _checksum({**data, EARLIER: earlier}):
    known = [saved.config for saved in read_saved(logdir / FOLDER)] + [stored.get(CHECKSUM, "")]
    earlier = list(dict.fromkeys([*earlier, *(each for each in known if each not in ("", EDITED))]))
  data[EARLIER] = earlier
  data[CHECKSUM] = _checksum(data)
  text = json.dumps(data, indent=2) + "\n"
  try:
    logdir.mkdir(parents=True, exist_ok=True)
    files.write_whole(logdir / CONFIG, text)
  except OSError as error:
    raise ValueError(f"logdir={logdir} cannot be written ({error}): choose another --logdir") from error
  return ConfigFile(data[CHECKSUM], text)


def _history(stored: Mapping[str, Any]) -> dict[str, Any]:
  """Lists the processes that have trained, this one included."""
  this, continued = provenance.describe(), list(stored.get("continued", []))
  if not stored:
    return {"started": this, "continued": []}
  last = continued[-1] if continued else stored.get("started") or {}
  if not provenance.is_same(last, this):
    continued.append(this)
  return {"started": stored.get("started"), "continued": continued}


def _checksum(data: Mapping[str, Any]) -> str:
  """Computes the checksum of what config.json says, however it is laid out."""
  rest = {name: value for name, value in data.items() if name != CHECKSUM}
  return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def spec_to_dict(spec: EnvSpec) -> dict[str, Any]:
  """A spec as config.json has it."""
  return {
    "observation": {name: to_dict(array) for name, array in spec.observation.items()},
    "action": to_dict(spec.action),
  }
