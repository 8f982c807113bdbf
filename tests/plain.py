"""The networks once more, in plain NumPy float64 from their published description, for tests to compare with.

Layers are given by their parameters: nested dicts as `params_of` returns them.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from flax import nnx

from dreamerax.nets.modules import params_of, with_params

Module = TypeVar("Module", bound=nnx.Module)


def randomised(build: Callable[[], Module], seed: int = 0) -> tuple[Module, dict]:
  """What `build` gives with random parameters throughout, biases and scales too, and these parameters in float64."""
  rng = np.random.default_rng(seed)
  module = nnx.eval_shape(build)
  params = jax.tree.map(lambda x: (rng.normal(size=x.shape) * 0.3).astype(np.float32), params_of(module))
  return with_params(module, params), jax.tree.map(np.float64, params)


def call(module: nnx.Module, method: Callable[..., Any], *args: Any) -> Any:
  """method(module, *args) compiled as one program, which is quicker than operation by operation."""
  return jax.jit(lambda params, *args: method(with_params(module, params), *args))(params_of(module), *args)


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def silu(x):
  return x * sigmoid(x)


def linear(params, x):
  return x @ params["kernel"] + params["bias"]


def relu(x):
  return np.maximum(x, 0)


def elu(x):
  return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def softplus(x):
  return np.log1p(np.exp(x))


def block_linear(params, x):
  """By one dense matrix with the blocks on its diagonal."""
  blocks, rows, columns = params["kernel"].shape
  dense = np.zeros((blocks * rows, blocks * columns))
  for i, block in enumerate(params["kernel"]):
    dense[i * rows : (i + 1) * rows, i * columns : (i + 1) * columns] = block
  return x @ dense + params["bias"]


def norm_silu(params, x):
  return silu(x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-4) * params["scale"])


def mlp(params, x):
  for i in range(len(params["linears"])):
    x = norm_silu(params["norms"][f"norm{i}"], linear(params["linears"][f"linear{i}"], x))
  return x


def plain_mlp(params, x, activation):
  for i in range(len(params["linears"])):
    x = activation(linear(params["linears"][f"linear{i}"], x))
  return x


def conv_transposed(params, x):
  """[N, H, W, I] -> [N, 2 H - 2 + K, 2 W - 2 + K, O]: every pixel paints a K x K patch, two pixels further on each time."""
  kernel = params["kernel"]
  size = len(kernel)
  batch, height, width, _ = x.shape
  out = np.zeros((batch, 2 * height - 2 + size, 2 * width - 2 + size, kernel.shape[-1]))
  for row in range(height):
    for column in range(width):
      patch = np.einsum("ni,yxio->nyxo", x[:, row, column], kernel)
      out[:, 2 * row : 2 * row + size, 2 * column : 2 * column + size] += patch
  return out + params["bias"]


def conv_strided(params, x, padding):
  """Stride 2 with `padding` zeros around the image, kernel [K, K, I, O]."""
  side = params["kernel"].shape[0]
  x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
  height, width = ((size - side) // 2 + 1 for size in x.shape[1:3])
  y = np.zeros((x.shape[0], height, width, params["kernel"].shape[-1]))
  for i in range(height):
    for j in range(width):
      patch = x[:, 2 * i : 2 * i + side, 2 * j : 2 * j + side]
      y[:, i, j] = np.einsum("nabi,abio->no", patch, params["kernel"]) + params["bias"]
  return y


def lstm(cell, gates, forget_bias):
  """The next cell and output from the four gates before their functions."""
  enter, candidate, forget, leave = np.split(gates, 4, -1)
  cell = sigmoid(forget + forget_bias) * cell + sigmoid(enter) * np.tanh(candidate)
  return cell, sigmoid(leave) * np.tanh(cell)


def conv_same(params, x):
  """[N, H, W, I] -> [N, H, W, O], zeros around the picture."""
  size = len(params["kernel"])
  height, width = x.shape[1:3]
  padded = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)))
  out = np.zeros((*x.shape[:3], params["kernel"].shape[-1]))
  for dy in range(size):
    for dx in range(size):
      out += padded[:, dy : dy + height, dx : dx + width] @ params["kernel"][dy, dx]
  return out + params["bias"]


def max_pool(x):
  return np.maximum.reduce([x[:, dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)])


def upsample(x):
  return x.repeat(2, 1).repeat(2, 2)


def layer_norm(params, x, epsilon):
  centred = x - x.mean(-1, keepdims=True)
  return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * params["scale"] + params["bias"]


def reset_before_gru(params, inputs, deter):
  """TensorFlow 1's GRUBlockCell, one state at a time: [N, I], [N, D] -> [N, D]."""
  states = []
  for x, h in zip(inputs, deter, strict=True):
    reset, update = np.split(sigmoid(linear(params["gates"], np.concatenate([h, x]))), 2)
    candidate = np.tanh(linear(params["candidate"], np.concatenate([h * reset, x])))
    states.append((1 - update) * candidate + update * h)
  return np.stack(states)


def reset_after_gru(params, inputs, deter):
  """Keras's GRUCell with reset_after, one state at a time: [N, I], [N, D] -> [N, D]."""
  states = []
  for x, h in zip(inputs, deter, strict=True):
    from_input, from_state = (linear(params[name], y).reshape(3, -1) for name, y in (("inputs", x), ("recurrent", h)))
    update, reset = sigmoid(from_input[:2] + from_state[:2])
    candidate = np.tanh(from_input[2] + reset * from_state[2])
    states.append(update * h + (1 - update) * candidate)
  return np.stack(states)


def layer_norm_gru(params, inputs, deter):
  """Dreamer v2's cell, one state at a time: [N, I], [N, D] -> [N, D]."""
  states = []
  for x, h in zip(inputs, deter, strict=True):
    gates = layer_norm(params["norm"], linear(params["gates"], np.concatenate([h, x])), 1e-3)
    reset, candidate, update = np.split(gates, 3)
    update = sigmoid(update - 1)
    states.append(update * np.tanh(sigmoid(reset) * candidate) + (1 - update) * h)
  return np.stack(states)


def gru(params, deter, stoch, action, blocks):
  """The block-GRU with its inputs concatenated and repeated to every block, as it is described: [N, D] -> [N, D]."""
  action = action / np.maximum(1, np.abs(action))
  shared = [
    norm_silu(params[f"{name}_norm"], linear(params[f"{name}_in"], x))
    for name, x in (("deter", deter), ("stoch", stoch), ("action", action))
  ]
  own = np.split(deter, blocks, -1)
  mixed = np.concatenate([part for block in own for part in (block, *shared)], -1)
  mixed = norm_silu(params["mix_norm"], block_linear(params["mix"], mixed))
  gates = block_linear(params["gates"], mixed).reshape(len(deter), blocks, 3, -1)
  reset, candidate, update = (gates[:, :, i].reshape(deter.shape) for i in range(3))
  update = sigmoid(update - 1)
  return update * np.tanh(sigmoid(reset) * candidate) + (1 - update) * deter
