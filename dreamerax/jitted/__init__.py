"""Environments as array programs: `reset` and `step` that jax traces, compiled once for a whole batch.

This floor stands between `envs`, which imports no jax so that worker processes start quickly, and `runtime`, which sees
nothing of it but the batched interface of `envs.base`. The table in `envs.suites.registry` names its modules, which are
imported when one of their tasks is asked for.
"""

from dreamerax.jitted.adapters import from_brax, from_gymnax
from dreamerax.jitted.base import ArrayEnv, Outcome

__all__ = ["ArrayEnv", "Outcome", "from_brax", "from_gymnax"]
