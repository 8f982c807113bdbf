"""Seeds: all 64 bits count, and those below 2**32 draw what they have always drawn."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamerax.deploy.policy import LoadedPolicy
from dreamerax.envs.journal import derive_seeds
from dreamerax.run_config import RunConfig
from dreamerax.runtime import seeds

SMALL = [0, 1, 7, 2**31, 2**32 - 1]
LARGE = [2**32, 2**32 + 1, 7 * 2**32, 2**33, 2**63 - 1, 2**63, 2**64 - 1]


def words(key: jax.Array) -> tuple[int, ...]:
  return tuple(np.asarray(jax.random.key_data(key)).tolist())


def numbers(seed: int) -> list[tuple[int, ...]]:
  """What follows from a seed."""
  return [
    words(seeds.key(seed)),
    *((seeds.environment_seed(seed, purpose, 0),) for purpose in range(3)),
    (seeds.actor_seed(seed, 0, 0),),
    (seeds.own_seed(seed, 1),),
    tuple(seeds.sequence(seed, 0).generate_state(2).tolist()),
    tuple(derive_seeds(seed, 2)),
  ]


@pytest.mark.parametrize("seed", SMALL)
def test_a_seed_of_32_bits_keeps_its_numbers(seed: int):
  assert words(seeds.key(seed)) == words(jax.random.key(seed)) == (0, seed)
  for one, other, more in ((0, 0, 0), (1, 5, 1), (2, 2**33, 3)):
    expected = np.random.SeedSequence([seed, one, other]).generate_state(1)[0]
    assert seeds.environment_seed(seed, one, other) == seeds.actor_seed(seed, one, other) == expected
    assert (
      seeds.sequence(seed, more).generate_state(2) == np.random.SeedSequence([seed, more]).generate_state(2)
    ).all()
  assert seeds.own_seed(seed, 0) == seed
  assert seeds.own_seed(seed, 3) == np.random.SeedSequence([seed, 3]).generate_state(1)[0]


def test_known_numbers():
  assert seeds.environment_seed(0, seeds.COLLECT, 0) == 2968811710
  assert seeds.environment_seed(7, seeds.EVALUATE, 5000) == np.random.SeedSequence([7, 1, 5000]).generate_state(1)[0]
  assert words(seeds.key(2**32)) == (1, 0) and words(seeds.key(2**64 - 1)) == (2**32 - 1, 2**32 - 1)
  assert seeds.own_seed(2**40, 0) == 2**40


def test_no_two_seeds_are_the_same():
  for column in zip(*map(numbers, SMALL + LARGE), strict=True):
    assert len(set(column)) == len(column)


@settings(max_examples=100, deadline=None, print_blob=True, database=None)
@given(st.integers(2**32, 2**64 - 1), st.integers(0, 63))
def test_every_bit_counts(seed: int, bit: int):
  other = seed ^ (1 << bit)
  assert all(one != another for one, another in zip(numbers(seed), numbers(other), strict=True))


def test_a_large_seed_is_no_small_one_for_another_purpose():
  """NumPy joins the words of [2**32 + 5, 2, 0], and of [5, 1, 2]."""
  assert seeds.environment_seed(2**32 + 5, seeds.PREFILL, 0) & 0xFFFFFFFF != seeds.environment_seed(
    5, seeds.EVALUATE, 2
  )
  assert seeds.sequence(2**32, 0).generate_state(2).tolist() != seeds.sequence(0, 1).generate_state(2).tolist()


@pytest.mark.parametrize(("seed", "message"), [(-1, "must not be negative"), (2**64, r"must be less than 2\*\*64")])
def test_other_numbers_are_no_seeds(seed: int, message: str):
  with pytest.raises(ValueError, match=f"seed={seed} {message}"):
    seeds.check_seed(seed)
  with pytest.raises(ValueError, match=f"seed={seed} {message}"):
    RunConfig(size="", env_steps=1, seed=seed)


def test_a_policy_draws_from_all_bits():
  policy = LoadedPolicy(lambda *_: (jax.numpy.zeros(1), {}), {}, lambda batch: {}, {"batch": None})
  for seed in SMALL:
    assert tuple(policy.initial_state(1, seed)["random"].tolist()) == words(jax.random.key(seed, impl="threefry2x32"))
  assert policy.initial_state(1, 2**32)["random"].tolist() == [1, 0]
  for seed in (-1, 2**64):
    with pytest.raises(ValueError, match=r"must lie in \[0, 2\*\*64\)"):
      policy.initial_state(1, seed)
