"""Words on video_file."""

import numpy as np
import pytest

from dreamerax import captions
from dreamerax.analysis.dream import DreamedEpisode, film
from dreamerax.commands import video_file


def test_pixels_become_squares_and_large_images_stay():
  frames = np.random.default_rng(0).integers(0, 256, (2, 7, 9, 3), dtype=np.uint8)
  large = captions.enlarge(frames, 20)
  assert large.shape == (2, 21, 27, 3) and (large[:, ::3, ::3] == frames).all()
  assert captions.enlarge(large, 20).shape == large.shape


@pytest.mark.parametrize("width", [8, 40, 300])
def test_text_is_written_within_its_strip(width: int):
  strip = captions.strip("step 12  return 3.4", width, 12, captions.SEEN)
  assert strip.shape == (12, width, 3)
  if width > 40:
    assert (strip[:, -1] == captions.SEEN).all() and strip.max() > 200


@pytest.mark.parametrize("shape", [(64, 64, 3), (84, 84, 1), (5, 7, 12), (240, 320, 3)])
def test_a_film_tells_the_columns_the_step_and_what_was_seen(shape: tuple[int, int, int]):
  rng = np.random.default_rng(0)
  truth = rng.integers(0, 256, (4, *shape), dtype=np.uint8)
  made = film(DreamedEpisode(truth, rng.random(truth.shape, np.float32), np.array([1, 1, 0, 0], bool), np.ones(4)))
  head, pictures = made[:, :40], made[:, 40:]
  height, width = pictures.shape[1], pictures.shape[2] // 3
  assert min(height, width) >= min(256, *shape[:2]) and pictures.shape[2] == 3 * width
  expected = captions.enlarge(np.repeat(truth[..., :1], 3, -1) if shape[2] < 3 else truth[..., :3])
  assert (pictures[:, :, :width] == expected).all()
  assert (head[:2, 39, -1] == captions.SEEN).all() and (head[2:, 39, -1] == captions.DREAMT).all()
  assert (head[0, :20] == head[3, :20]).all() and (head[0, 20:] != head[1, 20:]).any()


def test_a_film_shows_the_goal_beside_the_dream():
  rng = np.random.default_rng(0)
  truth, goal = rng.integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8)
  dreamt = DreamedEpisode(truth, rng.random(truth.shape, np.float32), np.array([1, 1, 0, 0], bool), np.ones(4), goal)
  made, without = film(dreamt), film(dreamt._replace(goal=None))
  assert made.shape == (4, 40 + 256, 4 * 256, 3)
  np.testing.assert_array_equal(made[:, 40:, : 3 * 256], without[:, 40:])
  np.testing.assert_array_equal(made[:, 40:, 3 * 256 :], captions.enlarge(goal))


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_an_episode_of_an_odd_size_is_written_with_its_score(tmp_path, name: str):
  frames = np.zeros((3, 9, 37, 3), np.uint8)
  scored = captions.scored(frames, np.array([0.0, 1.0, 1.0]))
  assert (scored[1] != scored[2]).any()
  video_file.write(tmp_path / name, scored, 10)
  assert (tmp_path / name).stat().st_size > 500
