"""A table seen from above, on which a puck pushes objects: `table/reach`, `table/place`, `table/push` and the like.

The scene is after the two-dimensional pushing task that Ebert et al. (2018) compare visual foresight on; model and figures
are our own. Everything moves in the plane, against friction, so that one image shows the whole state.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from dm_env import specs

from dreamerax.envs.base import Environment
from dreamerax.envs.names import near
from dreamerax.envs.suites import goal_task
from dreamerax.envs.suites.goal_task import GoalScene
from dreamerax.types import PIXELS

if TYPE_CHECKING:
  from dreamerax.envs.config import EnvConfig

PREFIX = "table/"
STEP = 0.08  # metres that an action moves the puck along an axis at most
PUCK, SIDE = 0.05, 0.055  # radius of the puck, half the side of an object
_HALF = 0.5  # half the side of the table
_INSIDE, _STARTS = 0.44, 0.3  # where the puck can go, and where objects begin, from the middle
_CAMERA, _FIELD = 0.75, 75.0  # height above the table, and degrees that it sees
_SUBSTEPS = 20  # of 0.01 s
_PUSHES = (0.15, 0.3)  # metres that the puck goes on from where it touches the object, to make a goal
_COLOURS = ("0.2 0.5 0.9", "0.2 0.7 0.3", "0.9 0.8 0.2")
_PLACE = (0.25, 0.25)  # where the puck is to go in `table/place`
_HEIGHT = 0.03  # half that of puck and objects
# Places in the simulation's user data: whether the puck touched an object in the newest step; of the goal's simulation, which
# object is to move, and where it began.
_CONTACT, _PUSHED, _BEGAN = 0, 1, slice(2, 4)


@dataclass(frozen=True)
class Table(GoalScene):
  """A puck and some objects; the distance is the largest of an object, or of the puck where there are none, in metres.

  An action moves the place that the puck is pulled to. The goal of a push is where objects and puck are after the puck
  has pushed one of them along a straight line; the start has the same objects, and the puck anywhere.
  """

  objects: int = 1
  steps: int = field(default=30, init=False)
  reach: float = field(default=0.05, init=False)

  def load(self) -> Any:
    from dm_control import mujoco

    return mujoco.Physics.from_xml_string(_model(self.objects))

  def begin(self, physics: Any, random: np.random.RandomState) -> None:
    places = [random.uniform(-_STARTS, _STARTS, 2)] if self.objects else [random.uniform(-_INSIDE, _INSIDE, 2)]
    while len(places) <= self.objects:
      width = _STARTS if len(places) < self.objects else _INSIDE  # the puck comes last
      place = random.uniform(-width, width, 2)
      if all(np.linalg.norm(place - other) > 3 * SIDE for other in places):
        places.append(place)
    _put(physics, places[-1])
    for index, place in enumerate(places[: self.objects]):
      _object(physics, index)[:] = [*place, random.uniform(-np.pi, np.pi)]

  def set_goal(self, physics: Any, random: np.random.RandomState) -> None:
    first = physics.get_state()
    moved, pushed = 0, random.randint(self.objects) if self.objects else 0
    while self.objects and not 0.1 < moved < 0.4:
      with physics.reset_context():
        physics.set_state(first)
      moved = self._push(physics, pushed, random)
    if not self.objects:
      _put(physics, random.uniform(-_INSIDE, _INSIDE, 2))
    physics.data.qvel[:] = 0
    physics.forward()
    began = first[2 + 3 * pushed :][:2] if self.objects else first[:2]
    physics.data.userdata[_PUSHED], physics.data.userdata[_BEGAN] = pushed, began

  def action_spec(self, physics: Any) -> specs.BoundedArray:
    return specs.BoundedArray((2,), np.float64, -1.0, 1.0)

  def act(self, physics: Any, action: np.ndarray) -> None:
    """Takes all simulator steps of the action but the last one, and notes whether the puck touched an object."""
    _pull(physics, physics.data.qpos[:2] + STEP * action)
    touched = False
    for _ in range(_SUBSTEPS - 1):
      physics.step()
      touched = touched or _touches(physics)
    physics.data.userdata[_CONTACT] = touched

  def distance(self, physics: Any, goal: Any) -> float:
    places = [self.places(each) for each in (physics, goal)]
    return float(np.linalg.norm(places[0] - places[1], axis=-1).max())

  def places(self, physics: Any) -> np.ndarray:
    """Where the objects are, or the puck where there are none: [n, 2], metres from the middle."""
    if not self.objects:
      return physics.data.qpos[None, :2].copy()
    return np.stack([_object(physics, index)[:2] for index in range(self.objects)])

  def vectors(self, physics: Any) -> dict[str, np.ndarray]:
    turns = [_object(physics, index) for index in range(self.objects)]
    objects = [np.array([x, y, np.cos(angle), np.sin(angle)]) for x, y, angle in turns]
    return {"puck": physics.data.qpos[:2].copy(), **({"objects": np.concatenate(objects)} if objects else {})}

  def hidden(self, physics: Any, goal: Any) -> dict[str, np.ndarray]:
    """Gives "goal/pixels", the row and column at which what is to move began, and those where it should be, as shares of
    the image's side; and, where there are objects, "event/contact", 1 where the puck touched one during the newest step."""
    aim = self.places(goal)[int(goal.data.userdata[_PUSHED])]
    pixels = np.concatenate([_pixel(goal.data.userdata[_BEGAN]), _pixel(aim)])
    if not self.objects:
      return {PIXELS: pixels}
    contact = max(physics.data.userdata[_CONTACT], float(_touches(physics)))
    return {PIXELS: pixels, "event/contact": np.array([contact])}

  def _push(self, physics: Any, pushed: int, random: np.random.RandomState) -> float:
    """Pushes an object in some direction, with the puck right behind it; how far, in metres.

    0 where the puck would begin outside its limits or on another object, or where it moves another one.
    """
    before, angle, length = self.places(physics), random.uniform(-np.pi, np.pi), random.uniform(*_PUSHES)
    along = np.array([np.cos(angle), np.sin(angle)])
    start = before[pushed] - (PUCK + 1.5 * SIDE) * along
    others = np.delete(before, pushed, 0)
    near = others.size and np.linalg.norm(others - start, axis=-1).min() < PUCK + 1.5 * SIDE
    if np.abs(start).max() > _INSIDE or near:
      return 0.0
    _put(physics, start)
    for share in np.linspace(0, 1, 5)[1:]:
      _pull(physics, start + share * length * along)
      physics.step(_SUBSTEPS)
    after = self.places(physics)
    still = np.delete(np.linalg.norm(after - before, axis=-1), pushed).max(initial=0) < 0.01
    return float(np.linalg.norm(after[pushed] - before[pushed])) if still else 0.0


@dataclass(frozen=True)
class Place(Table):
  """The puck is to go to one place, whatever the object is at; the distance is the puck's from there, in metres.

  What is shown as the goal is one of a few examples of success, always the same: the puck near the place, and the object
  anywhere.
  """

  examples: int = 10

  def set_goal(self, physics: Any, random: np.random.RandomState) -> None:
    example = np.random.RandomState(random.randint(self.examples))
    place, thing = np.array(_PLACE) + example.uniform(-0.02, 0.02, 2), np.array(_PLACE)
    while np.linalg.norm(thing - place) < 3 * SIDE:
      thing = example.uniform(-_STARTS, _STARTS, 2)
    with physics.reset_context():
      _put(physics, place)
      _object(physics, 0)[:] = [*thing, example.uniform(-np.pi, np.pi)]

  def distance(self, physics: Any, goal: Any) -> float:
    return float(np.linalg.norm(physics.data.qpos[:2] - _PLACE))

  def hidden(self, physics: Any, goal: Any) -> dict[str, np.ndarray]:
    """Gives "event/contact", as a `Table` does, and "true/distance" to the place."""
    contact = super().hidden(physics, goal)["event/contact"]
    return {"event/contact": contact, "true/distance": np.array([self.distance(physics, goal)])}


TASKS = {
  "table/reach": Table(0),
  "table/place": Place(1),
  "table/push": Table(1),
  "table/push_2": Table(2),
  "table/push_3": Table(3),
}


def make(config: "EnvConfig", seed: int) -> Environment:
  """Raises ValueError: there is no such task, or it has no such observation."""
  check(config.task)
  return goal_task.make(TASKS[config.task], config, seed)


def check(task: str) -> None:
  """Raises ValueError: there is no such task; names the nearest."""
  if task not in TASKS:
    raise ValueError(f"task={task!r} is no scene on the table.{near(task, TASKS, PREFIX)}")


def names() -> tuple[str, ...]:
  """All tasks."""
  return tuple(TASKS)


def _object(physics: Any, index: int) -> np.ndarray:
  """Place and angle [3] of an object, to read and to write."""
  return physics.data.qpos[2 + 3 * index :][:3]


def _put(physics: Any, place: np.ndarray) -> None:
  """The puck stands there, and is pulled nowhere else."""
  physics.data.qpos[:2], physics.data.qvel[:2] = place, 0
  _pull(physics, place)


def _pull(physics: Any, place: np.ndarray) -> None:
  physics.set_control(np.clip(place, -_INSIDE, _INSIDE))


def _touches(physics: Any) -> bool:
  """Whether the puck touches an object; nothing else can touch it."""
  return bool((physics.data.contact.geom == physics.model.name2id("puck", "geom")).any())


def _pixel(place: np.ndarray) -> np.ndarray:
  """Row and column [2] of a place on the table as the camera sees the middle of what lies there, as shares of the side."""
  half = (_CAMERA - _HEIGHT) * np.tan(np.radians(_FIELD) / 2)
  return np.array([0.5 - place[1] / (2 * half), 0.5 + place[0] / (2 * half)])


def _model(objects: int) -> str:
  """The scene in MuJoCo's format."""
  slides = """
      <joint name="{name}_x" type="slide" axis="1 0 0" {rub}/>
      <joint name="{name}_y" type="slide" axis="0 1 0" {rub}/>"""
  bodies = [
    f"""
    <body name="object_{index}" pos="0 0 {_HEIGHT}">{
      slides.format(
        name=f"object_{index}", rub=f'range="{-_INSIDE} {_INSIDE}" limited="true" frictionloss="0.6" damping="1"'
      )
    }
      <joint name="object_{index}_turn" type="hinge" axis="0 0 1" frictionloss="0.02" damping="0.01"/>
      <geom name="object_{index}" type="box" size="{SIDE} {SIDE} {_HEIGHT}" mass="0.2" rgba="{colour} 1"/>
    </body>"""
    for index, colour in enumerate(_COLOURS[:objects])
  ]
  pulls = "".join(
    f"""
    <position name="{axis}" joint="puck_{axis}" kp="200" ctrlrange="{-_INSIDE} {_INSIDE}" ctrllimited="true"/>"""
    for axis in "xy"
  )
  return f"""
<mujoco model="table">
  <option timestep="0.01" gravity="0 0 0" integrator="implicitfast"/>
  <size nuserdata="4"/>
  <visual><headlight ambient="0.5 0.5 0.5" diffuse="0.4 0.4 0.4" specular="0 0 0"/></visual>
  <worldbody>
    <camera name="above" pos="0 0 {_CAMERA}" fovy="{_FIELD}"/>
    <geom name="ground" type="plane" pos="0 0 -0.01" size="2 2 0.1" rgba="0.15 0.15 0.15 1" contype="0" conaffinity="0"/>
    <geom name="table" type="plane" size="{_HALF} {_HALF} 0.1" rgba="0.75 0.7 0.65 1" contype="0" conaffinity="0"/>
    <body name="puck" pos="0 0 {_HEIGHT}">{slides.format(name="puck", rub='damping="20"')}
      <geom name="puck" type="cylinder" size="{PUCK} {_HEIGHT}" mass="0.5" rgba="0.85 0.15 0.15 1"/>
    </body>{"".join(bodies)}
  </worldbody>
  <actuator>{pulls}
  </actuator>
</mujoco>"""
