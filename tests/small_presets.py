"""Every preset's method with layers of a few units, small enough to compile its update in seconds."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from dreamerax import presets
from dreamerax.agent import Agent
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

SPEC = EnvSpec({"image": ArraySpec((16, 16, 3), "uint8")}, ActionSpec(2))
SMALLEST = {
  "planet": "small",
  "dreamer-v1": "small",
  "dreamer-v2": "small",
  "dreamer-v3": "1m",
  "plan2explore": "1m",
}
_WIDTHS = {
  "units": 16,
  "depth": 4,
  "deter": 32,
  "hidden": 16,
  "layers": 1,
  "groups": 4,
  "classes": 4,
  "dims": 6,
  "stages": 2,
  "mults": (1, 2),
  "horizon": 3,
  "candidates": 8,
  "elites": 2,
}


def small(preset: str, **changes: Any) -> Agent:
  """changes: fields that are set wherever a part has them, such as warmup=0."""
  config = shrink(presets.build(preset, SMALLEST[preset]).agent, {**_WIDTHS, **changes})
  return Agent(config, SPEC)


def shrink(part: Any, values: dict[str, Any]) -> Any:
  if isinstance(part, Mapping):
    return {name: shrink(each, values) for name, each in part.items()}
  fields = {}
  for field in dataclasses.fields(part):
    value = getattr(part, field.name)
    if dataclasses.is_dataclass(value) or isinstance(value, Mapping):
      fields[field.name] = shrink(value, values)
    elif field.name in values:
      fields[field.name] = values[field.name]
  return dataclasses.replace(part, **fields)
