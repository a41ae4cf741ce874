"""The image can be built from what is sent to the engine, and nothing in it replaces what NVIDIA's container brings."""

import fnmatch
import io
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

dockerfile_parse = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse is not installed")

ROOT = Path(__file__).resolve().parents[2]
INSTALL = "python3 requirements/install.py"
# Whatever can put a Python package into an image, by the name of its program or of its module.
INSTALLERS = re.compile(
    r"(pip|pipx|uv|conda|mamba|micromamba|poetry|pdm|hatch|pixi|easy_install|setup|ensurepip)[\d.]*"
)
OF_DEBIAN = {"g++", "git", "make"}


def instructions(text):
    """(instruction, value) of a Dockerfile, in order, lines joined and comments left out."""
    parser = dockerfile_parse.DockerfileParser(fileobj=io.BytesIO(text.encode()))
    return [(step["instruction"], step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]


def words(command):
    """Every word of a shell command, of the commands within its quotes too."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&`$")
    lexer.whitespace_split = True
    for word in lexer:
        yield from words(word) if re.search(r"[\s;&|]", word) and word != command else [word]


def installers(text):
    """The words of a Dockerfile that install Python packages by anything but our installer, which is tested."""
    runs = [value for instruction, value in instructions(text) if instruction == "RUN"]
    found = []
    for run in runs:
        for word in words(run.replace(INSTALL, "")):
            program = word.strip("[]\"',").rpartition("/")[2].removesuffix(".py").removesuffix(".exe")
            if INSTALLERS.fullmatch(program) or "torch" in word:
                found.append(word)
    return found


def debian_packages(text):
    for instruction, value in instructions(text):
        if instruction == "RUN" and re.search(r"\b(apt|apt-get|aptitude|dpkg)\b", value):
            (packages,) = re.findall(r"apt-get install((?: [^&;|]+)+)", value)
            yield from (word for word in packages.split() if not word.startswith("-"))


@pytest.fixture(scope="module")
def dockerfile():
    return (ROOT / "Dockerfile").read_text()


def test_one_line_installs_python_packages_and_it_is_the_installer_that_keeps_torch(dockerfile):
    assert installers(dockerfile) == []
    assert sum(INSTALL in value for name, value in instructions(dockerfile) if name == "RUN") == 1
    assert set(debian_packages(dockerfile)) == OF_DEBIAN


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
    ],
)
def test_any_other_way_to_install_would_be_noticed(dockerfile, line):
    assert installers(f"{dockerfile}{line}\n")


def copied_before_installing(text):
    """The sources of the COPY lines that lie before the installation, each with its target."""
    for instruction, value in instructions(text):
        if instruction == "RUN" and INSTALL in value:
            return
        if instruction == "COPY":
            *sources, target = value.split()
            yield from ((source, target) for source in sources)


def test_the_image_keeps_the_torch_and_the_tensorrt_of_the_container(dockerfile, container, copy_tree, tmp_path):
    """The installation as the image makes it: from the files that are there by then, with the container's Python."""
    tree, image = copy_tree(tmp_path / "tree"), tmp_path / "opt"
    image.mkdir()
    for source, target in copied_before_installing(dockerfile):
        where = image / target / Path(source).name if target.endswith("/") else image / target
        where.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (tree / source).is_dir() else shutil.copy)(tree / source, where)
    (line,) = (value for name, value in instructions(dockerfile) if name == "RUN" and INSTALL in value)
    environment = container.environment | {"PATH": f"{container.python.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", line], cwd=image, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.copytree(tree, image, symlinks=True, dirs_exist_ok=True)  # COPY . .
    look = "import tensorrt, torch, fastbs.bench as b; print(*(m.__file__ for m in (torch, tensorrt, b)), sep='\\n')"
    seen = subprocess.run([image / ".venv/bin/python", "-c", look], cwd=tmp_path, capture_output=True, text=True)
    own = [str(container.packages / name / "__init__.py") for name in ("torch", "tensorrt")]
    assert seen.stdout.splitlines() == [*own, str(image / "fastbs/bench/__init__.py")], seen.stderr
    installed = {path.name.split("-")[0] for path in image.glob(".venv/lib/python*/site-packages/*.dist-info")}
    assert installed - {"pip", "setuptools"} == {"fastbs"}


def test_all_that_the_package_and_its_tests_need_is_sent_to_the_engine(tracked):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line.removeprefix("**/") for line in lines if line and not line.startswith("#")]
    ignored = {
        name for name in tracked for part in Path(name).parts for pattern in patterns if fnmatch.fnmatch(part, pattern)
    }
    assert {Path(name).parts[0] for name in ignored} <= {".ci", ".github"}


def test_the_image_is_not_run_as_root_and_says_what_it_is(dockerfile):
    said = dict(instructions(dockerfile))
    assert int(said["USER"]) > 0 and said["HEALTHCHECK"].endswith('CMD ["fastbs", "doctor"]')
    assert "ENTRYPOINT" not in said  # NVIDIA's own sets the container up
    labels = next(value for name, value in instructions(dockerfile) if name == "LABEL")
    assert "org.opencontainers.image.licenses" in labels
