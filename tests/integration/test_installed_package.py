"""The product as it is installed: from a package, with no source tree beside it, in an empty
folder.
"""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.kit.ports import free_port
from tests.kit.processes import ServerProcess

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("installed-package")  # installed once
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
_CHATWOOT = re.compile(r"Simulated Chatwoot\W+(http://[\w.:]+)")
# the editable checkout of this test's own environment
_OURS = ("omni_inbox", "__editable__")


def _sources() -> set[str]:
    """Everything of `server/` and `web/` that people wrote, by its path in the repository."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in ("server", "web")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _ignored(folder: str, names: list[str]) -> set[str]:
    """What `.dockerignore` leaves out of the build's context, below its allowed folders."""
    allowed = {
        line.removeprefix("!").rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    inside = Path(folder).relative_to(ROOT)
    is_root = inside == Path()
    return {
        name
        for name in names
        if fnmatch.fnmatch(name, "__pycache__") or (is_root and name not in allowed)
    }


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The container's build context: a copy, as a build writes into the folder it builds."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("context") / "src", ignore=_ignored)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, context: Path) -> Path:
    """The `bin` of an environment in which the Containerfile's own command installed the product.

    The locked dependencies are linked from this test's environment: nothing is fetched.
    """
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    dependencies = home / "dependencies"
    dependencies.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(_OURS):
            (dependencies / entry.name).symlink_to(entry)
    python = home / "venv" / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    purelib = _output([python, "-c", code], home)
    (Path(purelib) / "dependencies.pth").write_text(f"{dependencies}\n")
    command = _install_command().replace("/opt/omni-inbox/bin/pip", f"{python} -m pip")
    done = subprocess.run(
        [*command.replace("/src", str(context)).split(), "--no-index"],
        capture_output=True,
        text=True,
        cwd=home,
        env=_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    code = "import server, server.app; print(server.app.__file__)"
    found = _output([python, "-c", code], home)
    assert Path(found).is_relative_to(purelib)
    return python.parent


def _output(argv: Sequence[str | Path], folder: Path) -> str:
    done = subprocess.run(
        argv, check=True, capture_output=True, text=True, cwd=folder, env=_environment()
    )
    return done.stdout.strip()


def _install_command() -> str:
    """The last RUN of the Containerfile's build stage: it installs the product."""
    stage = CONTAINERFILE.read_text().partition("\nFROM python")[2].partition("\nFROM ")[0]
    return [line for line in stage.splitlines() if line.startswith("RUN ")][-1].removeprefix("RUN ")


def _environment(**values: str) -> dict[str, str]:
    """A fresh shell's: no PYTHONPATH, and nothing of a developer's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **values}


def test_the_image_installs_the_package_and_keeps_no_checkout() -> None:
    """Every path that the image's last stage names comes from the stage before."""
    _, build, final = CONTAINERFILE.read_text().split("\nFROM ")
    assert "--editable" not in build
    assert _install_command().endswith(" /src")
    assert re.findall(r"^COPY (.+)$", final, re.MULTILINE) == [
        "--from=build /opt/omni-inbox /opt/omni-inbox"
    ]


def test_the_package_holds_all_of_the_product_and_no_tests(installed: Path, tmp_path: Path) -> None:
    listed = _output([installed / "python", "-m", "pip", "show", "--files", "omni-inbox"], tmp_path)
    names = {line.strip() for line in listed.partition("Files:")[2].splitlines()}
    ours = {
        name
        for name in names
        if name and not name.startswith(("omni_inbox-", "../")) and "__pycache__" not in name
    }
    assert ours == {f"server/{name}" if name.startswith("web/") else name for name in _sources()}


def test_the_source_distribution_holds_all_of_the_product_and_no_tests(
    tmp_path: Path, context: Path
) -> None:
    """It is built from the whole checkout's files that git keeps, tests among them."""
    source = shutil.copytree(context, tmp_path / "src")
    (source / "tests" / "unit").mkdir(parents=True)
    for name in ("tests/test_a.py", "tests/unit/test_b.py"):
        (source / name).write_text("")
    build = "from setuptools.build_meta import build_sdist; print(build_sdist('dist'))"
    built = _output([sys.executable, "-c", build], source).split()[-1]
    with tarfile.open(source / "dist" / built) as archive:
        names = {
            name.partition("/")[2]
            for name in archive.getnames()
            if archive.getmember(name).isfile()
        }
    assert not {name for name in names if name.startswith("tests/")}
    assert _sources() | {"setup.py", "pyproject.toml", "LICENSE"} <= names


def test_serve_runs_from_the_package_alone(installed: Path, tmp_path: Path) -> None:
    """Migrations, templates, catalogues, scripts and fonts are found, and none of them in a source
    tree.
    """
    with (
        _running(installed, tmp_path, "serve") as (_, base_url),
        httpx.Client(base_url=base_url, trust_env=False) as http,
    ):
        assert http.get("/readyz").status_code == 200
        page = http.get("/sign-in", headers={"Accept-Language": "bn"})
        assert page.status_code == 200
        assert 'lang="bn"' in page.text
        build = re.findall(r"/static/\w+/", page.text)[0]
        for name in ("js/main.js", "app.css", "fonts/noto-sans-bengali-400.woff2"):
            answer = http.get(f"{build}{name}")
            assert (answer.status_code, len(answer.content) > 0) == (200, True), name


def test_dev_runs_from_the_package_alone(installed: Path, tmp_path: Path) -> None:
    """The simulated Chatwoot's page and files travel with it."""
    with _running(installed, tmp_path, "dev") as (server, base_url):
        chatwoot = _CHATWOOT.findall(server.log)
        with httpx.Client(trust_env=False, follow_redirects=True) as http:
            assert http.get(f"{base_url}/sign-in").status_code == 200
            page = http.get(chatwoot[0])
            assert page.status_code == 200
            assert http.get(f"{chatwoot[0]}/static/page.js").status_code == 200


@contextmanager
def _running(installed: Path, folder: Path, command: str) -> Iterator[tuple[ServerProcess, str]]:
    """`omni-inbox COMMAND` in an empty folder, until it says that it is ready."""
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    empty = folder / "empty"
    empty.mkdir()
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "JWT_SECRET": "the secret of an installed server",
        "CHATWOOT_SOCKETS": "false",
    }
    if command == "serve":
        settings["SECRET_KEY"] = "5e" * 32

    def is_ready() -> bool:
        if command == "dev" and "Omni Inbox is running" not in server.log:
            return False
        try:
            return httpx.get(f"{base_url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    server = ServerProcess(
        [str(installed / "omni-inbox"), command],
        log_path=folder / "log",
        is_ready=is_ready,
        env=_environment(**settings),
        cwd=empty,
    )
    server.start()
    try:
        yield server, base_url
    finally:
        server.stop()
