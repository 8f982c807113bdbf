"""How updates are compiled."""

import jax
import jax.numpy as jnp
from jax import lax

from dreamerax.runtime.compilation import Source, compile_source
from dreamerax.runtime.mesh import local_mesh
from dreamerax.runtime.sharding import replicated


def test_a_convolution_goes_to_the_library_that_uses_all_cores():
  def convolve(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

  here = replicated(local_mesh())
  shapes = [jax.ShapeDtypeStruct(shape, jnp.float32, sharding=here) for shape in ((64, 16, 16, 32), (3, 3, 32, 48))]
  program = compile_source(Source(convolve, tuple(shapes), here, ()))
  assert " convolution(" in program.as_text() and "ynn_fusion" not in program.as_text()
