"""Tasks of the DeepMind Control Suite as array programs: physics and pictures of a whole batch in one compiled function.

Pictures, and physics on a graphics card, are those of MuJoCo Warp, which the extra `batched` brings; its functions are
called within jax's programs through the interface that Warp has for that. Where jax computes on the CPU, MuJoCo itself
steps the bodies: there it takes a hundredth of the time that Warp's many small kernels take.
"""
