"""A policy in a program, and the same as a file."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from dreamerax.agent import Agent
from dreamerax.deploy import policy as loader
from dreamerax.deploy.export import export, make_policy
from dreamerax.deploy.policy import LoadedPolicy, WrongPlatform, load
from tests import tiny

HEADER = {
  "spec": {"observation": {"image": {"shape": [12, 12, 3], "dtype": "uint8"}}, "action": {"size": 2, "discrete": False}}
}
AGENT = Agent(tiny.config(), tiny.PIXELS)


@pytest.fixture(scope="module")
def params() -> Any:
  """Not those of a fresh agent, whose actor hardly acts."""
  rng = np.random.default_rng(0)
  shapes = AGENT.policy_params(jax.eval_shape(AGENT.init, jax.random.key(0)))
  return jax.tree.map(lambda x: rng.normal(size=x.shape, scale=0.3).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def policy(params) -> LoadedPolicy:
  return make_policy(AGENT, params, explore=False, header=HEADER)


@pytest.fixture(scope="module")
def file(params, tmp_path_factory: pytest.TempPathFactory) -> Path:
  path = tmp_path_factory.mktemp("exported") / "policy.bin"
  export(AGENT, params, path, explore=False, batch=None, platforms=("cpu", "cuda"), header=HEADER)
  return path


def pictures(batch: int, seed: int = 0) -> dict[str, np.ndarray]:
  return tiny.observation(tiny.PIXELS, batch, seed=seed)


def play(policy: LoadedPolicy, batch: int, steps: int = 3) -> np.ndarray:
  """Actions [steps, batch, A] of episodes that begin."""
  state, actions = None, []
  for step in range(steps):
    action, state = policy(pictures(batch, step), state)
    actions.append(action)
  return np.stack(actions)


def test_it_acts_as_the_agent_does(policy: LoadedPolicy, params):
  actions = play(policy, 2)
  act = jax.jit(partial(AGENT.act, explore=False))
  carry, random = AGENT.initial_carry(2), jax.random.key(0, impl="threefry2x32")
  for step in range(3):
    now, random = jax.random.split(random)
    first = np.full(2, step == 0)
    expected, carry, _ = act(params, carry, pictures(2, step), first, now)
    np.testing.assert_allclose(actions[step], expected, atol=1e-5)
  assert actions.dtype == np.float32 and actions.shape == (3, 2, 2) and np.abs(actions).max() <= 1
  assert np.abs(np.diff(actions, axis=0)).max() > 1e-3  # it looks at what it is shown


def test_a_row_that_begins_again_forgets(policy: LoadedPolicy):
  _, state = policy(pictures(2, 0))
  again, _ = policy(pictures(2, 1), state, np.array([True, False]))
  on, _ = policy(pictures(2, 1), state)
  fresh, _ = policy(pictures(2, 1), {**policy.initial_state(2), "random": state["random"]}, np.array([True, True]))
  np.testing.assert_allclose(again[0], fresh[0], atol=1e-6)
  np.testing.assert_array_equal(again[1], on[1])
  assert np.abs(again[0] - on[0]).max() > 1e-3


def test_the_same_state_gives_the_same_action_and_another_seed_another(params):
  exploring = make_policy(AGENT, params, explore=True, header=HEADER)
  one, state = exploring(pictures(2), exploring.initial_state(2, seed=1), np.full(2, True))
  same, _ = exploring(pictures(2), exploring.initial_state(2, seed=1), np.full(2, True))
  other, _ = exploring(pictures(2), exploring.initial_state(2, seed=2), np.full(2, True))
  later, _ = exploring(pictures(2), state, np.full(2, True))
  np.testing.assert_array_equal(one, same)
  assert np.abs(one - other).max() > 1e-3 and np.abs(one - later).max() > 1e-3


def test_the_file_acts_as_the_policy_does(policy: LoadedPolicy, file: Path):
  np.testing.assert_allclose(play(load(file), 3), play(policy, 3), atol=1e-6)


def test_the_loader_needs_nothing_of_this_package(policy: LoadedPolicy, file: Path, tmp_path: Path):
  copy = tmp_path / "loader.py"
  copy.write_text(Path(loader.__file__).read_text())
  np.save(tmp_path / "image.npy", pictures(2)["image"])
  program = f"""
import sys
for name in ("dreamerax", "flax", "optax", "distrax", "orbax"):
  sys.modules[name] = None
sys.path.insert(0, {str(tmp_path)!r})
import loader, numpy
action, state = loader.load({str(file)!r})({{"image": numpy.load({str(tmp_path / "image.npy")!r})}})
numpy.save({str(tmp_path / "action.npy")!r}, action)
"""
  subprocess.run([sys.executable, "-I", "-c", program], check=True)
  np.testing.assert_allclose(np.load(tmp_path / "action.npy"), play(policy, 2, 1)[0], atol=1e-6)


def test_the_file_holds_only_parameters_that_acting_needs(file: Path):
  with np.load(file) as stored:
    names = [name for name in stored.files if name.startswith(loader.PARAMETERS)]
  parts = {"/".join(name.split("/")[1:3]) for name in names}
  assert {"world_model/encoder", "world_model/dynamics", "behavior/actor"} == parts


def test_a_file_for_one_batch_size_takes_no_other(params, tmp_path: Path):
  path = tmp_path / "two.bin"
  export(AGENT, params, path, explore=False, batch=2, platforms=("cpu",), header=HEADER)
  fixed = load(path)
  fixed(pictures(2))
  with pytest.raises(ValueError, match="batch=3 must be 2, for which it was exported"):
    fixed(pictures(3))


def test_a_file_for_other_devices_is_refused(params, tmp_path: Path):
  path = tmp_path / "cuda.bin"
  export(AGENT, params, path, explore=False, batch=1, platforms=("cuda",), header=HEADER)
  with pytest.raises(WrongPlatform, match="exported for cuda, and JAX runs on cpu here"):
    load(path)


def test_an_agent_without_a_program_for_any_number_says_so(params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  """As Dreamer v2's truncated normals have none."""
  agent = Agent(tiny.config(), tiny.PIXELS)

  def act(params, carry, observation, is_first, key, *, explore):
    np.zeros(is_first.shape[0])  # wants a number, and a symbol is none
    return AGENT.act(params, carry, observation, is_first, key, explore=explore)

  monkeypatch.setattr(agent, "act", act)
  with pytest.raises(ValueError, match="no program for any number of environments; name one"):
    export(agent, params, tmp_path / "p.bin", explore=False, batch=None, platforms=("cpu",), header=HEADER)
  assert not (tmp_path / "p.bin").exists()


@pytest.mark.parametrize("position", [0.01, 0.5])
def test_a_damaged_file_is_refused(file: Path, tmp_path: Path, position: float):
  data = bytearray(file.read_bytes())
  (tmp_path / "cut.bin").write_bytes(data[: int(len(data) * 0.9)])
  data[int(len(data) * position)] ^= 255
  (tmp_path / "flipped.bin").write_bytes(data)
  for name in ("cut.bin", "flipped.bin"):
    with pytest.raises(ValueError, match="cannot be read as an exported policy"):
      load(tmp_path / name)


REFUSED = {
  "no batch axis": ({"image": np.zeros((12, 12, 3), np.uint8)}, r"no batch axis.*observation\['image'\]\[None\]"),
  "floats": ({"image": np.zeros((2, 12, 12, 3), np.float32)}, r"float32 \[2, 12, 12, 3\]; the policy takes uint8"),
  "another size": ({"image": np.zeros((2, 64, 64, 3), np.uint8)}, r"takes uint8 \[N, \*\[12, 12, 3\]\]"),
  "another name": ({"picture": np.zeros((2, 12, 12, 3), np.uint8)}, r"\['picture'\]; the policy takes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_observations_of_another_kind_are_refused(policy: LoadedPolicy, case: str):
  observation, message = REFUSED[case]
  with pytest.raises(ValueError, match=message):
    policy(observation)


def test_a_wrong_number_of_beginnings_is_refused(policy: LoadedPolicy):
  with pytest.raises(ValueError, match=r"is_first has shape \(1,\)"):
    policy(pictures(2), None, np.array([True]))


def hostile(file: Path, out: Path, program: Any, disabled: Any = ()) -> Path:
  """The exported policy in `file` with another program, which takes and returns the same."""
  with np.load(file) as stored:
    arrays = dict(stored)
  honest = jax.export.deserialize(bytearray(arrays["program"].tobytes()))
  parameters, state, observation, first = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct([n if isinstance(n, int) else 1 for n in x.shape], x.dtype),
    jax.tree.unflatten(honest.in_tree, honest.in_avals)[0],
  )
  exported = jax.export.export(jax.jit(program), platforms=("cpu",), disabled_checks=disabled)
  data = exported(parameters, state, observation, first).serialize()
  with out.open("wb") as written:
    np.savez(written, allow_pickle=False, **{**arrays, "program": np.frombuffer(bytes(data), np.uint8)})
  return out


@pytest.mark.parametrize("target", ["xla_ffi_python_cpu_callback", "xla_python_cpu_callback", "Sharding"])
def test_a_program_that_calls_the_machine_is_refused(file: Path, tmp_path: Path, target: str):
  def program(parameters, state, observation, first):
    action = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct((1, 2), np.float32))(first, index=np.uint64(12345678))
    return action, state

  def within(*arguments):  # hidden in a branch of a loop
    return jax.lax.fori_loop(
      0, 1, lambda i, x: jax.lax.cond(i == 0, program, lambda *_: x, *arguments), program(*arguments)
    )

  disabled = [jax.export.DisabledSafetyCheck.custom_call(target)]
  for each in (program, within):
    path = hostile(file, tmp_path / "policy.bin", each, disabled)
    with pytest.raises(ValueError, match=f"calls '{target}' of this machine"):
      load(path)


def test_a_program_that_takes_more_than_the_machine_is_refused(file: Path, tmp_path: Path):
  def program(parameters, state, observation, first):
    return jax.numpy.zeros((1, 2)) + jax.numpy.zeros((2**24, 2**24)).sum(), state

  with pytest.raises(ValueError, match=r"\[16777216, 16777216\], which is more than this machine's memory"):
    load(hostile(file, tmp_path / "policy.bin", program))


def test_a_header_that_describes_another_program_is_refused(file: Path, tmp_path: Path):
  with np.load(file) as stored:
    arrays = dict(stored)
  header = json.loads(arrays["header"].tobytes())
  for spec in ({"observation": {"image": {"shape": [64, 64, 3], "dtype": "uint8"}}}, {"observation": 3}, [], {}):
    text = json.dumps({**header, "spec": spec}).encode()
    with (tmp_path / "policy.bin").open("wb") as written:
      np.savez(written, allow_pickle=False, **{**arrays, "header": np.frombuffer(text, np.uint8)})
    with pytest.raises(ValueError, match="cannot be read as an exported policy"):
      load(tmp_path / "policy.bin")
