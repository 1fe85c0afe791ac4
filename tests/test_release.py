"""What people install: the wheel and the sdist, built, and run out of the checkout's sight."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import httpx2
import pytest
import serving
from tiny import EXAMPLES

import pixelkin
from pixelkin import models

ROOT = EXAMPLES.parent
PACKAGE = ROOT / "src" / "pixelkin"
OLDEST = 11  # minor version of Python
CONSTRAINTS = ROOT / "constraints.txt"
DEVELOPMENT = re.compile(r"\.dev\d+$")


def interpreters():
    """By version, an interpreter of each Python that is supported and on this machine."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = {}
    for minor in range(OLDEST, 20):
        name = f"python3.{minor}"
        places = [Path(sys.base_prefix) / "bin" / name, *sorted(versions.glob(f"3.{minor}.*/bin/{name}"))]
        for place in [*places, Path(shutil.which(name) or "-")]:
            works = [place, "-c", "import ensurepip, ssl, venv"]
            if place.is_file() and not subprocess.run(works, capture_output=True, check=False).returncode:
                found[f"3.{minor}"] = place
                break
    return found


INTERPRETERS = interpreters()


def clean(**more):
    """The environment without what lets a program see the checkout."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | more


def does(command, **options):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(out, *arguments):
    """What the build makes of the checkout, in an environment of its own with locked versions."""
    locked = clean(PIP_CONSTRAINT=str(CONSTRAINTS))
    does([sys.executable, "-m", "build", "--outdir", out, *arguments, ROOT], cwd=out, env=locked)
    return out


def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist and the wheel that was built from it."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built):
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Gives the folder of an environment of a version of Python, fresh when it is first asked for."""

    @cache
    def of(version):
        folder = tmp_path_factory.mktemp(version)
        does([INTERPRETERS[version], "-m", "venv", "--without-pip", folder], env=clean())
        return folder

    return of


def install(requirement, folder):
    """Put a package and what it needs, at locked versions, into an environment."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "bin" / "python"]
    # Compiled is what is used, when it is.
    does([*pip, "install", "--quiet", "--no-compile", "--constraint", CONSTRAINTS, requirement], env=clean())
    return folder / "bin"


def verdicts(command, **options):
    """What a program says of the examples, without what is rounded."""
    rows = list(map(json.loads, does([*command, "detect", "--json", EXAMPLES], **options).splitlines()))
    return rows, [row.pop("probability") for row in rows], [row.pop("score") for row in rows]


@pytest.mark.slow
def test_the_sdist_and_the_checkout_build_the_same_wheel(wheel, tmp_path):
    (other,) = build(tmp_path, "--wheel").glob("*.whl")
    assert other.name == wheel.name
    ours, theirs = contents(wheel), contents(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert wheel.stat().st_size < 100_000_000  # what registries take of a file, if nobody asks for more


@pytest.mark.slow
def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel):
    files = {
        file.relative_to(PACKAGE.parent).as_posix(): file.read_bytes()
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    inside = contents(wheel)
    about = {name for name in inside if ".dist-info/" in name}
    assert {name: data for name, data in inside.items() if name not in about} == files
    assert {Path(name).suffix for name in files} >= {
        ".onnx",
        ".toml",
        ".html",
        ".js",
        ".css",
        ".svg",
        ".typed",
    }
    assert any(name.endswith("licenses/LICENSE") for name in about)


@pytest.mark.slow
def test_the_sdist_holds_what_its_tests_need(built):
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {"tests/test_release.py", "constraints.txt", "Makefile", "CHANGELOG.md", "LICENSE"}
    assert names >= {f"examples/{example.name}" for example in EXAMPLES.iterdir() if example.is_file()}
    assert not [name for name in names if "__pycache__" in name or name.startswith(("runs", "dist", ".venv"))]


@pytest.mark.slow
@pytest.mark.parametrize("version", INTERPRETERS)
def test_installed_by_itself_it_judges_as_the_checkout_does(version, wheel, environment, tmp_path):
    folder = environment(version)
    programs = install(wheel, folder)
    asked = "import pixelkin, sys; print(sys.version_info.minor, pixelkin.__file__)"
    minor, place = does([programs / "python", "-c", asked], cwd=tmp_path, env=clean()).split()
    assert f"3.{minor}" == version
    assert Path(place).is_relative_to(folder)
    told = does([programs / "pixelkin", "--version"], cwd=tmp_path, env=clean())
    assert told == f"pixelkin {pixelkin.__version__}\n"
    assert not list(folder.glob("lib/*/site-packages/torch"))
    theirs, *their_numbers = verdicts([programs / "pixelkin"], cwd=tmp_path, env=clean())
    ours, *our_numbers = verdicts([sys.executable, "-m", "pixelkin"])
    assert theirs == ours
    assert len(ours) == len(list(EXAMPLES.glob("*-*.*")))
    assert their_numbers == [pytest.approx(each, abs=1e-5) for each in our_numbers]


@pytest.mark.slow
def test_installed_with_its_service_it_serves_the_page(wheel, environment, tmp_path):
    programs = install(f"{wheel}[serve]", environment(f"3.{sys.version_info.minor}"))
    # An empty PYTHONPATH, or it might see the checkout.
    with serving.running(program=[programs / "pixelkin"], folder=tmp_path, PYTHONPATH="") as service:
        page = httpx2.get(service.url).text
        assert page == (PACKAGE / "service" / "page" / "index.html").read_text()
        for script in re.findall(r'(?:src|href)="(/?[\w/.-]+\.(?:js|css|svg))"', page):
            assert httpx2.get(f"{service.url}/{script.lstrip('/')}").status_code == 200


def test_the_version_is_the_one_that_the_changelog_tells_of_last():
    """``## 1.2.3 (2031-12-31)`` was released; while it is made it is ``(unreleased)``, and 1.2.3.dev0."""
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    found = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d|unreleased)\)", each) for each in headings]
    assert all(found), headings
    versions = [tuple(map(int, each[1].split("."))) for each in found]
    assert versions == sorted(versions, reverse=True)
    assert DEVELOPMENT.sub("", pixelkin.__version__) == found[0][1]
    assert bool(DEVELOPMENT.search(pixelkin.__version__)) == (found[0][2] == "unreleased")
    assert all(each[2] != "unreleased" for each in found[1:])


def test_the_changelog_the_pages_and_the_file_tell_of_one_shipped_model():
    card, name = pixelkin.load().card, models.DEFAULT
    page = (ROOT / "docs" / "model-card.md").read_text()
    recipe = tomllib.loads((ROOT / "recipes" / f"{name}.card.toml").read_text())
    assert card.name == name
    told = {key: value for key, value in recipe.items() if not key.startswith(("calibrate", "mistakes"))}
    assert {key: getattr(card, key) for key in told} == told
    assert page.startswith(f"# Model card: {name}\n")
    assert f"{name} is the shipped model" in (ROOT / "CHANGELOG.md").read_text()
    words = " ".join(page.split())
    assert f"Temperature {card.temperature:.3f}; below {card.real_below:.3f} real, above" in words
    assert f"above {card.generated_above:.3f} generated" in words
    assert f"at most {card.most_tiles} tiles of {card.tile} px" in words
    assert f"**Licence** of the model file: {card.licence}" in words


def test_the_versions_of_python_that_are_told_are_those_that_are_tried():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert told["requires-python"] == f">=3.{OLDEST}"
    named = {each for line in told["classifiers"] for each in re.findall(r"Python :: (3\.\d+)", line)}
    assert named <= {f"3.{minor}" for minor in range(OLDEST, 20)}
    assert f"3.{OLDEST}" in named
