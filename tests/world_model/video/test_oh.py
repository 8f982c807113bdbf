"""The predictor of Oh et al. against NumPy, with both encodings and both effects of actions."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.world_model.video.action_effects import Concatenated, Multiplicative
from dreamerax.world_model.video.encodings import Recurrent, Stacked
from dreamerax.world_model.video.oh import Oh, OhModule
from tests import plain

SHAPE, ACTION = (8, 8, 2), 2
KINDS = {
  "stacked": Oh(Stacked(frames=3), Multiplicative(factors=5), channels=(3, 4), units=6),
  "recurrent": Oh(Recurrent(), Multiplicative(factors=5), channels=(3, 4), units=6),
  "concatenated": Oh(Stacked(frames=1), Concatenated(), channels=(3, 4), units=6),
}


def look(params: dict, x: np.ndarray) -> np.ndarray:
  for stage in params["stages"].values():
    x = plain.relu(plain.conv_strided(stage, x, 1))
  return plain.relu(plain.linear(params["dense"], x.reshape(len(x), -1)))


def paint(params: dict, code: np.ndarray) -> np.ndarray:
  x = plain.relu(plain.linear(params["dense"], code)).reshape(len(code), 2, 2, 4)
  x = plain.relu(plain.conv_transposed(params["stages"]["stage0"], x)[:, 1:-1, 1:-1])
  return plain.conv_transposed(params["stages"]["stage1"], x)[:, 1:-1, 1:-1] + params["mean"]


def act(params: dict, code: np.ndarray, action: np.ndarray) -> np.ndarray:
  if "join" in params:
    return plain.linear(params["join"], np.concatenate([code, action], -1))
  factors = plain.linear(params["encode"], code) * (
    action @ params["act"]["kernel"] + np.ones(len(action))[:, None] * params["act"]["bias"]
  )
  return plain.linear(params["decode"], factors)


@pytest.mark.parametrize("kind", KINDS)
def test_four_frames_equal_a_loop(kind: str):
  config = KINDS[kind]
  model, params = plain.randomised(lambda: config.build(SHAPE, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  rng = np.random.default_rng(0)
  frames = rng.uniform(size=(4, 2, *SHAPE)).astype(np.float32)
  actions = rng.uniform(-1, 1, (4, 2, ACTION)).astype(np.float32)
  state, seen = model.initial(2), []
  inside, hidden = np.zeros((2, 6)), np.zeros((2, 6))
  for frame, action in zip(frames, actions, strict=True):
    state, found, flow = plain.call(model, OhModule.__call__, state, frame, action, None)
    seen.append(frame - params["mean"])
    encoding = params["encoding"]
    if kind == "recurrent":
      gates = plain.linear(encoding["lstm"]["gates"], np.concatenate([look(encoding["look"], seen[-1]), hidden], -1))
      inside, hidden = plain.lstm(inside, gates, 0.0)
      code = hidden
    else:
      count = config.encoding.frames
      stack = ([np.zeros_like(frame)] * count + seen)[-count:]
      code = look(encoding["look"], np.concatenate(stack, -1))
    expected = paint(params, act(params["effect"], code, action.astype(np.float64)))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert flow is None


def test_an_action_of_zeros_passes_the_code_on():
  model, _ = plain.randomised(lambda: KINDS["stacked"].build(SHAPE, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0)))
  frames = np.random.default_rng(1).uniform(size=(2, *SHAPE)).astype(np.float32)
  found = plain.call(model, OhModule.__call__, model.initial(2), frames, np.zeros((2, ACTION), np.float32), None)
  assert np.abs(found.frame[0] - found.frame[1]).max() > 1e-3


def test_figures_that_make_no_sense_are_refused():
  with pytest.raises(ValueError, match=r"channels=\(\) must be one positive number or more"):
    Oh(channels=())
  with pytest.raises(ValueError, match="frames=0 must be at least 1"):
    Stacked(frames=0)
  with pytest.raises(ValueError, match="factors=0 must be at least 1"):
    Multiplicative(factors=0)
