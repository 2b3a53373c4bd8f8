"""What pyproject.toml promises is what is installed."""

import tomllib
from importlib import metadata, resources
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_installed_version_is_the_one_in_the_project_file():
    assert metadata.version("payback") == PROJECT["version"]


def test_the_changelog_has_the_current_version():
    assert f"\n## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_program_is_installed():
    (program,) = metadata.entry_points(group="console_scripts", name="payback")
    assert callable(program.load())


def test_llvmlite_is_asked_for_only_where_it_has_wheels():
    (line,) = [r for r in PROJECT["dependencies"] if r.startswith("llvmlite")]
    marker = line.partition(";")[2]
    assert "platform_python_implementation == 'CPython'" in marker
    for machine in ("x86_64", "AMD64", "aarch64", "arm64"):
        assert f"platform_machine == '{machine}'" in marker


def test_the_base_install_is_the_engine_and_the_command_line():
    names = {requirement.partition(">")[0] for requirement in PROJECT["dependencies"]}
    assert names == {"numpy", "llvmlite", "safetensors", "msgspec", "rich", "cyclopts", "narwhals"}


def test_the_license_and_the_types_come_with_the_package():
    assert PROJECT["license"] == "MIT"
    assert "The payback authors" in (ROOT / "LICENSE").read_text("utf-8")
    assert (resources.files("payback") / "py.typed").is_file()
    assert (resources.files("payback.datasets") / "LICENSES.md").is_file()
