"""LaProp and Adam, each with its clipping, against NumPy loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dreamerax.ops.optimizers import Adam, LaProp, LinearDecay, clip_per_tensor


def laprop(params, gradients, *, rate, clip, eps, beta1, beta2, warmup):
  """Each tensor on its own, in float64; yields the parameters after each step."""
  square = {key: np.zeros_like(x) for key, x in params.items()}
  momentum = {key: np.zeros_like(x) for key, x in params.items()}
  for step, gradient in enumerate(gradients, 1):
    for key, g in gradient.items():
      limit = clip * max(1e-3, np.sqrt((params[key] ** 2).sum()))
      norm = np.sqrt((g**2).sum())
      if norm > limit:
        g = g * limit / norm
      square[key] = beta2 * square[key] + (1 - beta2) * g**2
      normalised = g / (np.sqrt(square[key] / (1 - beta2**step)) + eps)
      momentum[key] = beta1 * momentum[key] + (1 - beta1) * normalised
      learning_rate = rate * min(1.0, (step - 1) / warmup) if warmup else rate
      params = {**params, key: params[key] - learning_rate * momentum[key] / (1 - beta1**step)}
    yield params


def tensors(seed, scale=1.0):
  rng = np.random.default_rng(seed)
  bias = np.zeros(4) + (seed > 0) * rng.normal(size=4) * scale
  return {
    "kernel": rng.normal(size=(3, 4)) * scale,
    "bias": bias,
    "scale": 30 * rng.normal(size=4) * scale,  # of the same length as the bias, and of another norm
    "log_std": rng.normal(size=()) * scale,
  }


def test_several_updates_equal_a_loop_through_warm_up_and_after():
  optimizer = LaProp(learning_rate=1e-2, warmup=4)
  build = optimizer.build()
  # From far above what clipping lets through to far below.
  gradients = [tensors(step, scale=10.0 ** (1 - step)) for step in range(1, 9)]
  params = jax.tree.map(jnp.float32, tensors(0))
  state = build.init(params)
  expected = laprop(tensors(0), gradients, rate=1e-2, clip=0.3, eps=1e-20, beta1=0.9, beta2=0.999, warmup=4)
  for step, (gradient, target) in enumerate(zip(gradients, expected, strict=True)):
    updates, state = build.update(jax.tree.map(jnp.float32, gradient), state, params)
    params = optax.apply_updates(params, updates)
    for key, value in target.items():
      np.testing.assert_allclose(params[key], value, rtol=2e-5, atol=1e-6, err_msg=f"{key} after step {step}")


def test_the_first_update_of_a_warm_up_does_not_move():
  build = LaProp(warmup=10).build()
  params = jax.tree.map(jnp.float32, tensors(0))
  updates, _ = build.update(params, build.init(params), params)
  assert not any(x.any() for x in jax.tree.leaves(updates))


def test_the_size_of_a_first_step_is_the_learning_rate_whatever_the_gradient():
  build = LaProp(learning_rate=0.01, warmup=0).build()
  params = {"x": jnp.ones(5)}
  for size in (1e-9, 1.0, 1e9):
    updates, _ = build.update({"x": size * jnp.ones(5)}, build.init(params), params)
    np.testing.assert_allclose(updates["x"], -0.01, rtol=1e-4)


def test_clipping_holds_whole_tensors_to_a_share_of_their_norm():
  clip = clip_per_tensor(0.3)
  params = {"large": jnp.array([3.0, 4.0]), "zero": jnp.zeros(4), "quiet": jnp.array([3.0, 4.0])}
  gradients = {"large": jnp.array([60.0, 80.0]), "zero": jnp.ones(4), "quiet": jnp.array([0.1, -0.1])}
  clipped, _ = clip.update(gradients, clip.init(params), params)
  np.testing.assert_allclose(clipped["large"], [0.9, 1.2], rtol=1e-6)  # norm 0.3 · 5, direction kept
  np.testing.assert_allclose(clipped["zero"], np.full(4, 0.3e-3 / 2), rtol=1e-6)  # norm 0.3 · 1e-3
  np.testing.assert_array_equal(clipped["quiet"], gradients["quiet"])


def test_a_gradient_of_zero_gives_no_nan():
  build = LaProp(warmup=0).build()
  params = {"x": jnp.zeros(3)}
  updates, _ = build.update(params, build.init(params), params)
  np.testing.assert_array_equal(updates["x"], np.zeros(3))


def test_clipping_without_parameters_is_refused():
  clip = clip_per_tensor(0.3)
  with pytest.raises(ValueError, match="parameters"):
    clip.update({"x": jnp.ones(2)}, clip.init({"x": jnp.ones(2)}))


def tensorflow_adam(params, gradients, *, rate, clip, eps, decay, beta1, beta2):
  """The update that TensorFlow documents, in float64: its epsilon stands outside the bias correction."""
  mean = {key: np.zeros_like(x) for key, x in params.items()}
  square = {key: np.zeros_like(x) for key, x in params.items()}
  for step, gradient in enumerate(gradients, 1):
    norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
    corrected = rate * np.sqrt(1 - beta2**step) / (1 - beta1**step)
    for key, g in gradient.items():
      g = g * min(1.0, clip / norm)
      mean[key] = beta1 * mean[key] + (1 - beta1) * g
      square[key] = beta2 * square[key] + (1 - beta2) * g**2
      decayed = (1 - decay) * params[key]
      params = {**params, key: decayed - corrected * mean[key] / (np.sqrt(square[key]) + eps)}
    yield params


def test_adam_equals_tensorflows_with_clipping_and_decay():
  # An epsilon as large as the gradients, so that it matters where it is added.
  settings = {"clip": 2.0, "eps": 0.03, "decay": 0.01, "beta1": 0.8, "beta2": 0.99}
  build = Adam(learning_rate=1e-2, **settings).build()
  update = jax.jit(build.update)
  gradients = [tensors(step, scale=2.0 ** (3 - step)) for step in range(1, 9)]  # clipped at first, later not
  params = jax.tree.map(jnp.float32, tensors(0))
  state = build.init(params)
  expected = tensorflow_adam(tensors(0), gradients, rate=1e-2, **settings)
  for step, (gradient, target) in enumerate(zip(gradients, expected, strict=True)):
    updates, state = update(jax.tree.map(jnp.float32, gradient), state, params)
    params = optax.apply_updates(params, updates)
    for key, value in target.items():
      np.testing.assert_allclose(params[key], value, rtol=2e-5, atol=1e-6, err_msg=f"{key} after step {step}")


def test_decay_takes_its_share_whatever_the_learning_rate():
  params, still = {"x": jnp.full(3, 2.0)}, {"x": jnp.zeros(3)}
  for rate in (1e-6, 1.0):
    build = Adam(learning_rate=rate, decay=0.25).build()
    updates, _ = build.update(still, build.init(params), params)
    np.testing.assert_allclose(updates["x"], -0.5, rtol=1e-6)


def test_l2_adds_to_the_gradient_and_nothing_to_what_is_stored():
  gradients, settings = (
    [jax.tree.map(jnp.float32, tensors(step)) for step in range(1, 5)],
    {"clip": 1e9, "eps": 1e-7, "beta1": 0.9, "beta2": 0.999},
  )
  build, plain = Adam(learning_rate=1e-2, l2=0.3, **settings).build(), Adam(learning_rate=1e-2, **settings).build()
  params = other = jax.tree.map(jnp.float32, tensors(0))
  state, second = build.init(params), plain.init(other)
  for gradient in gradients:
    updates, state = build.update(gradient, state, params)
    params = optax.apply_updates(params, updates)
    shrinking = jax.tree.map(lambda g, x: g + 0.3 * x, gradient, other)
    updates, second = plain.update(shrinking, second, other)
    other = optax.apply_updates(other, updates)
  jax.tree.map(lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7), params, other)
  assert len(plain.init(params)) == 4  # as in checkpoints of before


def test_a_linear_decay_ends_in_steps_of_zero():
  build, plain = LinearDecay(Adam(learning_rate=0.1), updates=4).build(), Adam(learning_rate=0.1).build()
  params, gradient = {"x": jnp.ones(3)}, {"x": jnp.array([1.0, -2.0, 0.5])}
  state, other = build.init(params), plain.init(params)
  for share in (1, 0.75, 0.5, 0.25, 0, 0):
    updates, state = build.update(gradient, state, params)
    expected, other = plain.update(gradient, other, params)
    np.testing.assert_allclose(updates["x"], share * np.asarray(expected["x"]), rtol=1e-6)
  with pytest.raises(ValueError, match="updates=0 must be at least 1"):
    LinearDecay(Adam(), updates=0)


def test_the_norm_that_adam_clips_is_that_of_its_own_group():
  build = optax.partition(
    {"a": Adam(clip=1.0, eps=1.0).build(), "b": Adam(clip=1.0, eps=1.0).build()}, {"a": "a", "b": "b"}
  )
  params = {"a": jnp.zeros(2), "b": jnp.zeros(1)}
  updates, _ = build.update({"a": jnp.array([0.3, 0.4]), "b": jnp.array([1e4])}, build.init(params), params)
  alone = Adam(clip=1.0, eps=1.0).build()
  expected, _ = alone.update({"a": jnp.array([0.3, 0.4])}, alone.init({"a": jnp.zeros(2)}), {"a": jnp.zeros(2)})
  np.testing.assert_allclose(updates["a"], expected["a"], rtol=1e-6)


@pytest.mark.parametrize(
  ("field", "value"), [("learning_rate", 0.0), ("clip", 0.0), ("eps", -1.0), ("decay", 1.5), ("l2", -1.0)]
)
def test_settings_of_adam_that_make_no_sense_are_named(field, value):
  with pytest.raises(ValueError, match=f"{field}={value}"):
    Adam(**{field: value})
