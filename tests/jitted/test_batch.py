"""Array programs behind the batched interface: episodes, action repeat, the time limit, hidden observations, resuming."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.envs import EnvConfig, EnvironmentFault, check_applies, check_task, look_at, make, make_batch
from dreamerax.envs.suites.actions import random_actions
from dreamerax.jitted import Outcome
from dreamerax.jitted.adapters import _shown
from dreamerax.jitted.batch import ArrayEnvs
from dreamerax.jitted.program import episode_keys
from dreamerax.types import ActionSpec, ArraySpec, EnvSpec, Transition
from tests.contracts.environment import EnvironmentContract
from tests.envs.programs import Changed, Drift, braxlike, gymnaxlike, pendulumlike

TASK = "jit:tests.envs.programs:"
ENV = Drift(far=1.2)


class TestAlone(EnvironmentContract):
  def make(self, seed):
    return make(EnvConfig(f"{TASK}fixed"), seed)


def drive(envs: ArrayEnvs, steps: int, seed: int = 0) -> list[Transition]:
  rng = np.random.default_rng(seed)
  rows = (envs.step(random_actions(envs.spec.action, rng, envs.num_envs)) for _ in range(steps))
  return [jax.tree.map(np.array, row) for row in rows]


def stacked(rows: list[Transition]) -> Transition:
  return jax.tree.map(lambda *arrays: np.stack(arrays), *rows)


@pytest.mark.parametrize("repeat", [1, 4])
def test_a_batch_is_what_a_loop_over_its_environments_gives(repeat: int):
  count, seed = 4, 7
  envs = ArrayEnvs(ENV, count, seed, name="drift", action_repeat=repeat)
  rows = stacked([jax.tree.map(np.array, envs.reset()), *drive(envs, 24)])
  ends = {"terminal": 0, "limit": 0, "within a repeat": 0}
  reset, step = jax.jit(ENV.reset), jax.jit(ENV.step)
  for stream in range(count):
    number, t = 0, 0
    while t < 24:
      numbers = np.full(count, number, np.int32)
      state, clock = reset(episode_keys(np.uint32(seed), numbers)[stream]), 0
      assert rows.is_first[t, stream] and not rows.reward[t, stream] and not rows.action[t, stream].any()
      while t < 24:
        np.testing.assert_allclose(rows.observation["place"][t, stream], state["place"], rtol=1e-5, atol=1e-6)
        if rows.is_last[t, stream]:
          break
        t, reward, terminal = t + 1, 0.0, False
        for taken in range(repeat):
          state, outcome = step(state, rows.action[t, stream])
          reward, clock, terminal = reward + float(outcome.reward), clock + 1, bool(outcome.terminal)
          if terminal or clock == ENV.max_steps:
            ends["within a repeat"] += taken < repeat - 1
            break
        np.testing.assert_allclose(rows.reward[t, stream], reward, rtol=1e-5, atol=1e-5)
        assert rows.is_terminal[t, stream] == terminal
        assert rows.is_last[t, stream] == (terminal or clock == ENV.max_steps)
        ends["terminal" if terminal else "limit"] += bool(rows.is_last[t, stream])
      t, number = t + 1, number + 1
  assert ends["terminal"] and ends["limit"] and bool(ends["within a repeat"]) == (repeat == 4)


def test_names_and_sizes_come_from_tracing_alone(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(ArrayEnvs, "advance", None)
  spec = look_at(EnvConfig(f"{TASK}drift", image_size=24, action_repeat=2))
  assert spec.observation == {
    "image": ArraySpec((24, 24, 3), "uint8"),
    "place": ArraySpec((2,)),
    "goal/place": ArraySpec((2,)),
  }
  assert spec.action == ActionSpec(2) and set(spec.visible) == {"image", "place"}


def test_the_policy_gets_arrays_of_the_device():
  envs = ArrayEnvs(ENV, 2, 0, name="drift")
  assert all(isinstance(array, jax.Array) for array in envs.reset().observation.values())


def test_numbers_for_people_are_means_over_an_episode_and_the_highest_success():
  envs = ArrayEnvs(ENV, 4, 3, name="drift")
  seen: list[list[float]] = [[] for _ in range(4)]
  envs.reset()
  ended = 0
  for _ in range(30):
    row = drive(envs, 1, seed=ended)[0]
    for i in range(4):
      seen[i] = [] if row.is_first[i] else [*seen[i], float(np.abs(row.observation["place"][i]).max())]
      if row.is_last[i]:
        expected = {"far": np.mean(seen[i]), "success": float(min(seen[i]) < 0.5)}
        assert envs.ended[i] == pytest.approx(expected, rel=1e-5)
        ended += 1
    assert set(envs.ended) == set(np.flatnonzero(row.is_last))
  assert ended > 4


@pytest.mark.parametrize("steps", [0, 3, 9])
def test_it_goes_on_to_the_bit(steps: int):
  envs, twin = (ArrayEnvs(ENV, 3, seed, name="drift") for seed in (5, 99))
  newest = [envs.reset(), *drive(envs, steps)][-1]
  state = jax.tree.map(np.array, envs.state())
  twin.restore(state, envs.episodes(), newest)
  for one, other in zip(drive(envs, 20, seed=1), drive(twin, 20, seed=1), strict=True):
    jax.tree.map(np.testing.assert_array_equal, one, other)
  assert envs.ended == twin.ended and envs.episodes()[0].number == twin.episodes()[0].number > 0


def test_without_a_state_others_begin_and_a_state_of_something_else_is_refused():
  envs, twin = (ArrayEnvs(ENV, 3, 5, name="drift") for _ in range(2))
  first = jax.tree.map(np.array, envs.reset())
  assert twin.resume(envs.episodes(), first).all()
  row = drive(twin, 1)[0]
  assert row.is_first.all() and not np.array_equal(row.observation["place"], first.observation["place"])
  other = ArrayEnvs(braxlike(), 3, 5, name="other")
  with pytest.raises(ValueError, match="task='other': the checkpoint's environments hold other arrays"):
    other.restore(envs.state(), envs.episodes(), first)


def nan_far_away(state, action):
  state, outcome = Drift().step(state, action)
  return state, outcome._replace(reward=jnp.where(jnp.abs(state["place"]).max() > 1.2, jnp.nan, 1.0))


def test_a_number_that_is_not_finite_ends_the_run_or_its_episode():
  spoilt = Changed(step=nan_far_away)
  envs = ArrayEnvs(spoilt, 4, 0, name="spoilt")
  envs.reset()
  with pytest.raises(EnvironmentFault, match=r"spoilt: the reward of environment \d .* --nonfinite skip"):
    drive(envs, 30)
  envs = ArrayEnvs(spoilt, 4, 0, name="spoilt", skip_nonfinite=True)
  rows = stacked([jax.tree.map(np.array, envs.reset()), *drive(envs, 30)])
  assert np.isfinite(rows.reward).all() and envs.faults > 0
  cut = rows.is_last & (rows.reward == 0)
  assert cut.sum() == envs.faults and not rows.is_terminal[cut].any()
  for t, stream in np.argwhere(cut):
    np.testing.assert_array_equal(rows.observation["place"][t, stream], rows.observation["place"][t - 1, stream])


def test_pairs_of_brax_tell_falls_from_the_time_that_is_up():
  envs = ArrayEnvs(braxlike(), 3, 0, name="brax")
  envs.reset()
  rows = [envs.step(np.array([[1], [-1], [0]], np.float32)) for _ in range(6)]
  last = np.stack([row.is_last for row in rows])
  terminal = np.stack([row.is_terminal for row in rows])
  assert terminal[:5, :2].any(0).all() and not terminal[:, 2].any() and last[5, 2]
  assert envs.spec.observation == {"vector": ArraySpec((2,))} and envs.spec.action == ActionSpec(1)


def test_pairs_of_gymnax_tell_an_end_from_the_time_that_is_up():
  envs = ArrayEnvs(gymnaxlike(), 2, 0, name="gymnax")
  envs.reset()
  same, others = np.eye(3, dtype=np.float32)[[1, 1, 1, 1, 1]], np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
  rows = [envs.step(np.stack(pair)) for pair in zip(same, others, strict=True)]
  assert [row.is_terminal.tolist() for row in rows] == [[False, False]] * 3 + [[True, False]] + [[False, False]]
  assert [row.is_last.tolist() for row in rows] == [[False, False]] * 3 + [[True, False]] + [[False, True]]
  np.testing.assert_array_equal(rows[2].observation["vector"], [[0, 3, 0], [1, 1, 1]])
  assert envs.spec.action == ActionSpec(3, discrete=True)


def test_continuous_actions_of_gymnax_reach_its_bounds():
  envs = ArrayEnvs(pendulumlike(), 2, 0, name="gymnax")
  envs.reset()
  row = envs.step(np.array([[-1, 0], [1, 0.5]], np.float32))
  np.testing.assert_allclose(row.observation["vector"], [[-2, 1], [2, 1.5]])
  assert envs.spec.action == ActionSpec(2)


def test_what_playground_shows_to_a_critic_alone_is_hidden_from_the_model():
  shown = _shown({"state": jnp.zeros(3), "privileged_state": jnp.zeros(5), "pixels/view_0": jnp.zeros((4, 4, 3))})
  spec = EnvSpec({name: ArraySpec(tuple(x.shape), str(x.dtype)) for name, x in shown.items()}, ActionSpec(1))
  assert set(spec.observation) == {"state", "true/privileged_state", "pixels/view_0"}
  assert set(spec.visible) == {"state", "pixels/view_0"}


@pytest.mark.parametrize("size", [4, 20])
def test_images_of_a_program_that_has_one_size_are_resized(size: int):
  shown = make(EnvConfig(f"{TASK}tiles", image_size=size), 0).reset().observation
  assert shown["image"].shape == (size, size, 2) and shown["place"].shape == (2,)
  left, right = np.asarray(shown["image"][:, : size // 4]), np.asarray(shown["image"][:, -(size // 4) :])
  assert (left < 60).all() and (right > 190).all()


STEP = Drift().step


@pytest.mark.parametrize(
  ("methods", "said"),
  [
    ({"reset": lambda key: {"key": key}}, "step cannot be traced by jax: KeyError: 'place'"),
    ({"step": lambda s, a: s}, "step returned dict: return state, dreamerax.jitted.Outcome"),
    ({"step": lambda s, a: ({**s, "t": 0}, STEP(s, a)[1])}, "step returned a state of another structure than reset"),
    (
      {"step": lambda s, a: ({**s, "place": s["place"] > 0}, STEP(s, a)[1])},
      r"reset has float32 \[2\] at \['place'\], and step bool \[2\]",
    ),
    ({"step": lambda s, a: (s, Outcome(a, s["place"][0] > 0))}, r"step gave reward of shape \[2\]"),
    ({"step": lambda s, a: (s, Outcome(a[0], s["place"][0]))}, "step gave terminal as float32: it is a bool"),
    ({"step": lambda s, a: (s, Outcome(a[0], a[0] > 0, {"far": a}))}, r"step gave log\['far'\] of shape \[2\]"),
    ({"observe": lambda s: s["place"]}, "observe returned"),
    ({"observe": lambda s: {"place": s["place"].astype(int)}}, r"'place'\] is int32 \[2\]"),
    (
      {"observe": lambda s: {"place": float(s["place"][0])}},
      "observe cannot be traced by jax: ConcretizationTypeError",
    ),
  ],
)
def test_functions_that_do_not_fit_are_refused_before_anything_is_compiled(methods, said: str):
  with pytest.raises(ValueError, match=f"task='changed': .*{said}"):
    ArrayEnvs(Changed(**methods), 2, 0, name="changed")


def test_more_than_memory_holds_are_refused_with_the_number_that_fits():
  with pytest.raises(
    ValueError, match=r"num_envs=1000000000: .*task='drift' take 8\d\d bytes each, .* at most [\d,]+ fit"
  ):
    ArrayEnvs(ENV, 10**9, 0, name="drift")


@pytest.mark.parametrize(
  ("factory", "said"),
  [
    ("nothing", "the factory returned NoneType; return a dreamerax.jitted.ArrayEnv"),
    ("broken", "the factory raised OSError: no license left"),
    ("absent", "has no function 'absent'"),
  ],
)
def test_what_is_no_array_program_is_refused_in_a_line(factory: str, said: str):
  with pytest.raises(ValueError, match=said):
    look_at(EnvConfig(f"{TASK}{factory}"))


def test_settings_that_do_not_apply_are_refused_by_name():
  for fields, said in (
    ({"grey": True}, "grey=True: .* draws by itself"),
    ({"float_images": True}, "float_images=True: .* shows uint8 images already"),
  ):
    with pytest.raises(ValueError, match=said):
      make_batch(EnvConfig(f"{TASK}fixed", **fields), 2, 0)
  for name in ("workers.count", "rendering"):
    with pytest.raises(ValueError, match=f"{name}.*is for"):
      check_applies(EnvConfig(f"{TASK}fixed"), {name})
  with pytest.raises(ValueError, match="cannot import 'nowhere'"):
    check_task("jit:nowhere:make")
