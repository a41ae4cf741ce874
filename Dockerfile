# fastbs on NVIDIA's PyTorch container, or without a GPU on Python's own image. docs/ngc.md has the commands.
#   docker build -t fastbs .
#   docker build -t fastbs:cpu --build-arg FLAVOUR=cpu .
ARG GPU_BASE=nvcr.io/nvidia/pytorch:26.08-py3
ARG CPU_BASE=python:3.12-slim-trixie
ARG FLAVOUR=gpu

FROM ${GPU_BASE} AS gpu-base

FROM ${CPU_BASE} AS cpu-base
# A compiler for --step compile, git for `fastbs ab`, make for the README's commands; whichever Debian has now.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ git make \
    && rm -rf /var/lib/apt/lists/*

FROM ${FLAVOUR}-base
LABEL org.opencontainers.image.title="fastbs" \
      org.opencontainers.image.description="Which batch size? Measured, explained, compared" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# Whoever `docker run --user` names writes there too: records of --out, and what Triton and torch compile.
RUN useradd --uid 1001 --create-home --home-dir /fastbs fastbs && chmod 1777 /fastbs
WORKDIR /opt/fastbs

# What is installed changes less often than the source: it has a layer of its own, made from these files alone. In
# NVIDIA's container the installer adds what is missing to .venv, under the container's constraints, and fails unless
# torch, DALI and TensorRT are the same files as before. Without a torch it installs requirements/cpu.txt.
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1
COPY pyproject.toml README.md LICENSE ./
COPY requirements requirements
COPY fastbs/__init__.py fastbs/
RUN python3 requirements/install.py && touch .venv/installed

COPY --chown=1001 . .
ENV HOME=/fastbs \
    PATH=/opt/fastbs/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 1001
WORKDIR /fastbs
HEALTHCHECK --interval=5m --timeout=2m CMD ["fastbs", "doctor"]
CMD ["fastbs", "--help"]
