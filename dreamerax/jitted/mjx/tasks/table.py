"""The suite's tasks by the names that dm_control has for them."""

from collections.abc import Callable, Mapping
from functools import partial

from dreamerax.jitted.mjx.tasks.acrobot import Acrobot
from dreamerax.jitted.mjx.tasks.ball_in_cup import BallInCup
from dreamerax.jitted.mjx.tasks.base import Task
from dreamerax.jitted.mjx.tasks.cartpole import Cartpole
from dreamerax.jitted.mjx.tasks.cheetah import Cheetah
from dreamerax.jitted.mjx.tasks.finger import FingerSpin
from dreamerax.jitted.mjx.tasks.hopper import Hopper
from dreamerax.jitted.mjx.tasks.pendulum import Pendulum
from dreamerax.jitted.mjx.tasks.point_mass import PointMass
from dreamerax.jitted.mjx.tasks.reacher import Reacher
from dreamerax.jitted.mjx.tasks.walker import Walker

TASKS: Mapping[str, Callable[..., Task]] = {
  "acrobot_swingup": Acrobot,
  "acrobot_swingup_sparse": partial(Acrobot, sparse=True),
  "ball_in_cup_catch": BallInCup,
  "cartpole_balance": partial(Cartpole, swing_up=False),
  "cartpole_balance_sparse": partial(Cartpole, swing_up=False, sparse=True),
  "cartpole_swingup": partial(Cartpole, swing_up=True),
  "cartpole_swingup_sparse": partial(Cartpole, swing_up=True, sparse=True),
  "cheetah_run": Cheetah,
  "finger_spin": FingerSpin,
  "hopper_hop": partial(Hopper, hopping=True),
  "hopper_stand": partial(Hopper, hopping=False),
  "pendulum_swingup": Pendulum,
  "point_mass_easy": PointMass,
  "reacher_easy": Reacher,
  "reacher_hard": Reacher,
  "walker_run": partial(Walker, speed=8),
  "walker_stand": partial(Walker, speed=0),
  "walker_walk": partial(Walker, speed=1),
}
