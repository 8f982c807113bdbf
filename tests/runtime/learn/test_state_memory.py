"""An agent that no memory holds is refused before XLA is asked for it."""

import jax
import jax.numpy as jnp
import pytest

from dreamerax.runtime.devices.mesh import local_mesh
from dreamerax.runtime.devices.sharding import replicated
from dreamerax.runtime.learn.state_memory import check_fits


def shapes(width: int):
  where = replicated(local_mesh())
  small = jax.ShapeDtypeStruct((3,), jnp.float32, sharding=where)
  return {"params": {"small": small, "wide": jax.ShapeDtypeStruct((width, width), jnp.float32, sharding=where)}}


def test_what_is_larger_than_the_memory_is_refused_and_the_largest_part_named():
  check_fits(shapes(1000), local_mesh())
  with pytest.raises(ValueError, match=r"needs [\d.]+ GiB, and this machine has [\d.]+ GiB.*params/wide"):
    check_fits(shapes(10**9), local_mesh())
