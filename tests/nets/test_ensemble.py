"""One stacked network beside its members, one by one."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from dreamerax.nets.blocks import MLP
from dreamerax.nets.ensemble import Ensemble
from dreamerax.nets.modules import params_of
from tests import plain


def build(members: int) -> Ensemble[MLP]:
  def member(rngs: nnx.Rngs) -> MLP:
    return MLP(3, 5, 2, dtype=jnp.float32, rngs=rngs)

  return Ensemble(member, members, rngs=nnx.Rngs(0))


def test_one_call_computes_what_each_member_does():
  ensemble, params = plain.randomised(lambda: build(4))
  x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
  found = ensemble(x)
  assert found.shape == (4, 2, 5)
  for index, output in enumerate(found):
    member = jax.tree.map(lambda leaf: leaf[index], params["stacked"])  # noqa: B023
    np.testing.assert_allclose(output, plain.mlp(member, x), rtol=1e-4, atol=1e-5)


def test_members_start_from_different_kernels_of_one_scale():
  kernels = params_of(build(50))["stacked"]["linears"]["linear0"]["kernel"]
  assert kernels.shape == (50, 3, 5)
  assert len(np.unique(np.asarray(kernels[:, 0, 0]))) == 50
  np.testing.assert_allclose(kernels.std(), 3**-0.5, rtol=0.1)  # of a layer with 3 inputs, not with 50
