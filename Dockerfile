# dreamerax with its renderer (EGL). Written without a container engine at hand: nobody has built it yet.
#   docker build -t dreamerax .                              on the CPU
#   docker build -t dreamerax --build-arg EXTRAS=gpu .       on NVIDIA GPUs (CUDA comes with the Python packages)
#   docker run --rm -v "$PWD/runs:/dreamerax/runs" dreamerax train
#   docker run --rm --gpus all -v "$PWD/runs:/dreamerax/runs" dreamerax train dreamer-v3
# EXTRAS=metaworld needs another MuJoCo than the constraints have: for it leave --constraint out below.
FROM python:3.12-slim-bookworm

# libegl1 and libgl1: what MuJoCo draws pixels with, on the GPU where there is one and in software elsewhere.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends libegl1 libgl1 \
  && rm -rf /var/lib/apt/lists/*

# Tells NVIDIA's container runtime to mount the EGL driver too; by default it mounts CUDA alone.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics

WORKDIR /dreamerax
COPY . .
ARG EXTRAS=""
RUN pip install --no-cache-dir --constraint constraints-3.12.txt ".${EXTRAS:+[$EXTRAS]}"

ENTRYPOINT ["dreamerax"]
CMD ["train"]
