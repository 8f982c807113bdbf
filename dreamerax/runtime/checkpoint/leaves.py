"""Pytrees as dicts of numbered arrays, which a checkpoint can hold without knowing their structure."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def to_leaves(tree: Any) -> dict[str, np.ndarray]:
  """The arrays of a pytree in order, on the host."""
  return {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(jax.device_get(tree)))}


def from_leaves(leaves: Mapping[str, np.ndarray], like: Any) -> Any:
  """The pytree that `to_leaves` took apart, with the structure of `like`."""
  structure = jax.tree.structure(like)
  return jax.tree.unflatten(structure, [leaves[str(i)] for i in range(structure.num_leaves)])
