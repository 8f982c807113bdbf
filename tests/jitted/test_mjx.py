"""Tasks of dm_control as array programs, beside dm_control's own. Without the extra `batched`, they are skipped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dreamerax.envs import EnvConfig, check_applies, check_task, examine, make, make_batch
from dreamerax.envs.suites.actions import random_actions
from dreamerax.envs.suites.dm_control import import_suite
from dreamerax.jitted.batch import ArrayEnvs
from dreamerax.jitted.mjx import suite
from dreamerax.jitted.mjx.host import Host
from dreamerax.jitted.mjx.model import load
from dreamerax.jitted.mjx.rewards import tolerance
from dreamerax.jitted.mjx.scene import GIVEN, STEPPED, Physics, SceneArrays
from dreamerax.jitted.mjx.suite import MAX_STEPS
from dreamerax.jitted.mjx.tasks.ball_in_cup import BallInCupTask
from dreamerax.jitted.mjx.tasks.base import ArrayTask
from dreamerax.jitted.mjx.tasks.reacher import ReacherTask
from dreamerax.jitted.mjx.tasks.table import TASKS
from tests.contracts.environment import EnvironmentContract

NEEDED = "needs mujoco-warp: make setup EXTRAS=dev,batched"
STATES, STEPS = 32, 50
# Over STEPS control steps of random actions, the largest difference of a vector or reward from dm_control's, which keeps its
# state in 64 bits and this one in 32: 1e-5 but where contacts make small differences large.
BOUNDS = {"walker": 0.02, "hopper": 5e-3}
# The largest mean difference of a picture's values in 0 … 255 from dm_control's, who has reacher and point mass in a shadow.
PICTURES = {"reacher": 25.0, "point": 25.0}


def dm_env(name: str):
  """dm_control's environment, after a reset."""
  domain, behaviour = next(pair for pair in import_suite().ALL_TASKS if "_".join(pair) == name)
  env = import_suite().load(domain, behaviour, task_kwargs={"random": 3})
  env.reset()
  return env


def vectors(env) -> dict[str, np.ndarray]:
  return {name: np.ravel(value) for name, value in env.task.get_observation(env.physics).items()}


def put(env, task: ArrayTask, scene: SceneArrays, physics: Physics) -> SceneArrays:
  """Makes dm_control's state what the scene's is; returns the scene as it follows from the state."""
  data = env.physics.data
  data.qpos[:], data.qvel[:], data.qacc_warmstart[:], data.ctrl[:] = (getattr(scene, name) for name in GIVEN)
  for geom in task.moved:
    env.physics.model.geom_pos[geom] = scene.geom_xpos[geom]
  env.physics.forward()
  return task.placed(scene, physics.step(scene, scene.ctrl, 0))


@pytest.mark.parametrize(
  ("bounds", "margin", "shape", "at_margin"),
  [
    ((0, 0), 2, "gaussian", 0.1),
    ((1.2, np.inf), 0.6, "gaussian", 0.1),
    ((0, 0.1), 0, "gaussian", 0.1),
    ((1, np.inf), 0.5, "linear", 0.5),
    ((0, 0), 1, "quadratic", 0),
  ],
)
def test_tolerance_is_dm_controls(bounds, margin, shape, at_margin):
  from dm_control.utils import rewards

  x = np.linspace(-3, 3, 101, dtype=np.float32)
  expected = rewards.tolerance(x, bounds, margin, shape, at_margin)
  np.testing.assert_allclose(tolerance(jnp.asarray(x), bounds, margin, shape, at_margin), expected, atol=1e-6)


def met(task: ArrayTask, scene: SceneArrays) -> SceneArrays:
  """The scene with the target where what is to reach it is, nearly."""
  if isinstance(task, ReacherTask):
    return scene._replace(geom_xpos=scene.geom_xpos.at[task.moved[0]].set(scene.geom_xpos[task._finger] + 0.002))
  if isinstance(task, BallInCupTask):
    off = (scene.site_xpos[task._target] - scene.xpos[task._ball])[::2]
    return scene._replace(qpos=np.asarray(scene.qpos.at[task._joints].add(off + 0.002)))
  return scene


class Plain:
  """A Physics without jax and without the extra."""

  def __init__(self, model):
    self._host = Host(model)

  def step(self, scene: SceneArrays, ctrl, steps: int) -> SceneArrays:
    given = scene._replace(ctrl=ctrl)
    shown = {name: np.array(getattr(scene, name))[None] for name in STEPPED}
    self._host.run(steps, [np.asarray(getattr(given, name))[None] for name in GIVEN], list(shown.values()))
    return given._replace(**{name: jnp.asarray(array[0]) for name, array in shown.items()})


FAST = {"cartpole_balance", "walker_walk"}
EVERY = [pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow]) for name in TASKS]


@pytest.mark.parametrize("name", EVERY)
def test_rewards_and_observations_of_random_states_are_dm_controls(name: str):
  env, loaded, rng = dm_env(name), load(name), np.random.default_rng(0)
  task, physics = TASKS[name](loaded.model, loaded.substeps), Plain(loaded.model)
  scene, scenes, expected = task.look(loaded.model.qpos0, physics), [], []
  for key in range(STATES):
    spread = (0, 0.02, 0.2, 1)[key % 4]  # some rewards are only near the model's own position
    joints = np.array(task.any_joints(jax.random.key(key))) - loaded.model.qpos0
    joints = loaded.model.qpos0 + spread * (joints + rng.normal(0, 0.1, joints.shape))
    scene = scene._replace(qpos=joints.astype(np.float32), qvel=rng.normal(0, 15, loaded.model.nv).astype(np.float32))
    scene = scene._replace(ctrl=rng.uniform(-1, 1, loaded.model.nu).astype(np.float32))
    scene = met(task, put(env, task, scene, physics)) if key % 2 else scene
    scene = put(env, task, scene, physics)
    scenes.append(jax.tree.map(np.asarray, scene))
    expected.append(vectors(env) | {"reward": np.ravel(env.task.get_reward(env.physics))})
  scenes, expected = (jax.tree.map(lambda *arrays: np.stack(arrays), *each) for each in (scenes, expected))
  shown = jax.jit(jax.vmap(lambda scene: {**task.vectors(scene), "reward": task.reward(scene)}))(scenes)
  assert set(shown) == {*loaded.observations, "reward"}
  for observation, array in expected.items():
    np.testing.assert_allclose(
      np.reshape(shown[observation], array.shape), array, rtol=1e-5, atol=1e-5, err_msg=observation
    )
  assert len(np.unique(expected["reward"])) > 1


def test_the_table_names_tasks_of_dm_control_whose_episodes_have_so_many_steps():
  assert set(TASKS) <= {"_".join(pair) for pair in import_suite().ALL_TASKS}
  assert {dm_env(name)._step_limit for name in FAST} == {MAX_STEPS}


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(suite.importlib.util, "find_spec", lambda name: None)
  assert suite.names() == ()
  with pytest.raises(ValueError, match=r"mjx/walker_walk' needs mujoco-warp, .*: `make setup EXTRAS=dev,batched`"):
    check_task("mjx/walker_walk")


def test_names_that_do_not_exist_and_settings_that_do_not_apply_are_refused(monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setattr(suite.importlib.util, "find_spec", lambda name: name)
  with pytest.raises(ValueError, match=r"mjx/walker_wakl' is not among those of mjx/\. Did you mean mjx/walker_walk"):
    check_task("mjx/walker_wakl")
  for name in ("workers.count", "rendering"):
    with pytest.raises(ValueError, match=f"{name}.*is for"):
      check_applies(EnvConfig("mjx/walker_walk"), {name})
  with pytest.raises(ValueError, match=r"grey=True: .* draws by itself"):
    make_batch(EnvConfig("mjx/walker_walk", grey=True), 2, 0)


def compiled(name: str, num_envs: int, seed: int = 0, **fields) -> ArrayEnvs:
  pytest.importorskip("mujoco_warp", reason=NEEDED)
  envs = make_batch(EnvConfig(f"mjx/{name}", **fields), num_envs, seed)
  assert isinstance(envs, ArrayEnvs)
  return envs


@pytest.mark.slow
class TestAlone(EnvironmentContract):
  def make(self, seed):
    pytest.importorskip("mujoco_warp", reason=NEEDED)
    return make(EnvConfig("mjx/reacher_easy", observations=("image", "position", "to_target")), seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_physics_rewards_and_pictures_stay_near_dm_controls(name: str):
  loaded, rng, env = load(name), np.random.default_rng(0), dm_env(name)
  envs = compiled(name, 2, observations=("image", *loaded.observations))
  envs.reset()
  scene, task = jax.tree.map(lambda array: np.array(array[0]), envs._state.env), TASKS[name](loaded.model, 1)
  put(env, task, scene, Plain(loaded.model))
  apart, differ = [], []
  for _ in range(STEPS):
    actions = random_actions(envs.spec.action, rng, 2)
    row, timestep = envs.step(actions), env.step(actions[0])
    expected = np.concatenate([*vectors(env).values(), [timestep.reward]])
    shown = np.concatenate([*(row.observation[key][0] for key in loaded.observations), row.reward[:1]])
    apart.append(np.abs(shown - expected).max())
    drawn = env.physics.render(64, 64, camera_id=0)
    differ.append(np.abs(drawn.astype(int) - np.asarray(row.observation["image"][0])).mean())
  body = name.partition("_")[0]
  assert max(apart) < BOUNDS.get(body, 1e-5) and np.mean(differ) < PICTURES.get(body, 5)


@pytest.mark.slow
def test_several_cameras_draw_what_dm_controls_do():
  envs, env, loaded = (
    compiled("walker_walk", 2, observations=("image/back", "image")),
    dm_env("walker_walk"),
    load("walker_walk"),
  )
  shown = envs.reset().observation
  scene = jax.tree.map(lambda array: np.array(array[1]), envs._state.env)
  put(env, TASKS["walker_walk"](loaded.model, loaded.substeps), scene, Plain(loaded.model))
  for name, camera in {"image": "side", "image/back": "back"}.items():
    drawn = env.physics.render(64, 64, camera).astype(int)
    assert np.abs(drawn - np.asarray(shown[name][1])).mean() < 5, name
  np.testing.assert_array_equal(compiled("walker_walk", 2).reset().observation["image"], shown["image"])
  with pytest.raises(
    ValueError, match="no observation 'image/top': it has image, image/side, image/back, orientations"
  ):
    make_batch(EnvConfig("mjx/walker_walk", observations=("image/top",)), 2, 0)


@pytest.mark.slow
def test_a_task_is_examined_by_the_name_that_the_papers_give_it():
  pytest.importorskip("mujoco_warp", reason=NEEDED)
  report = examine(EnvConfig("mjx/cup_catch"), steps=5, seed=0)
  assert not report.violations and list(report.spec.observation) == ["image"]


@pytest.mark.slow
def test_what_the_ray_tracer_keeps_counts_where_environments_are_more_than_memory_holds():
  with pytest.raises(ValueError, match=r"take 4\d,\d\d\d bytes each, .* at most [\d,]+ fit"):  # 12,288 of them an image
    compiled("cartpole_balance", 10**9)


@pytest.mark.slow
def test_a_batch_goes_on_to_the_bit_and_each_environment_is_as_it_is_alone():
  envs, twin = (compiled("walker_walk", 3, seed, action_repeat=2, image_size=32) for seed in (5, 99))
  rng = np.random.default_rng(0)
  envs.reset()
  newest = [envs.step(random_actions(envs.spec.action, rng, 3)) for _ in range(5)][-1]
  twin.restore(jax.tree.map(np.array, envs.state()), envs.episodes(), newest)
  actions = [random_actions(envs.spec.action, rng, 3) for _ in range(500)]
  for t, action in enumerate(actions):
    one, other = envs.step(action), twin.step(action)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert one.is_last.all() == (t == 494) and not one.is_terminal.any() and one.is_first.all() == (t == 495)
  assert one.observation["image"].shape == (3, 32, 32, 3) and isinstance(one.observation["image"], jax.Array)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "contacts"),
  [
    ("hopper_stand", True),
    ("cheetah_run", True),
    ("finger_spin", False),
    ("reacher_easy", False),
    ("walker_walk", False),
  ],
)
def test_the_simulator_of_graphics_cards_steps_as_mujoco_does(name: str, contacts: bool):
  pytest.importorskip("mujoco_warp", reason=NEEDED)
  from dreamerax.jitted.mjx.host_physics import HostPhysics
  from dreamerax.jitted.mjx.warp_physics import WarpPhysics

  loaded = load(name)
  task = TASKS[name](loaded.model, loaded.substeps)
  host, warps = HostPhysics(loaded.model), WarpPhysics(loaded.model)
  begun = jax.jit(jax.vmap(lambda key: task.begin(key, host)))
  scenes, ctrl = begun(jax.random.split(jax.random.key(0), 16)), jnp.full((16, loaded.model.nu), 0.5)
  for steps in (0, 4):
    expected, shown = (
      jax.jit(jax.vmap(lambda scene, ctrl, by=by, steps=steps: by.step(scene, ctrl, steps)))(scenes, ctrl)
      for by in (host, warps)
    )
    off = [np.abs(a - b).reshape(16, -1).max(-1) for a, b in zip(expected, shown, strict=True)]
    if steps:  # a hopper begins with its legs within each other, where the two find other contacts
      arrays = zip(expected._fields, off, strict=True)
      near = np.max([array for field, array in arrays if field != "qacc_warmstart"], 0) < 1e-3
      assert near.sum() >= (14 if name == "hopper_stand" else 16)
      assert not contacts or (near & (np.asarray(expected.ncon) > 0)).any()
    else:
      assert np.max(off) < 1e-5
