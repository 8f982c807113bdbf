"""The format of config.json: earlier ones are converted, and what cannot be read is refused by the version that reads it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dreamerax import provenance
from dreamerax.config import shown
from dreamerax.envs.suites.dm_control import IMAGE_SIZE
from dreamerax.own_code import NotTrusted

# Raised where this version would read wrong, or not at all, what an earlier one has written.
FORMAT = 13
_KEY = "format"
EDITED = "edited"  # in place of the checksum: a person has changed the file
_WITHOUT_RECORDS = "dreamerax 0.1.0 of before 28 November 2026"  # the writers of files that name no version


def check(data: Mapping[str, Any], path: Path) -> None:
  """Whether this version knows the format of a config.json.

  Args:
    data: what the file holds.

  Raises:
    ValueError: it is of a later version, which is named.
  """
  stored = data.get(_KEY, 0)
  if not isinstance(stored, int) or isinstance(stored, bool) or stored < 0:
    raise ValueError(f"{path}: {_KEY}={shown(stored)} is not what dreamerax writes: restore the file")
  if stored > FORMAT:
    this = _name(provenance.describe_code())
    raise ValueError(
      f"{path} has format {stored} of {_writer(data)}, and this is {this}, which reads up to format {FORMAT}: use that "
      "version, or begin another run"
    )


def current(data: dict[str, Any]) -> dict[str, Any]:
  """Converts what a config.json holds that `check` lets through to the present
  format."""
  for convert in _CONVERSIONS[data.get(_KEY, 0) :]:
    data = convert(data)
  return {**data, _KEY: FORMAT}


def stamped(data: Mapping[str, Any]) -> dict[str, Any]:
  """`data` for a config.json of this version."""
  return {_KEY: FORMAT, **data}


@contextmanager
def naming_the_writer(data: Mapping[str, Any]) -> Iterator[None]:
  """An error about a field of a config.json that another version has written names that version.

  Args:
    data: what the file holds.
  """
  try:
    yield
  except NotTrusted:
    raise
  except ValueError as error:
    this = provenance.describe_code()
    if data.get("checksum") == EDITED or _is_same(_last_record(data), this):
      raise
    raise ValueError(
      f"{error}; config.json is of {_writer(data)}, and this is {_name(this)}: use that version, or begin another run"
    ) from error


def with_image_settings(env: Any) -> Any:
  """An environment's settings of an earlier version, which may know none of those of images, or not all.

  From before images of every suite were resized, what they say of images holds for dmc/ alone.
  """
  if not isinstance(env, dict):
    return env
  if "grey" not in env:
    drawn = str(env.get("task")).startswith("dmc/") and env.get("image_size") != IMAGE_SIZE
    env = {**env, "image_size": env.get("image_size") if drawn else None, "grey": False, "channels_first": False}
  return {"float_images": False, **env}


def _writer(data: Mapping[str, Any]) -> str:
  """The version that wrote a config.json last, for people."""
  record = _last_record(data)
  return _name(record) if record else _WITHOUT_RECORDS


def _last_record(data: Mapping[str, Any]) -> Mapping[str, Any]:
  continued = data.get("continued")
  records = [data.get("started"), *(continued if isinstance(continued, list) else [])]
  return next((each for each in reversed(records) if isinstance(each, dict) and "version" in each), {})


def _is_same(record: Mapping[str, Any], this: Mapping[str, Any]) -> bool:
  return all(record.get(name) == this[name] for name in this)


def _name(record: Mapping[str, Any]) -> str:
  commit = record.get("commit")
  return f"dreamerax {shown(record['version'])[1:-1]}" + (f" (commit {shown(commit)[1:13]})" if commit else "")


def _from_0(data: dict[str, Any]) -> dict[str, Any]:
  """Evaluations had no limit, and there were no other loggers."""
  config = _with_defaults(data.get("config"), "loop", {"eval_max_steps": 0, "log": []})
  found = {**data, "config": config}
  if "recorded" in data:
    found["recorded"] = _with_defaults(data["recorded"], "loop", {"log": []})
  return found


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
  """The losses of a world model were fields of it, and checkpoints name their arrays so.

  Such an agent is refused when it is read: its fields are not those of this version. All else of the file is read.
  """
  return data


def _from_2(data: dict[str, Any]) -> dict[str, Any]:
  """Images were uint8 in every environment, and earlier resized in dmc/ alone."""
  config = data.get("config")
  if isinstance(config, dict) and "env" in config:
    config = {**config, "env": with_image_settings(config["env"])}
  return {**data, "config": config}


def _from_3(data: dict[str, Any]) -> dict[str, Any]:
  """Two names of parts and fields were others."""
  return _renamed(data)


def _from_4(data: dict[str, Any]) -> dict[str, Any]:
  """All episodes began where the task says."""
  return {**data, "config": _with_defaults(data.get("config"), "env", {"exploring_starts": False})}


def _from_5(data: dict[str, Any]) -> dict[str, Any]:
  """Sequences began anywhere, and MPPI's candidates were as they are drawn."""
  config = _with_defaults(data.get("config"), "replay", {"draw": "uniform"})
  return {**data, "config": _with_fields(config, "MPPI", {"smoothing": 1.0})}


def _from_6(data: dict[str, Any]) -> dict[str, Any]:
  """Episodes began as the task says."""
  return {**data, "config": _with_defaults(data.get("config"), "env", {"conditions": 0})}


def _from_7(data: dict[str, Any]) -> dict[str, Any]:
  """Iterations made all updates on the newest episodes, and linear dynamics were fitted under one prior."""
  config = _with_defaults(data.get("config"), "replay", {"older": 0})
  config = _with_fields(config, "IterationsConfig", {"warmup": 0})
  return {**data, "config": _with_fields(config, "LocalLQR", {"warmup": 0, "older": 0, "prior": {"part": "AllSteps"}})}


def _from_8(data: dict[str, Any]) -> dict[str, Any]:
  """A temporal distance was the mean."""
  return {**data, "config": _with_fields(data.get("config"), "TemporalDistance", {"expectile": 0.5})}


def _from_9(data: dict[str, Any]) -> dict[str, Any]:
  """A linear system began at N(0, I), with random effects of actions."""
  fields = {"first_std": 1.0, "start_push": None}
  return {**data, "config": _with_fields(data.get("config"), "LinearSystem", fields)}


def _from_10(data: dict[str, Any]) -> dict[str, Any]:
  """All rewards of a plan counted alike."""
  return {**data, "config": _with_fields(data.get("config"), "Planning", {"final_weight": 1.0})}


def _from_11(data: dict[str, Any]) -> dict[str, Any]:
  """Convolutions to feature points had no padding."""
  return {**data, "config": _with_fields(data.get("config"), "SpatialSoftmaxEncoder", {"padded": False})}


def _from_12(data: dict[str, Any]) -> dict[str, Any]:
  """The padding of convolutions to feature points was grey, Adam had no `l2`, and Q saw features alone."""
  config = _with_fields(data.get("config"), "Adam", {"l2": 0.0})
  config = _with_fields(config, "FittedQ", {"fourier": None})
  return {**data, "config": _with_padding(config)}


def _with_padding(data: Any) -> Any:
  """Nested dicts with SpatialSoftmaxEncoder's padding by name."""

  def change(found: dict[str, Any]) -> dict[str, Any]:
    if found.get("part") == "SpatialSoftmaxEncoder" and "padded" in found:
      found["padding"] = "grey" if found.pop("padded") else "none"
    return found

  return _each(data, change)


def _renamed(data: Any) -> Any:
  """Nested dicts with the part Uniform in place of Chance, and an actor-critic's return_lambda in place of trace."""

  def change(found: dict[str, Any]) -> dict[str, Any]:
    if found.get("part") == "Chance":
      found["part"] = "Uniform"
    if found.get("part") in ("ActorCritic", "ActorCriticV2") and "trace" in found:
      found["return_lambda"] = found.pop("trace")
    return found

  return _each(data, change)


def _with_fields(data: Any, part: str, values: Mapping[str, Any]) -> Any:
  """Nested dicts with values in each part of that name, where it has none."""
  return _each(data, lambda found: {**values, **found} if found.get("part") == part else found)


def _each(data: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
  """A copy of nested dicts and lists in which each dict is changed, those within it before."""
  if isinstance(data, list):
    return [_each(item, change) for item in data]
  if not isinstance(data, dict):
    return data
  return change({name: _each(item, change) for name, item in data.items()})


def _with_defaults(data: Any, part: str, values: Mapping[str, Any]) -> Any:
  """data[part] with values where it has none, if both are dicts."""
  inner = data.get(part) if isinstance(data, dict) else None
  return {**data, part: {**values, **inner}} if isinstance(inner, dict) else data


_CONVERSIONS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (
  _from_0,
  _from_1,
  _from_2,
  _from_3,
  _from_4,
  _from_5,
  _from_6,
  _from_7,
  _from_8,
  _from_9,
  _from_10,
  _from_11,
  _from_12,
)
assert len(_CONVERSIONS) == FORMAT, "one for each earlier format"
