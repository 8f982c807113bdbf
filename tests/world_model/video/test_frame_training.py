"""What is scored, and from which frames it is predicted: both against loops that follow every row by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dreamerax.nets.modules import params_of, with_params
from dreamerax.world_model.video.curriculum import Curriculum
from dreamerax.world_model.video.scheduled_sampling import ScheduledSampling
from dreamerax.world_model.video.training import Frames, FrameTraining, Taught
from tests.world_model.video.toys import PUSH, Toy, next_by_hand

ROWS, LENGTH, SHAPE = 4, 7, (2, 3, 1)
FIRST = np.zeros((ROWS, LENGTH), bool)
FIRST[0, 0] = FIRST[1, 3] = FIRST[2, 6] = True
PREDICTOR = Toy().build(SHAPE, 2, dtype=jnp.float32, rngs=nnx.Rngs(0))


def make() -> Frames:
  """Frames, and what was made of them: sums that begin anew with episodes and sequences."""
  rng = np.random.default_rng(0)
  frame = rng.uniform(size=(ROWS, LENGTH, *SHAPE)).astype(np.float32)
  action = rng.uniform(-1, 1, (ROWS, LENGTH, 2)).astype(np.float32) * ~FIRST[..., None]
  total, predicted = np.zeros_like(frame), np.zeros_like(frame)
  for row in range(ROWS):
    for t in range(1, LENGTH):
      after, predicted[row, t] = next_by_hand(total[row, t - 1], frame[row, t - 1], action[row, t])
      total[row, t] = 0 if FIRST[row, t] else after
  return Frames(frame, action, FIRST, {"sum": total}, predicted)


def began(row: int, t: int) -> int:
  """The step at which the episode, or the sequence, of a step began."""
  return max([0, *(s for s in range(t + 1) if FIRST[row, s])])


def teach(training: FrameTraining, frames: Frames, updates: int, key: jax.Array) -> Taught:
  arrays = jax.tree.map(jnp.asarray, frames)
  return jax.jit(lambda frames, updates: training.teach(PREDICTOR, frames, updates, key))(arrays, updates)


@pytest.mark.parametrize(("updates", "ahead"), [(0, 1), (9, 1), (10, 3), (19, 3), (20, 4), (1000, 4)])
def test_a_curriculum_scores_as_many_steps_ahead_as_its_stage_has(updates: int, ahead: int):
  frames, training = make(), Curriculum(steps=(1, 3, 4), begins=(0, 10, 20), context=2)
  taught = teach(training, frames, updates, jax.random.key(0))
  expected = np.zeros((ROWS, LENGTH))
  for row in range(ROWS):
    for start in range(LENGTH):
      if start - began(row, start) < 1:  # one frame alone was seen, and the context has two
        continue
      total, frame = frames.state["sum"][row, start], frames.frame[row, start]
      for t in range(start + 1, min(start + ahead + 1, LENGTH)):
        if FIRST[row, t]:
          break
        total, frame = next_by_hand(total, frame, frames.action[row, t])
        expected[row, t] += np.square(frame - frames.frame[row, t]).sum() / ahead
  np.testing.assert_allclose(taught.error, expected, rtol=1e-4, atol=1e-6)
  assert (expected > 0).sum() == 17 and float(taught.metrics["video/steps_ahead"]) == ahead
  np.testing.assert_array_equal(taught.latents["frame"], frames.frame)


def test_the_gradient_passes_through_all_steps():
  """That of the toy's weight, where the frames of one row are zeros and its actions ones."""
  zeros = np.zeros((1, 4, *SHAPE), np.float32)
  frames = Frames(zeros, np.ones((1, 4, 2), np.float32), np.zeros((1, 4), bool), {"sum": zeros}, zeros)

  def error(params):
    predictor = with_params(PREDICTOR, params)
    one = jax.vmap(lambda action: predictor({"sum": zeros[:, 0]}, zeros[:, 0], action, None).frame)
    predicted = one(frames.action.swapaxes(0, 1)).swapaxes(0, 1).at[:, 0].set(0)
    taught = Curriculum(steps=(3,), begins=(0,)).teach(
      predictor, frames._replace(predicted=predicted), jnp.zeros((), jnp.int32), jax.random.key(0)
    )
    return taught.error.sum()

  gradient = jax.jit(jax.grad(error))(params_of(PREDICTOR))["push"]
  # From the starts 0, 1, 2 follow 3, 2, 1 frames of p, 2 p and 3.1 p for each of six pixels; the last sees 0.1 of the first.
  places = (1, 2, 3.1)
  expected = sum(2 * PUSH * place**2 * 6 * (3 - i) for i, place in enumerate(places)) / 3
  assert gradient == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("updates", [0, 40, 10_000])
def test_scheduled_sampling_feeds_as_many_true_rows_as_its_schedule_says(updates: int):
  frames, training, key = make(), ScheduledSampling(context=2, decay=20.0), jax.random.key(3)
  taught = teach(training, frames, updates, key)
  count = {0: 4, 40: round(4 * 20 / (20 + np.exp(2))), 10_000: 0}[updates]
  expected, fed = np.zeros((ROWS, LENGTH)), frames.frame.copy()
  total = np.zeros((ROWS, *SHAPE), np.float32)
  for t, each in zip(range(1, LENGTH), jax.random.split(key, LENGTH - 1), strict=True):
    chosen = np.asarray(jax.random.permutation(each, ROWS)) < count
    assert chosen.sum() == count
    for row in range(ROWS):
      total[row], guess = next_by_hand(total[row], fed[row, t - 1], frames.action[row, t])
      seen = t - began(row, t)
      if seen >= 2:
        expected[row, t] = np.square(guess - frames.frame[row, t]).sum()
        fed[row, t] = frames.frame[row, t] if chosen[row] else guess
      if FIRST[row, t]:
        total[row] = 0
  np.testing.assert_allclose(taught.error, expected, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(taught.latents["frame"], fed, rtol=1e-5)
  np.testing.assert_allclose(taught.latents["state"]["sum"][:, -1], total, rtol=1e-5)
  assert float(taught.metrics["video/true_rows"]) == pytest.approx(count / 4)


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    ({"steps": ()}, r"steps=\(\) must be one positive number or more"),
    ({"begins": (0, 1)}, r"begins=\(0, 1\) must have a number for each of steps=\(1, 3, 5\)"),
    ({"begins": (0, 5, 5)}, r"begins=\(0, 5, 5\) must begin with 0 and rise"),
    ({"context": 0}, "context=0 must be at least 1"),
  ],
)
def test_a_curriculum_that_makes_no_sense_is_refused(fields: dict, message: str):
  with pytest.raises(ValueError, match=message):
    Curriculum(**fields)
  with pytest.raises(ValueError, match=r"decay=0\.0 must be more than 0"):
    ScheduledSampling(decay=0.0)
