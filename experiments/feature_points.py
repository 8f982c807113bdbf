"""Which head finds reacher's fingertip in an image: feature points beside fully connected layers and max-pooling.

python experiments/feature_points.py --head points [--images 800 --updates 1500 --seed 0]

Four networks have the same three convolutions and learn the finger's place from images of random poses and targets; those
that are scored were not seen. Levine et al. 2016 compare the same four on a robot's images.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx

from dreamerax import envs
from dreamerax.envs import EnvConfig
from dreamerax.ops.spatial import expected_positions

Head = Literal["points", "softmax", "connected", "pooled"]
LINK = 0.12  # m, length of either link of reacher
SIDE, CHANNELS, UNITS = 48, 16, 64
BATCH, HELD_OUT = 16, 200


@dataclass(frozen=True)
class Options:
  head: Head
  """What the two fully connected layers get. points: the spatial softmax's mean positions. softmax: its maps. connected: the
  last convolution. pooled: likewise, with max-pooling after the first two convolutions in place of a stride."""
  images: int = 800  # that are learned from
  updates: int = 1_500
  learning_rate: float = 3e-3  # of Adam in the beginning; it falls to zero as a cosine does
  seed: int = 0


class Network(nnx.Module):
  """Images [N, 48, 48, 3] in [-0.5, 0.5] -> [N, 2]."""

  def __init__(self, head: Head, rngs: nnx.Rngs):
    convolution = partial(nnx.Conv, out_features=CHANNELS, padding="VALID", rngs=rngs)
    self.head = head
    self.first = convolution(3, kernel_size=(7, 7), strides=1 if head == "pooled" else 2)
    self.second, self.third = (convolution(CHANNELS, kernel_size=(5, 5)) for _ in range(2))
    self.log_temperature = nnx.Param(jnp.log(0.1))
    size = self.see(jnp.zeros((1, SIDE, SIDE, 3))).size
    self.hidden, self.out = nnx.Linear(size, UNITS, rngs=rngs), nnx.Linear(UNITS, 2, rngs=rngs)

  def see(self, image: jax.Array) -> jax.Array:
    """[N, ...] -> [N, F], what the last layers get."""
    shrink = partial(nnx.max_pool, window_shape=(3, 3), strides=(2, 2)) if self.head == "pooled" else lambda x: x
    x = shrink(nnx.relu(self.first(image)))
    x = self.third(shrink(nnx.relu(self.second(x))))
    temperature = jnp.exp(self.log_temperature[...])
    if self.head == "points":
      x = expected_positions(x, temperature)
    elif self.head == "softmax":
      x = nnx.softmax(x.reshape(len(x), -1, CHANNELS) / temperature, 1)
    else:
      x = nnx.relu(x)
    return x.reshape(len(x), -1)

  def __call__(self, image: jax.Array) -> jax.Array:
    return self.out(nnx.relu(self.hidden(self.see(image))))


def poses(options: Options) -> tuple[np.ndarray, np.ndarray]:
  """Images [N, H, W, C], and the finger's places [N, 2] in metres."""
  config = EnvConfig("dmc/reacher_easy", image_size=SIDE, rendering="fast", observations=("image", "position"))
  env = envs.make(config, options.seed)
  shown = [env.reset().observation for _ in range(HELD_OUT + options.images)]
  env.close()
  angles = np.stack([each["position"] for each in shown]).cumsum(1)  # of each link
  places = LINK * np.stack([np.cos(angles).sum(1), np.sin(angles).sum(1)], 1)
  return np.stack([each["image"] for each in shown]), places.astype(np.float32)


def main(options: Options) -> None:
  images, places = poses(options)
  scale = places[HELD_OUT:].std()
  network = Network(options.head, nnx.Rngs(options.seed))
  rate = optax.cosine_decay_schedule(options.learning_rate, options.updates)
  optimizer = nnx.Optimizer(network, optax.adam(rate), wrt=nnx.Param)

  def predict(network: Network, image: jax.Array) -> jax.Array:
    return scale * network(image.astype(jnp.float32) / 255 - 0.5)

  def loss(network: Network, image: jax.Array, place: jax.Array) -> jax.Array:
    return jnp.square((predict(network, image) - place) / scale).sum(-1).mean()

  @nnx.jit
  def update(network: Network, optimizer: nnx.Optimizer, image: jax.Array, place: jax.Array) -> None:
    optimizer.update(network, nnx.grad(loss)(network, image, place))

  def error() -> float:
    """Mean distance of the images that are held out, in centimetres."""
    found = np.concatenate([test(network, part) for part in np.array_split(images[:HELD_OUT], 10)])
    return 100 * float(np.linalg.norm(found - places[:HELD_OUT], axis=1).mean())

  test, rng = nnx.jit(predict), np.random.default_rng(options.seed)
  for count in range(1, options.updates + 1):
    rows = rng.integers(HELD_OUT, len(images), BATCH)
    update(network, optimizer, images[rows], places[rows])
    if count % max(1, options.updates // 6) == 0:
      print(f"{options.head}: {error():.2f} cm after {count} updates", flush=True)
  around = np.linalg.norm(places[:HELD_OUT] - places[HELD_OUT:].mean(0), axis=1).mean()
  print(f"the mean place: {100 * around:.2f} cm")


if __name__ == "__main__":
  main(tyro.cli(Options))
