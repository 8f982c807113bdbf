"""Keeps the state finite: an update that would spoil it is not made, and the batch that caused it is kept for people."""

import io
import logging
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dreamerax import files
from dreamerax.replay import Slots
from dreamerax.runtime.devices.sharding import to_host
from dreamerax.runtime.errors import Diverged
from dreamerax.runtime.protocol import State
from dreamerax.types import Batch

_log = logging.getLogger(__name__)


class UpdateStatus(NamedTuple):
  """The flags that an update returns, on the device."""

  finite: jax.Array  # bool: its losses and the state after it are finite
  losses: Mapping[str, jax.Array]  # scalars


class RejectedUpdate(NamedTuple):
  """An update that was not made because a number in it was not finite."""

  update: int  # its number, from 0
  losses: Mapping[str, float]
  batch: Batch
  slots: Slots  # where in the replay the batch came from
  state: State  # before it


def update_status(state: State, metrics: Mapping[str, jax.Array]) -> UpdateStatus:
  """Traced under jit. state: after the update; metrics: its losses are called "loss/<name>"."""
  losses = {name: value for name, value in metrics.items() if name.startswith("loss/")}
  numbers = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
  # The state is read once more, beside the many times that an update reads it; arrays of one shape, such as a parameter and
  # what the optimiser keeps of it, together: a reduction is a launch or two on an accelerator.
  alike: dict[tuple[int, ...], list[jax.Array]] = {}
  for x in (*losses.values(), *numbers):
    alike.setdefault(x.shape, []).append(jnp.isfinite(x))
  finite = [reduce(jnp.logical_and, group).all() for group in alike.values()]
  return UpdateStatus(reduce(jnp.logical_and, finite, jnp.array(True)), losses)


class Guard:
  """Ends the run when an update is not finite, or lets it go on without that update."""

  def __init__(self, folder: Path | None = None, *, skip: bool = False):
    """
    Args:
      folder: where batch and state are written before the run ends; None writes nothing.
      skip: leave such updates out and go on.
    """
    self.skip = skip
    self.skipped = 0  # updates left out
    self._folder = folder

  def reject(self, rejected: RejectedUpdate) -> None:
    """
    Raises:
      Diverged: unless such updates are skipped.
    """
    described = _describe(rejected)
    if self.skip:
      self.skipped += 1
      if self.skipped & (self.skipped - 1) == 0:  # the 1st, 2nd, 4th, 8th: nobody reads a line for each
        _log.warning("%s; left out, the %d. update of this process that was", described, self.skipped)
      return
    raise Diverged(
      f"{described}; {self._kept(rejected)}lower the learning rate, or leave such updates out: --nonfinite skip"
    )

  def _kept(self, rejected: RejectedUpdate) -> str:
    if self._folder is None:
      return ""
    folder = self._folder / f"update-{rejected.update}"
    try:
      folder.mkdir(parents=True, exist_ok=True)
      _save(folder / "batch.npz", {**_named(rejected.batch._asdict()), **rejected.slots._asdict()})
      _save(folder / "state.npz", _named(to_host(rejected.state)))
    except OSError as error:
      return f"its batch could not be kept ({error}); "
    return f"its batch, and the state before it, are in {folder}; "


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
  content = io.BytesIO()
  np.savez(content, **arrays)  # type: ignore[arg-type]
  files.write_whole(path, content.getvalue())


def _describe(rejected: RejectedUpdate) -> str:
  """Says in a sentence where it began."""
  losses = [f"{name} = {value}" for name, value in sorted(rejected.losses.items()) if not np.isfinite(value)]
  said = f"update {rejected.update:,} is not finite ({', '.join(losses) or 'its gradients, not its losses'})"
  wrong = []
  for name, array in _named(rejected.batch._asdict()).items():
    rows = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1).astype(np.float32)).all(1))
    if rows.size:
      streams = sorted(set(rejected.slots.streams[rows].tolist()))
      wrong.append(f"{name.removeprefix('steps/')} of environment {', '.join(map(str, streams))}")
  return f"{said}, nor is {'; '.join(wrong)} in its batch" if wrong else f"{said}, while its batch is"


def _named(tree: Any) -> dict[str, np.ndarray]:
  """{path: array} of a pytree, for numpy's own file format."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path, simple=True, separator="/"): _plain(leaf) for path, leaf in leaves}


def _plain(leaf: Any) -> np.ndarray:
  """A type that numpy's file format knows."""
  array = np.asarray(jax.device_get(leaf))
  return array.astype(np.float32) if array.dtype.kind == "V" else array
