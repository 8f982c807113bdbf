"""A field that comes or goes makes stored runs unreadable, unless config.json gets another format and converts the earlier."""

import dataclasses
import inspect
import json
import sys
from pathlib import Path

from dreamerax import api, config_format, parts

STORED = Path(__file__).with_name("config_fields.json")
PACKAGES = tuple(f"dreamerax.{name}." for name in ("ops", "nets", "dynamics", "world_model", "behavior"))
RUNTIME = tuple(f"runtime.{name}" for name in ("schedule", "settings", "devices.mesh"))
MODULES = ("run_config", "agent", "envs.config", "replay.config", *RUNTIME)


def present() -> dict[str, list[str]]:
  """The fields of all that a configuration may hold, by class."""
  parts.import_all()
  assert api.load_config  # which imports the modules that are no parts
  modules = [sys.modules[name] for name in sorted(sys.modules) if name.startswith(PACKAGES)]
  modules += [sys.modules[f"dreamerax.{name}"] for name in MODULES]
  found = {}
  for module in modules:
    for name, each in vars(module).items():
      if inspect.isclass(each) and dataclasses.is_dataclass(each) and each.__module__ == module.__name__:
        found[name] = [field.name for field in dataclasses.fields(each)]
  return dict(sorted(found.items()))


def test_fields_change_with_the_format_alone():
  """Of classes that were there when the format was last raised; new ones are in no stored run."""
  stored = json.loads(STORED.read_text())
  assert stored["format"] == config_format.FORMAT, "write config_fields.json anew: python -m tests.test_config_fields"
  now = present()
  changed = {name for name, fields in stored["fields"].items() if now.get(name) != fields}
  assert not changed, (
    f"raise config_format.FORMAT, convert what earlier runs have stored of {changed}, and write it anew"
  )


if __name__ == "__main__":
  STORED.write_text(json.dumps({"format": config_format.FORMAT, "fields": present()}, indent=1) + "\n")
