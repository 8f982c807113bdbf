"""A platform that is not there is named."""

import jax
import pytest

from dreamerax.commands import doctor, refusals
from dreamerax.ops.backend import on_cpu
from dreamerax.ops.errors import NoPlatform


def test_a_platform_that_is_not_there_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch):
  def fail():
    raise AssertionError  # as jax does, where a plugin is missing

  monkeypatch.setenv("JAX_PLATFORMS", "cuda")
  monkeypatch.setattr(jax, "default_backend", fail)
  monkeypatch.setattr(jax, "devices", fail)
  with pytest.raises(
    NoPlatform, match=r"JAX_PLATFORMS=cuda, and jax cannot compute there.*unset it.*EXTRAS=dev,gpu"
  ) as caught:
    on_cpu()
  refusal = refusals.explain(caught.value)
  assert refusal is not None and refusal.status == 1 and refusal.line == str(caught.value)
  found = next(check for check in doctor.diagnose(0) if check.name == "devices")
  assert found.fatal and "JAX_PLATFORMS=cuda" in str(found)
