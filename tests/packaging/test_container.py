"""The image can be built from what is sent to the engine, and nothing in it replaces what NVIDIA's container brings."""

import fnmatch
import io
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

dockerfile_parse = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse is not installed")

ROOT = Path(__file__).resolve().parents[2]
INSTALL = "python3 requirements/install.py"
# All that may stand in our Dockerfile. Each is known to leave what the base image has installed as it is; a list of
# what may not would have gaps: pip is called by modules, scripts, variables and here-documents, and files are copied.
ALLOWED = {
    "FROM": r"(\S+) AS [a-z-]+|\$\{FLAVOUR\}-base",
    "ARG": r"(GPU_BASE|CPU_BASE|FLAVOUR|PIP_EXTRA_INDEX_URL)(=\S+)?",
    "LABEL": r".*",
    "ENV": r"((PIP_NO_CACHE_DIR|PYTHONUNBUFFERED)=1\s*|HOME=/fastbs\s*|PATH=/opt/fastbs/\.venv/bin:\$PATH\s*)+",
    "WORKDIR": r"/opt/fastbs|/fastbs",
    "COPY": r"(--chown=\d+ )?([\w.][\w./]* )+(\./|\.|\w[\w/]*)",  # from the clone, into the current folder
    "USER": r"\d+",
    "HEALTHCHECK": r'[\w= -]*CMD \["fastbs", "doctor"\]',
    "CMD": r'\["fastbs", "--help"\]',
}
COMMANDS = re.compile(  # joined by && alone: quotes, variables, pipes and the like are in none of them
    r"apt-get update"
    r"|apt-get install --yes --no-install-recommends( (g\+\+|git|make))+"
    r"|rm -rf /var/lib/apt/lists/\*"
    r"|useradd [\w /-]+"
    r"|chmod \d+ /fastbs"
    r"|touch \.venv/installed"
    rf"|{re.escape(INSTALL)}"  # tested below
)


def instructions(text):
    """(instruction, value) of a Dockerfile, in order, lines joined and comments left out."""
    parser = dockerfile_parse.DockerfileParser(fileobj=io.BytesIO(text.encode()))
    return [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def unproven(text):
    """The lines and commands of a Dockerfile that are not among those known to replace nothing."""
    found = []
    for name, value in instructions(text):
        if name == "RUN":
            commands = [" ".join(command.split()) for command in value.split("&&")]
            found += [command for command in commands if not COMMANDS.fullmatch(command)]
        elif not re.fullmatch(ALLOWED.get(name, r"(?!)"), value) or ".." in value:
            found.append(f"{name} {value}")
    return found


@pytest.fixture(scope="module")
def dockerfile():
    return (ROOT / "Dockerfile").read_text()


def test_one_line_installs_python_packages_and_it_is_the_installer_that_keeps_torch(dockerfile):
    assert unproven(dockerfile) == []
    assert [value for name, value in instructions(dockerfile) if INSTALL in value] == [
        f"{INSTALL} && touch .venv/installed"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install torch",
        "RUN pip3.12 install -e .[train]",
        "RUN true && pip install --upgrade fastbs",
        "RUN cd /tmp; /usr/bin/python3 -m pip install .",
        "RUN sh -c 'pip install timm'",
        'RUN bash -c "cd /tmp && uv pip install timm"',
        'RUN ["pip", "install", "timm"]',
        "RUN (uv sync)",
        "RUN conda install --yes pytorch",
        "RUN python3 setup.py install",
        "RUN apt-get install python3-torch",
        "RUN apt-get update && \\\n    pip install timm",
        f"RUN {INSTALL} && pip install timm",
        "RUN X=$(pip install timm)",
        "RUN echo `pip install timm`",
        "RUN python3 -mpip install timm",
        'RUN python3 -c \'from pip._internal.cli.main import main; main(["install", "timm"])\'',
        "RUN <<EOF\npip install timm\nEOF",
        "RUN $INSTALL timm",
        "RUN curl --location example.org/install.sh | sh",
        "RUN make test",
        f"RUN PIP_CONSTRAINT= {INSTALL}",
        f"RUN {INSTALL} & pip install timm",
        "RUN apt-get install --yes --no-install-recommends git python3-torch",
        "RUN rm -rf /usr/local/lib/python3.12/dist-packages",
        "RUN chmod 1777 /fastbs\\\n && pip install timm",
        "RUN --mount=type=cache,target=/root/.cache pip install timm",
        "ENV PYTHONPATH=/fastbs",
        "ENV PIP_NO_CACHE_DIR=1 PIP_CONSTRAINT=",
        "ARG PIP_TARGET=/usr/local/lib/python3.12/dist-packages",
        'SHELL ["pip", "install"]',
        "ADD torch.whl /usr/local/lib/python3.12/dist-packages/",
        "COPY torch /usr/local/lib/python3.12/dist-packages/torch",
        "COPY torch ../../usr/local/lib/python3.12/dist-packages/",
        "COPY --from=gpu-base /usr/local/lib ./",
        "WORKDIR /usr/local/lib/python3.12/dist-packages",
        "ONBUILD RUN pip install timm",
        "HEALTHCHECK CMD pip install timm",
    ],
)
def test_any_other_way_to_install_would_be_noticed(dockerfile, line):
    assert unproven(f"{dockerfile}{line}\n")


def copied_before_installing(text):
    """The sources of the COPY lines that lie before the installation, each with its target."""
    for instruction, value in instructions(text):
        if instruction == "RUN" and INSTALL in value:
            return
        if instruction == "COPY":
            *sources, target = value.split()
            yield from ((source, target) for source in sources)


def offer(folder, name, version):
    """A wheel of a newer release that pip would gladly install."""
    record = f"{name.replace('-', '_')}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{record}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(
            f"{record}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{record}/RECORD", "")


def test_the_image_keeps_the_torch_and_the_tensorrt_of_the_container(dockerfile, container, copy_tree, tmp_path):
    """The installation as the image makes it: from the files that are there by then, with the container's Python, and
    with an index that has a newer one of each for a pip that is told to take the newest.
    """
    tree, image = copy_tree(tmp_path / "tree"), tmp_path / "opt"
    image.mkdir()
    for source, target in copied_before_installing(dockerfile):
        where = image / target / Path(source).name if target.endswith("/") else image / target
        where.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (tree / source).is_dir() else shutil.copy)(tree / source, where)
    (line,) = (value for name, value in instructions(dockerfile) if name == "RUN" and INSTALL in value)
    for name in ("torch", "triton", "nvidia-dali-cuda120", "tensorrt"):
        offer(tmp_path, name, "99.0")
    environment = container.environment | {
        "PATH": f"{container.python.parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_FIND_LINKS": tmp_path.as_uri(),
        "PIP_UPGRADE": "1",
        "PIP_UPGRADE_STRATEGY": "eager",
    }
    done = subprocess.run(["sh", "-c", line], cwd=image, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.copytree(tree, image, symlinks=True, dirs_exist_ok=True)  # COPY . .
    look = "import tensorrt, torch, fastbs.bench as b; print(*(m.__file__ for m in (torch, tensorrt, b)), sep='\\n')"
    seen = subprocess.run([image / ".venv/bin/python", "-c", look], cwd=tmp_path, capture_output=True, text=True)
    own = [str(container.packages / name / "__init__.py") for name in ("torch", "tensorrt")]
    assert seen.stdout.splitlines() == [*own, str(image / "fastbs/bench/__init__.py")], seen.stderr
    installed = {path.name.split("-")[0] for path in image.glob(".venv/lib/python*/site-packages/*.dist-info")}
    assert installed - {"pip", "setuptools"} == {"fastbs"}


def sent(name, patterns):
    """Whether the engine is sent a file, as Docker reads .dockerignore: the last pattern that fits it, or a folder that
    it lies in, decides. Ours are of one component, at the top or (`**/`) anywhere.
    """
    kept, parts = True, Path(name).parts
    for pattern in patterns:
        again, bare = pattern.startswith("!"), pattern.removeprefix("!")
        places = parts if bare.startswith("**/") else parts[:1]
        assert "/" not in bare.removeprefix("**/")
        if any(fnmatch.fnmatch(part, bare.removeprefix("**/")) for part in places):
            kept = again
    return kept


def test_the_engine_is_sent_all_that_the_package_and_its_tests_need_and_nothing_else(tracked):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert [name for name in tracked if name[0] != "." and not sent(name, patterns)] == ["Dockerfile"]
    strays = ["photos/a.jpg", "data/a.jpg", "runs/post/run.json", ".venv/bin/python", ".git/HEAD", "dist/a.whl"]
    strays += ["fastbs/cli/__pycache__/a.pyc", "fastbs.egg-info/PKG-INFO", "tests/.pytest_cache/a", "bench.json"]
    assert [name for name in strays if sent(name, patterns)] == []


def test_the_image_is_not_run_as_root_and_says_what_it_is(dockerfile):
    said = dict(instructions(dockerfile))
    assert int(said["USER"]) > 0 and said["HEALTHCHECK"].endswith('CMD ["fastbs", "doctor"]')
    assert "ENTRYPOINT" not in said  # NVIDIA's own sets the container up
    labels = next(value for name, value in instructions(dockerfile) if name == "LABEL")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, value in {"version": project["version"], "licenses": project["license"]}.items():
        assert f'org.opencontainers.image.{name}="{value}"' in labels  # else the image has those of its base


def test_whoever_runs_the_image_can_write_in_its_home(dockerfile):
    """`docker run --user` with a number that has no account would have / as home, and Triton could not compile."""
    home, mode = "/fastbs", "1777"
    last = [value for name, value in instructions(dockerfile) if name == "WORKDIR"][-1]
    assert last == home and any(f"HOME={home}" in value for name, value in instructions(dockerfile) if name == "ENV")
    assert any(f"chmod {mode} {home}" in value for name, value in instructions(dockerfile) if name == "RUN")


def test_the_bases_are_named_by_release(dockerfile):
    """hadolint does not look into arguments."""
    bases = [value for name, value in instructions(dockerfile) if name == "ARG" and "_BASE=" in value]
    assert len(bases) == 2
    pinned = r"GPU_BASE=nvcr\.io/nvidia/pytorch:\d\d\.\d\d-py3|CPU_BASE=python:3\.1[12]-slim-[a-z]+"
    assert [base for base in bases if not re.fullmatch(pinned, base)] == []
