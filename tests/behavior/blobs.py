"""A world in pictures: a blob on a small square, which actions move by whole pixels."""

import jax
import jax.numpy as jnp

from dreamerax.behavior.imagination import World
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec

SIDE = 8
SPEC = EnvSpec({name: ArraySpec((SIDE, SIDE, 1), "uint8") for name in ("image", "goal/image")}, ActionSpec(2))


def drawn(latent: dict[str, jax.Array]) -> dict[str, jax.Array]:
  """{"place": [N, 2]} -> the image [N, H, W, 1] in [0, 1]."""
  grid = jnp.stack(jnp.meshgrid(jnp.arange(SIDE), jnp.arange(SIDE), indexing="ij"), -1)
  apart = grid - latent["place"][:, None, None]
  return {"image": jnp.exp(-jnp.square(apart).sum(-1, keepdims=True) / 8)}


def photographed(places: jax.Array) -> jax.Array:
  """Places [..., 2] -> uint8 [..., H, W, 1], as an environment would show them."""
  images = jnp.round(255 * drawn({"place": places.reshape(-1, 2)})["image"]).astype(jnp.uint8)
  return images.reshape(*places.shape[:-1], SIDE, SIDE, 1)


def step(latent: dict[str, jax.Array], action: jax.Array, key: jax.Array | None = None) -> dict[str, jax.Array]:
  return {"place": latent["place"] + jnp.round(action)}


WORLD = World(
  step=step,
  expect=step,
  features=lambda latent: latent["place"],
  reward=lambda features: features[..., 0],
  continues=lambda features: features[..., 0],
  encode=lambda observation, key: observation["image"],
  glance=lambda embed, key: embed,
  decode=drawn,
)
