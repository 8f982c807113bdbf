"""Each class has a name of its own, so that a search for it finds one thing."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "dreamerax"
# An `Agent` is what the runtime asks for as `protocol.Agent`; each command has its `Arguments`.
SHARED = {"Agent", "Arguments"}


def test_a_public_class_name_is_defined_once():
  places: dict[str, list[str]] = defaultdict(list)
  for path in sorted(PACKAGE.rglob("*.py")):
    for node in ast.parse(path.read_text()).body:
      if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        places[node.name].append(str(path.relative_to(PACKAGE)))
  assert len(places) > 100
  assert {name: where for name, where in places.items() if len(where) > 1 and name not in SHARED} == {}
