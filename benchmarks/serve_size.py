"""How large an installation of a server is, and whether it works: `pip install '.[serve]'` in a throwaway environment.

python benchmarks/serve_size.py [--most 250]

Prints megabytes (10^6 bytes) by package, of the files as their wheels hold them, beside what pip's byte code adds to
them. Then imports all of `tutelage.serving` there, loads a static student and an ONNX one (made here, which needs
the extra `export`), and serves a programme. Exit status 1 where the files are larger than --most, or anything failed.
pip and setuptools come with the environment and aren't counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_OURS = ("pip", "setuptools")
SHOWN = 0.5  # megabytes from which a package has a line of its own


def install(folder: Path) -> Path:
    """Make the environment; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--compile"]
    subprocess.run([*pip, f"{ROOT}[serve]"], check=True)
    return python


def sizes(distribution: Distribution) -> tuple[float, float]:
    """Megabytes of a package's files, and of their byte code."""
    files, code = 0, 0
    for path in distribution.files or ():
        place = Path(str(path.locate()))
        size = place.stat().st_size if place.exists() else 0
        files, code = (files, code + size) if place.suffix == ".pyc" else (files + size, code)
    return files / 1e6, code / 1e6


def print_sizes(folder: Path) -> float:
    """The table; the sum of files is returned."""
    [packages] = folder.glob("lib/python*/site-packages")
    found = {one.name: sizes(one) for one in distributions(path=[str(packages)]) if one.name not in NOT_OURS}
    print(f"{'package':<24} {'files':>8} {'byte code':>10}   MB")
    for name, (files, code) in sorted(found.items(), key=lambda item: -item[1][0]):
        if files >= SHOWN:
            print(f"{name:<24} {files:8.1f} {code:10.1f}")
    small = [size for size in found.values() if size[0] < SHOWN]
    print(
        f"{f'{len(small)} smaller ones':<24} {sum(s[0] for s in small):8.1f} {sum(s[1] for s in small):10.1f}"
    )
    files, code = (sum(size[column] for size in found.values()) for column in (0, 1))
    print(f"{f'{len(found)} packages':<24} {files:8.1f} {code:10.1f}   together {files + code:.1f}")
    return files


MAKE_STUDENTS = """\
import sys
from pathlib import Path
from served_world import toy_student
from tiny_world import TASK, save_checkpoint
from tutelage.compression import export_onnx, quantise
from tutelage.config import StudentConfig
from tutelage.students.encoder import EncoderLearner
base, static, onnx, int8 = map(Path, sys.argv[1:])
for folder in (base, static, onnx, int8): folder.mkdir()
toy_student().save(static)
save_checkpoint(base)
export_onnx(EncoderLearner(StudentConfig(base=str(base), layers=2), TASK, base).finished(), onnx)
quantise(onnx, int8)
"""


def try_out(python: Path, folder: Path) -> None:
    """Make students here, and answer with them there."""
    tests = f"{ROOT / 'tests'}:{ROOT / 'tests' / 'serving'}"
    places = {name: str(folder / name) for name in ("base", "static", "onnx", "int8")}
    here = {"PYTHONPATH": f"{ROOT / 'src'}:{tests}", "PATH": "", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", MAKE_STUDENTS, *places.values()], check=True, env=here)
    students = json.dumps({name: place for name, place in places.items() if name != "base"})
    program = [python, ROOT / "tests" / "serving" / "served_alone.py", students]
    done = subprocess.run(program, check=True, env={"PYTHONPATH": tests, "PATH": ""}, stdout=subprocess.PIPE)
    told = json.loads(done.stdout)
    print(f"imported {len(told['modules'])} modules of tutelage.serving; students that answered: ", end="")
    print(f"{', '.join(told['predicted'])}; a programme was served by {' and '.join(told['served'])}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=float, default=250.0, help="megabytes of files that are acceptable")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder) / "venv")
        megabytes = print_sizes(Path(folder) / "venv")
        try_out(python, Path(folder))
    if megabytes > options.most:
        sys.exit(f"{megabytes:.1f} MB are more than {options.most:g}")


if __name__ == "__main__":
    main()
