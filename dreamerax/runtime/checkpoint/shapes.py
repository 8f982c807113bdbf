"""Compares the arrays of a stored state with those that a configuration asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from dreamerax.runtime.protocol import State


def named(state: State) -> list[tuple[str, Any]]:
  """The arrays of a state, each with its name, in the order of the tree's leaves."""
  leaves = jax.tree_util.tree_leaves_with_path(state)
  return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def of(state: State) -> dict[str, list[Any]]:
  """Describes a state as JSON: the name of each array to [[sizes], dtype]."""
  return {name: [list(leaf.shape), str(leaf.dtype)] for name, leaf in named(state)}


def check(folder: Path, found: Mapping[str, list], wanted: Mapping[str, list]) -> None:
  """
  Args:
    folder: the checkpoint, for people.
    found: what it holds, as `of` gives it.
    wanted: what the configuration asks for.

  Raises:
    ValueError: names the first array that differs; parameters come first.
  """
  # A parameter says more to people than its moments in the optimiser do.
  for name in sorted([*wanted, *found], key=lambda name: not name.startswith("params/")):
    if found.get(name) != wanted.get(name):
      there, here = (_describe(arrays.get(name)) for arrays in (found, wanted))
      raise ValueError(
        f"{name} is {there} in the checkpoint {folder} and {here} in this configuration: "
        "continue with the settings in the run's config.json, or begin a run in another --logdir"
      )


def _describe(entry: list | None) -> str:
  return "absent" if entry is None else f"{entry[1]} {tuple(entry[0])}"
