"""A run directory as an object: its config.json is read once, and tells what the run is and how it may go on."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dreamerax import config_file, config_format, envs, files, parts
from dreamerax.config import first_difference, from_dict, shown
from dreamerax.config_file import CHECKSUM, CONFIG, EARLIER, INITIAL, MEND, RECORDED
from dreamerax.config_format import EDITED
from dreamerax.envs import violations
from dreamerax.own_code import NOBODY, NotTrusted, Stored, Trust, Trusted
from dreamerax.run_config import RunConfig
from dreamerax.runtime.checkpoint.folder import FOLDER, PACKED, read_saved
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

_SEED_DIR = "seed-"  # and the seed: a run directory among those of several seeds
# A run that goes on may have another length, be watched otherwise, and be computed
# elsewhere.
_MAY_CHANGE = ("env_steps", "loop", "workers", "mesh")


@dataclass(frozen=True)
class RunDirectory:
  """The directory of a run, and what its config.json held when it was opened."""

  path: Path
  """The directory, or a config.json by itself."""
  stored: Mapping[str, Any]
  """What config.json holds, in this version's format."""
  trust: Trust = NOBODY
  """Code of a person's own that may run because the configuration names it. A task
  that is not among it cannot be made."""

  @classmethod
  def open(cls, path: str | Path, trust: Trusted = NOBODY) -> "RunDirectory":
    """Reads the config.json of a directory, or one by itself.

    Args:
      trust: packages, modules, `module:name`, or True for whatever the file names.

    Raises:
      FileNotFoundError: there is no run. PermissionError: this user may not read it.
      ValueError: it cannot be read, or the directory holds a symbolic link.
    """
    path = Path(path)
    return cls(path, config_file.read(path), Trust.of(trust))

  @classmethod
  def find(cls, path: str | Path, trust: Trusted = NOBODY) -> "RunDirectory | None":
    """The run in a directory; None where none has begun there.

    Raises what `open` raises, for a symbolic link where there is no run, too.
    """
    if (Path(path) / CONFIG).exists():
      return cls.open(path, trust)
    files.refuse_links(Path(path))
    return None

  @classmethod
  def to_continue(cls, path: str | Path, config: RunConfig) -> "RunDirectory | None":
    """The run in a directory that goes on with `config`; None where none has begun.

    Raises what `find` and `check_goes_on_with` raise.
    """
    found = cls.find(path)
    if found is not None:
      found.check_goes_on_with(config)
    return found

  @property
  def preset(self) -> str | None:
    """The name of the preset that the run was started with, where it is known."""
    return self.stored["preset"]

  @property
  def size(self) -> Any:
    """The model size that the run was started with."""
    config = self.stored["config"]
    return config.get("size") if isinstance(config, dict) else None

  @property
  def source(self) -> str | None:
    """The run directory that the world model's first parameters came from."""
    return self.stored.get(INITIAL)

  @cached_property
  def config(self) -> RunConfig:
    """The configuration that the run was started with.

    Raises:
      ValueError: names the field that this version cannot read.
      NotTrusted: a part of the run is of a module that is not trusted.
    """
    parts.import_all()
    try:
      with config_format.naming_the_writer(self.stored):
        return from_dict(RunConfig, self.stored["config"], trust=self.trust)
    except NotTrusted as error:
      named = _paths_of(self.stored["config"], self.trust)
      raise NotTrusted(error.paths | named) from error

  @cached_property
  def outline(self) -> RunConfig:
    """The configuration for those who describe the run: `agent` is what is stored.

    No part of the agent is made.

    Raises:
      ValueError: names the field that this version cannot read.
    """
    data = self.stored["config"]
    rest = {name: value for name, value in data.items() if name != "agent"} if isinstance(data, dict) else data
    parts.import_all()
    with config_format.naming_the_writer(self.stored):
      outline = from_dict(RunConfig, rest, complete=False)
    return dataclasses.replace(outline, agent=data.get("agent"))

  @cached_property
  def spec(self) -> EnvSpec:
    """The environment's observations and actions, as stored, so that acting needs no
    simulator.

    It is asked of an environment where an older version wrote config.json.

    Raises:
      ValueError: names the field that this version cannot read.
    """
    stored = self.stored.get("spec")
    if stored is None:
      return env_spec(self.config)
    observation, where = stored.get("observation"), self.path / CONFIG
    if not isinstance(observation, dict):
      raise ValueError(f"{where}: spec.observation={shown(observation)}: must be fields by name")
    with config_format.naming_the_writer(self.stored):
      arrays = {name: from_dict(ArraySpec, array, f"spec.observation.{name}") for name, array in observation.items()}
      spec = EnvSpec(arrays, from_dict(ActionSpec, stored.get("action"), "spec.action", complete=False))
    for violation in violations.of_spec(spec):
      raise ValueError(f"{where}: {violation.problem}: {MEND}")
    return spec

  def check_started_as(self, preset: str | None, size: str | None) -> None:
    """Whether the run was started with what is asked for; None asks for nothing.

    Raises:
      ValueError: it was started with another preset or size.
    """
    for name, asked, stored in (("preset", preset, self.preset), ("size", size, self.size)):
      if asked not in (None, stored):
        raise ValueError(
          f"{name}={asked!r}: the run in {self.path} was started with {stored!r}; choose another --logdir"
        )

  def check_acts(self) -> None:
    """
    Raises:
      ValueError: the run trained a world model alone.
    """
    if RECORDED in self.stored:
      raise ValueError(
        f"{self.path} holds a world model that was trained alone: begin a run from it with --init-world-model "
        f"{self.path} and another --logdir"
      )

  def check_trains(self) -> None:
    """
    Raises:
      ValueError: the directory holds a packed agent, which has nothing to train on with.
    """
    if (self.path / PACKED).is_dir():
      raise ValueError(
        f"{self.path} holds a packed agent, without optimisers and replay: begin a run from its world model with "
        f"--init-world-model {self.path} and another --logdir"
      )

  def check_checkpoints_know_config(self) -> None:
    """Whether the newest checkpoint was saved with the config.json that is there.

    Raises:
      ValueError: it was not.
    """
    newest = next((saved.config for saved in read_saved(self.path / FOLDER)), "")
    known = newest in self.stored.get(EARLIER, [])
    if newest and not known and self.stored.get(CHECKSUM) not in (EDITED, newest):
      raise ValueError(f"{self.path / CONFIG} is not the one that the newest checkpoint was saved with: {MEND}")

  def check_goes_on_with(self, config: RunConfig) -> None:
    """Whether training may go on with `config`.

    Raises:
      ValueError: the run does not act, or has another configuration, whose first field
        that differs is named.
    """
    self.check_acts()
    self.check_same_config(config)

  def check_same_config(self, config: RunConfig) -> None:
    """Whether a run of the same kind could go on with `config`.

    Raises:
      ValueError: names the first field that differs; or a checkpoint does not know the
        config.json.
    """
    self.check_trains()
    self.check_checkpoints_know_config()
    kept = (field.name for field in dataclasses.fields(config) if field.name not in _MAY_CHANGE)
    self.check_equal({name: (getattr(self.config, name), getattr(config, name)) for name in kept})

  def check_equal(self, values: Mapping[str, tuple[Any, Any]]) -> None:
    """values: by field, what is stored and what the run should go on with.

    Raises:
      ValueError: names the first field that differs.
    """
    for name, (old, new) in values.items():
      difference = first_difference(old, new, name)
      if difference:
        path, there, here = difference
        raise ValueError(
          f"{path}={here!r} differs from {there!r}, with which the run in {self.path} was started: give {there!r}, or "
          "choose another --logdir"
        )


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


def seed_dir(logdir: Path, seed: int) -> Path:
  """Names the directory of one seed of several."""
  return logdir / f"{_SEED_DIR}{seed}"


def find_seeds(logdir: Path) -> dict[int, Path]:
  """The run directories of several seeds in `logdir`, by seed."""
  found = (path.parent for path in logdir.glob(f"{_SEED_DIR}*/{CONFIG}"))
  return {int(number): path for path in found if (number := path.name.removeprefix(_SEED_DIR)).isdecimal()}


def env_spec(config: RunConfig) -> EnvSpec:
  """Looks up what a run's environment shows and takes.

  Raises what `envs.look_at` raises.
  """
  return envs.look_at(config.env)
