"""How well a linear map finds the true state in what a world model sees in one image: R² on images it was not fitted to.

python experiments/linear_map.py --run RUN [--images 4000]
python experiments/linear_map.py --run RUN --state puck

The images are of random walks, of an e2c/ task from random states. The state is a vector that the task shows beside its
image, such as the puck's place on a table. The map is fitted by least squares to the first half of them. Chance is 0, and
1 is a map without errors.
"""

from dataclasses import dataclass, replace

import jax
import numpy as np
import tyro

from dreamerax import api, envs


@dataclass(frozen=True)
class Options:
  run: str  # directory of a run whose world model sees images
  images: int = 4000
  state: str = "true/state"  # observation that is to be found
  seed: int = 0


def walk(options: Options) -> tuple[np.ndarray, np.ndarray]:
  """Images [N, H, W, C] and true states [N, S]."""
  config = api.load_config(options.run).env
  config = replace(config, observations=("image", options.state), exploring_starts=config.task.startswith("e2c/"))
  env, rng = envs.make(config, options.seed), np.random.default_rng(options.seed)
  images, states, step = [], [], env.reset()
  while len(images) < options.images:
    images.append(step.observation["image"])
    states.append(step.observation[options.state])
    step = env.reset() if step.is_last else env.step(rng.uniform(-1, 1, env.spec.action.size).astype(np.float32))
  env.close()
  return np.stack(images), np.stack(states)


def main(options: Options) -> None:
  agent, params = api.load_agent(options.run)
  world, _ = agent.modules(params)
  see = jax.jit(lambda image: world.glance(world.encode({"image": image}, jax.random.key(0)), jax.random.key(0)))
  images, states = walk(options)
  features = np.concatenate([np.asarray(see(part)) for part in np.array_split(images, 10)])
  inputs = np.concatenate([features, np.ones((len(features), 1))], -1)
  half = len(inputs) // 2
  fitted, *_ = np.linalg.lstsq(inputs[:half], states[:half], rcond=None)
  errors = np.square(inputs[half:] @ fitted - states[half:]).mean(0)
  print("R² of each entry of the state:", *(f"{r:.3f}" for r in 1 - errors / states[half:].var(0)))


if __name__ == "__main__":
  main(tyro.cli(Options))
