"""Makes functions of Warp arrays callable from programs of jax."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import warp as wp  # pyright: ignore[reportMissingImports]

from dreamerax.jitted.mjx.scene import GIVEN, STEPPED, shapes

wp.config.log_level = wp.LOG_ERROR  # else it prints what it compiles


def _start() -> None:
  """Starts Warp. Without a graphics card, its native code writes to the error stream that there is no driver for one."""
  if jax.default_backend() != "cpu":
    wp.init()
    return
  errors, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
  try:
    os.dup2(nothing, 2)
    wp.init()
  finally:
    os.dup2(errors, 2)
    os.close(errors)
    os.close(nothing)


_start()


def device() -> Any:
  """The Warp device of jax's first one."""
  return wp.device_from_jax(jax.local_devices()[0])


def grows_by(make: Callable[[int], Any]) -> int:
  """Bytes of Warp's arrays by which what `make` returns, for a number of environments, grows with each of them."""
  with wp.ScopedDevice(device()):
    one, two = (sum(_sizes(make(count)).values()) for count in (1, 2))
  return two - one


def _sizes(kept: Any) -> dict[int, int]:
  """Bytes of all arrays of Warp within dataclasses and sequences, by address."""
  if isinstance(kept, wp.array):
    return {kept.ptr: kept.capacity} if kept.ptr else {}
  if dataclasses.is_dataclass(kept):
    parts = [getattr(kept, field.name) for field in dataclasses.fields(kept)]
  else:
    parts = kept if isinstance(kept, tuple | list) else ()
  return {address: size for part in parts for address, size in _sizes(part).items()}


def stepping(run: Callable[..., None], model: Any, prepare: Callable[[int], None] | None = None) -> Callable[..., Any]:
  """Makes `run(steps, *those of GIVEN, *those of STEPPED)`, which writes the last, a function of arrays [E, ...] of jax."""
  sizes = shapes(model)
  given = {"steps": int, **{f"given_{name}": wp.array2d(dtype=float) for name in GIVEN}}
  shown = {name: _kind(sizes.get(name, ())) for name in STEPPED}
  return called_from_jax(run, given, shown, {name: sizes.get(name, ())[:1] for name in STEPPED}, prepare)


def called_from_jax(
  run: Callable[..., None],
  given: Mapping[str, Any],
  shown: Mapping[str, Any],
  sizes: Mapping[str, tuple[int, ...]],
  prepare: Callable[[int], None] | None = None,
) -> Callable[..., Any]:
  """Makes a function of arrays [E, ...] of jax, which jax.vmap calls once for a batch.

  Args:
    run: takes `given` and `shown`, and writes the latter; Warp makes one call at a time.
    given: annotations of arguments, numbers first.
    shown: likewise, of arrays alone.
    sizes: of the axes of `shown` after the first; those of vectors and matrices are not named.
    prepare: called with E before a program is compiled.
  """

  def call(*arrays: Any) -> None:
    run(*arrays)

  call.__annotations__ = {**given, **shown}
  kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
  call.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in call.__annotations__])  # pyright: ignore
  # On a graphics card, the launches of a call are recorded once and started as one.
  graph = wp.JaxCallableGraphMode.WARP if device().is_cuda else wp.JaxCallableGraphMode.NONE
  function = wp.jax_callable(call, len(shown), graph, None)
  constants = sum(kind is int for kind in given.values())

  def made(*arguments: Any) -> Sequence[jax.Array]:
    numbers, arrays = arguments[:constants], arguments[constants:]

    @jax.custom_batching.custom_vmap
    def one(*arrays: jax.Array) -> Sequence[jax.Array]:
      count = arrays[0].shape[0]
      if prepare:
        prepare(count)
      return function(*numbers, *arrays, output_dims={name: (count, *size) for name, size in sizes.items()})

    @one.def_vmap
    def many(count: int, batched: Sequence[bool], *arrays: jax.Array) -> tuple[Any, Any]:
      whole = [
        a if is_one else jnp.broadcast_to(a, (count, *a.shape)) for a, is_one in zip(arrays, batched, strict=True)
      ]
      rows = one(*(array.reshape(-1, *array.shape[2:]) for array in whole))
      return [row.reshape(count, -1, *row.shape[1:]) for row in rows], [True] * len(rows)

    return one(*arrays)

  return made


def _kind(shape: tuple[int, ...]) -> Any:
  """The type of a batch of arrays: vectors and matrices of 3 are Warp's, and numbers are integers."""
  if not shape:
    return wp.array(dtype=int, ndim=1)
  return wp.array2d(dtype={1: float, 2: wp.vec3, 3: wp.mat33}[len(shape)])
