"""Stochastic video generation with a learned prior (Denton and Fergus 2018)."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from dreamerax import checks
from dreamerax.dynamics.base import reset_where
from dreamerax.dynamics.stochastic import Gaussian, Stochastic
from dreamerax.nets.blocks import Linear
from dreamerax.nets.convolutions import DoublingConv, HalvingConv, MapNorm
from dreamerax.nets.lstm import LSTM, Memory
from dreamerax.world_model.video.predictor import (
  FramePredictor,
  FrameShape,
  Inferred,
  LatentPredictorModule,
  Predicted,
  State,
)

_SLOPE = 0.2  # of leaky ReLUs


@dataclass(frozen=True)
class SVG(FramePredictor):
  """Codes of frames, of which LSTMs predict the next one from the action and a latent variable; SVG-LP.

  The prior of the latent sees the frames so far, its posterior the next one too. The decoder also sees the maps that
  the encoder made of the newest frame that was seen, not predicted. Actions enter beside code and latent, as in FitVid
  (Babaeizadeh et al. 2021); the published model has none. Maps have layer normalisation in place of batch normalisation.
  """

  channels: tuple[int, ...] = (64, 128, 256, 512)  # of the convolutions, each of which halves the sides
  code: int = 128  # numbers that a frame is encoded in
  units: int = 256  # of the LSTMs
  layers: int = 2  # LSTMs that predict the code, one on another
  stochastic: Stochastic = field(default_factory=lambda: Gaussian(dims=10, min_std=1e-3))

  def __post_init__(self):
    for name in ("code", "units", "layers"):
      checks.at_least(1, self, name)
    if not self.channels or min(self.channels) < 1:
      raise ValueError(f"channels={self.channels} must be one positive number or more")

  @property
  def factor(self) -> int:
    return 2 ** len(self.channels)

  @property
  def has_latents(self) -> bool:
    return True

  def build(self, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs) -> "SVGModule":
    return SVGModule(self, shape, action, dtype=dtype, rngs=rngs)


class Encoded(NamedTuple):
  """What the encoder makes of frames."""

  code: jax.Array  # [N, G] in [-1, 1]
  maps: list[jax.Array]  # [N, H / 2^i, W / 2^i, C], the largest first


class SVGModule(LatentPredictorModule):
  """Built from `SVG`.

  Its memory is that of the three LSTMs, the maps of the newest frame that was seen, and whether frames were predicted
  since; before that the maps are zeros, as they are those of the frame itself.
  """

  def __init__(self, config: SVG, shape: FrameShape, action: int, *, dtype: Any, rngs: nnx.Rngs):
    self.config, self.stochastic, self.summary_size = config, config.stochastic, config.units
    kinds = {"dtype": dtype, "rngs": rngs}
    self.encoder = _Encoder(shape, config.channels, config.code, **kinds)
    self.decoder = _Decoder(shape, config.channels, config.code, **kinds)
    self.prior, self.posterior = (
      _Recurrent(config.code, config.units, 1, config.stochastic.stats_size, **kinds) for _ in range(2)
    )
    inputs = config.code + action + config.stochastic.size
    self.onward = _Recurrent(inputs, config.units, config.layers, config.code, **kinds)

  def initial(self, batch: int) -> State:
    names = ("prior", "posterior", "onward")
    return {
      **{name: getattr(self, name).initial(batch) for name in names},
      "maps": [jnp.zeros((batch, *shape)) for shape in self.encoder.shapes],
      "dreamt": jnp.zeros((batch, 1)),  # 1 where the newest frame was predicted
    }

  def __call__(self, state: State, frame: jax.Array, action: jax.Array, key: jax.Array | None) -> Predicted:
    found = self.encoder(frame)
    prior, stats = self.prior(state["prior"], found.code)
    latent = self.stochastic.mean(stats) if key is None else self.stochastic.sample(stats, key)
    onward, code = self._onward(state["onward"], found.code, action, latent)
    dreamt = state["dreamt"][..., None, None] > 0
    maps = [jnp.where(dreamt, old, new) for old, new in zip(state["maps"], found.maps, strict=True)]
    state = {**state, "prior": prior, "onward": onward, "maps": maps, "dreamt": jnp.ones_like(state["dreamt"])}
    return Predicted(state, self.decoder(code, maps))

  def see(
    self, state: State, frame: jax.Array, action: jax.Array, after: jax.Array, key: jax.Array | None
  ) -> Predicted:
    expected = self(state, frame, action, None)
    seen = self._seen(state, self.encoder(frame).code, self.encoder(after).code, action, key)
    return Predicted(seen.state, expected.frame)

  def infer(
    self, frame: jax.Array, action: jax.Array, is_first: jax.Array, shown: jax.Array, key: jax.Array
  ) -> Inferred:
    rows, length = is_first.shape
    found = jax.tree.map(
      lambda x: x.reshape(rows, length, *x.shape[1:]), self.encoder(frame.reshape(-1, *frame.shape[2:]))
    )
    inputs = (found.code[:, :-1], found.code[:, 1:], action[:, 1:], is_first[:, 1:])
    inputs = jax.tree.map(lambda x: x.swapaxes(0, 1), inputs)

    def step(state: State, inputs: tuple[jax.Array, ...]) -> tuple[State, tuple[State, jax.Array, jax.Array]]:
      before, after, action, is_first, key = inputs
      seen = self._seen(state, before, after, action, key)
      state = reset_where(is_first, seen.state)
      return state, (state, seen.code, seen.kl)

    start = self.initial(rows)
    _, (states, codes, kl) = jax.lax.scan(step, start, (*inputs, jax.random.split(key, length - 1)))
    states = jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]).swapaxes(0, 1), start, states)
    time = jnp.arange(length - 1)
    newest = jax.lax.cummax(jnp.where(shown[:, :-1], time, 0), 1)  # the step whose maps the decoder sees
    maps = [jnp.take_along_axis(x, newest[..., None, None, None], 1) for x in found.maps]
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (codes.swapaxes(0, 1), maps))
    predicted = self.decoder(*flat).reshape(rows, length - 1, *frame.shape[2:])
    predicted, kl = (jnp.pad(x, [(0, 0), (1, 0), *[(0, 0)] * (x.ndim - 2)]) for x in (predicted, kl.swapaxes(0, 1)))
    return Inferred(states, predicted, kl)

  def summary(self, state: State) -> jax.Array:
    return state["onward"][-1]["hidden"]

  def _onward(
    self, memory: list[Memory], code: jax.Array, action: jax.Array, latent: jax.Array
  ) -> tuple[list[Memory], jax.Array]:
    """The memory, and the code that is expected [N, G]."""
    memory, code = self.onward(
      memory, jnp.concatenate([code, action.astype(code.dtype), latent.astype(code.dtype)], -1)
    )
    return memory, jnp.tanh(code)

  def _seen(
    self, state: State, before: jax.Array, after: jax.Array, action: jax.Array, key: jax.Array | None
  ) -> "_Seen":
    """One step with the posterior, from the code [N, G] of a frame to that of the next."""
    prior, expected = self.prior(state["prior"], before)
    posterior, stats = self.posterior(state["posterior"], after)
    latent = self.stochastic.mean(stats) if key is None else self.stochastic.sample(stats, key)
    onward, code = self._onward(state["onward"], before, action, latent)
    state = {
      "prior": prior,
      "posterior": posterior,
      "onward": onward,
      "maps": [jnp.zeros_like(x) for x in state["maps"]],
      "dreamt": jnp.zeros_like(state["dreamt"]),
    }
    return _Seen(state, code, self.stochastic.kl(stats, expected))


class _Seen(NamedTuple):
  state: State
  code: jax.Array  # [N, G], expected of the next frame
  kl: jax.Array  # [N], of the posterior from the prior


class _Recurrent(nnx.Module):
  """A dense layer, LSTMs, and a dense layer: [N, inputs] -> [N, outputs] float32."""

  def __init__(self, inputs: int, units: int, layers: int, outputs: int, *, dtype: Any, rngs: nnx.Rngs):
    self.enter = Linear(inputs, units, dtype=dtype, rngs=rngs)
    self.cells = nnx.Dict({f"cell{i}": LSTM(units, units, dtype=dtype, rngs=rngs) for i in range(layers)})
    self.leave = Linear(units, outputs, dtype=dtype, rngs=rngs)

  def initial(self, batch: int) -> list[Memory]:
    return [cell.initial(batch) for cell in self.cells.values()]

  def __call__(self, memory: list[Memory], x: jax.Array) -> tuple[list[Memory], jax.Array]:
    x, later = self.enter(x), []
    for before, cell in zip(memory, self.cells.values(), strict=True):
      later.append(cell(before, x))
      x = later[-1]["hidden"].astype(x.dtype)
    return later, self.leave(x).astype(jnp.float32)


class _Encoder(nnx.Module):
  """Frames [N, H, W, C] -> their code, and the maps on the way to it."""

  def __init__(self, shape: FrameShape, channels: tuple[int, ...], code: int, *, dtype: Any, rngs: nnx.Rngs):
    height, width, inputs = shape
    self.shapes: tuple[tuple[int, int, int], ...] = tuple(
      (height >> level, width >> level, units) for level, units in enumerate(channels, 1)
    )
    sizes = zip((inputs, *channels), channels, strict=False)
    self.stages = nnx.Dict({f"stage{i}": HalvingConv(*size, dtype=dtype, rngs=rngs) for i, size in enumerate(sizes)})
    self.norms = nnx.Dict({f"norm{i}": MapNorm(units) for i, units in enumerate(channels)})
    small = self.shapes[-1]
    self.dense = Linear(small[0] * small[1] * small[2], code, dtype=dtype, rngs=rngs)

  def __call__(self, frame: jax.Array) -> Encoded:
    x, maps = frame - 0.5, []
    for stage, norm in zip(self.stages.values(), self.norms.values(), strict=True):
      x = jax.nn.leaky_relu(norm(stage(x)), _SLOPE)
      maps.append(x)
    return Encoded(jnp.tanh(self.dense(x.reshape(x.shape[0], -1)).astype(jnp.float32)), maps)


class _Decoder(nnx.Module):
  """Code [N, G] and maps -> frames [N, H, W, C] in [0, 1]; each stage sees the map of its size beside what came before."""

  def __init__(self, shape: FrameShape, channels: tuple[int, ...], code: int, *, dtype: Any, rngs: nnx.Rngs):
    height, width, colours = shape
    count = len(channels)
    self.small = (height >> count, width >> count, channels[-1])
    self.dense = Linear(code, self.small[0] * self.small[1] * self.small[2], dtype=dtype, rngs=rngs)
    self.norm = MapNorm(channels[-1])
    outputs = (*channels[-2::-1], colours)
    self.stages = nnx.Dict(
      {
        f"stage{i}": DoublingConv(2 * inputs, units, dtype=dtype, rngs=rngs)
        for i, (inputs, units) in enumerate(zip(channels[::-1], outputs, strict=True))
      }
    )
    self.norms = nnx.Dict({f"norm{i}": MapNorm(units) for i, units in enumerate(outputs[:-1])})

  def __call__(self, code: jax.Array, maps: list[jax.Array]) -> jax.Array:
    x = jax.nn.leaky_relu(self.norm(self.dense(code).reshape(-1, *self.small)), _SLOPE)
    for index, stage in enumerate(self.stages.values()):
      x = stage(jnp.concatenate([x, maps[-1 - index].astype(x.dtype)], -1))
      if index < len(self.norms):
        x = jax.nn.leaky_relu(self.norms[f"norm{index}"](x), _SLOPE)
    return jax.nn.sigmoid(x.astype(jnp.float32))
