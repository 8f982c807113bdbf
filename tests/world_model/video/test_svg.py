"""The predictor of Denton and Fergus against NumPy: one step, what is seen, and whole sequences with their posterior."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.dynamics.stochastic import Gaussian
from dreamerax.world_model.video.curriculum import Curriculum
from dreamerax.world_model.video.model import VideoModel
from dreamerax.world_model.video.svg import SVG, SVGModule
from dreamerax.world_model.video.training import Frames
from dreamerax.world_model.video.variational import Variational
from tests import plain

SHAPE, ACTION, ROWS, LENGTH = (4, 4, 2), 2, 2, 5
CONFIG = SVG(channels=(3, 4), code=5, units=6, layers=2, stochastic=Gaussian(dims=2, min_std=1e-3))
MODEL, PARAMS = plain.randomised(lambda: CONFIG.build(SHAPE, ACTION, dtype=jnp.float32, rngs=nnx.Rngs(0)))
FIRST = np.zeros((ROWS, LENGTH), bool)
FIRST[0, 0] = FIRST[1, 2] = True
SOME = np.random.default_rng(0)
FRAMES = SOME.uniform(size=(ROWS, LENGTH, *SHAPE)).astype(np.float32)
ACTIONS = SOME.uniform(-1, 1, (ROWS, LENGTH, ACTION)).astype(np.float32)
NOTHING = {
  name: [(np.zeros((1, 6)), np.zeros((1, 6)))] * count
  for name, count in (("prior", 1), ("posterior", 1), ("onward", 2))
}


def leaky(x: np.ndarray) -> np.ndarray:
  return np.where(x > 0, x, 0.2 * x)


def norm(params: dict, x: np.ndarray) -> np.ndarray:
  mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
  return (x - mean) / np.sqrt(variance + 1e-6) * params["scale"] + params["offset"]


def encode(frame: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
  params, x, maps = PARAMS["encoder"], frame - 0.5, []
  for level in range(2):
    x = leaky(norm(params["norms"][f"norm{level}"], plain.conv_strided(params["stages"][f"stage{level}"], x, 1)))
    maps.append(x)
  return np.tanh(plain.linear(params["dense"], x.reshape(len(x), -1))), maps


def decode(code: np.ndarray, maps: list[np.ndarray]) -> np.ndarray:
  params = PARAMS["decoder"]
  x = leaky(norm(params["norm"], plain.linear(params["dense"], code).reshape(-1, 1, 1, 4)))
  for level in range(2):
    x = plain.conv_transposed(params["stages"][f"stage{level}"], np.concatenate([x, maps[1 - level]], -1))[
      :, 1:-1, 1:-1
    ]
    x = leaky(norm(params["norms"]["norm0"], x)) if level == 0 else x
  return 1 / (1 + np.exp(-x))


def recur(name: str, memory: list, x: np.ndarray) -> tuple[list, np.ndarray]:
  params, later = PARAMS[name], []
  x = plain.linear(params["enter"], x)
  for (inside, hidden), cell in zip(memory, params["cells"].values(), strict=True):
    later.append(plain.lstm(inside, plain.linear(cell["gates"], np.concatenate([x, hidden], -1)), 0.0))
    x = later[-1][1]
  return later, plain.linear(params["leave"], x)


def moments(stats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  return stats[..., :2], np.log1p(np.exp(stats[..., 2:])) + 1e-3


def kl(stats: np.ndarray, other: np.ndarray) -> float:
  (mean, std), (mean0, std0) = moments(stats), moments(other)
  return float((np.log(std0 / std) + (std**2 + (mean - mean0) ** 2) / (2 * std0**2) - 0.5).sum())


def onward(
  memory: dict, frame: np.ndarray, action: np.ndarray, after: np.ndarray | None
) -> tuple[dict, np.ndarray, float]:
  """The memory, the code [1, G] of the next frame and the KL of one row, all latents being means."""
  code, _ = encode(frame)
  prior, expected = recur("prior", memory["prior"], code)
  memory, stats, gap = {**memory, "prior": prior}, expected, 0.0
  if after is not None:
    memory["posterior"], stats = recur("posterior", memory["posterior"], encode(after)[0])
    gap = kl(stats, expected)
  memory["onward"], code = recur("onward", memory["onward"], np.concatenate([code, action, moments(stats)[0]], -1))
  return memory, np.tanh(code), gap


def agree(state: dict, row: int, memory: dict):
  for name, cells in memory.items():
    for found, (inside, hidden) in zip(state[name], cells, strict=True):
      np.testing.assert_allclose(found["cell"][row], inside[0], rtol=1e-3, atol=1e-4)
      np.testing.assert_allclose(found["hidden"][row], hidden[0], rtol=1e-3, atol=1e-4)


def test_a_dream_keeps_the_maps_of_the_newest_frame_that_was_seen():
  see, step = partial(plain.call, MODEL, SVGModule.see), partial(plain.call, MODEL, SVGModule.__call__)
  state = see(MODEL.initial(1), FRAMES[:1, 0], ACTIONS[:1, 1], FRAMES[:1, 1], None).state
  memory, _, _ = onward(NOTHING, FRAMES[:1, 0], ACTIONS[:1, 1], FRAMES[:1, 1])
  agree(state, 0, memory)
  frame, (_, maps) = FRAMES[:1, 1], encode(FRAMES[:1, 1])
  for t in (2, 3):
    state, found, _ = step(state, frame, ACTIONS[:1, t], None)
    memory, code, _ = onward(memory, frame, ACTIONS[:1, t], None)
    agree(state, 0, memory)
    frame = decode(code, maps)
    np.testing.assert_allclose(found, frame, rtol=1e-3, atol=1e-4)
  # What is seen again is what the decoder sees.
  state = see(state, FRAMES[:1, 3], ACTIONS[:1, 4], FRAMES[:1, 4], None).state
  assert float(state["dreamt"].max()) == 0


def test_a_draw_of_the_prior_moves_the_dream():
  keys = jax.random.split(jax.random.key(0))
  inputs = MODEL.initial(1), FRAMES[:1, 0], ACTIONS[:1, 1]
  frames = [plain.call(MODEL, SVGModule.__call__, *inputs, key).frame for key in (keys[0], keys[0], keys[1])]
  np.testing.assert_array_equal(frames[0], frames[1])
  assert np.abs(frames[0] - frames[2]).max() > 1e-4


@pytest.mark.parametrize("context", [1, 2])
def test_the_loss_of_sequences_equals_a_loop(context: int, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(type(MODEL.stochastic), "sample", lambda self, stats, key: self.mean(stats))
  frames = Frames(FRAMES, ACTIONS, FIRST, None, np.zeros_like(FRAMES))
  training = Variational(context=context, kl_scale=0.01)
  arrays = jax.tree.map(jnp.asarray, frames)
  taught = plain.call(MODEL, lambda model: training.teach(model, arrays, jnp.zeros(()), jax.random.key(0)))
  for row in range(ROWS):
    memory, maps, code, gap, age = NOTHING, [], np.zeros(0), 0.0, 0
    for t in range(LENGTH):
      frame = FRAMES[row : row + 1, t]
      agree(jax.tree.map(lambda x, t=t: x[:, t], taught.latents["state"]), row, memory)
      age = 0 if FIRST[row, t] else age
      if t and not FIRST[row, t]:
        expected = np.square(decode(code, maps) - frame).sum() + 0.01 * frame.size * gap
        np.testing.assert_allclose(taught.error[row, t], expected, rtol=1e-3)
      else:
        assert float(taught.error[row, t]) == 0
      if age < context:
        maps = encode(frame)[1]
      age += 1
      if t < LENGTH - 1:
        memory, code, gap = onward(memory, frame, ACTIONS[row : row + 1, t + 1], FRAMES[row : row + 1, t + 1])
        memory = NOTHING if FIRST[row, t + 1] else memory


def test_a_training_that_does_not_fit_is_refused_by_name():
  with pytest.raises(
    ValueError, match=r"training=Curriculum does not fit predictor=SVG, which has latent variables: choose Var"
  ):
    VideoModel(predictor=CONFIG, training=Curriculum())
  with pytest.raises(
    ValueError, match=r"training=Variational does not fit predictor=Oh, which has no latent variables: choose C"
  ):
    VideoModel(training=Variational())
  with pytest.raises(ValueError, match="kl_scale=-1 must be at least 0"):
    Variational(kl_scale=-1)
  with pytest.raises(ValueError, match="code=0 must be at least 1"):
    SVG(code=0)
