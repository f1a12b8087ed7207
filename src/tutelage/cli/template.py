"""The tutelage.yaml that `tutelage init` writes."""

from __future__ import annotations

import os
from pathlib import Path

from tutelage import storage
from tutelage.config import parse_config
from tutelage.errors import UsageError
from tutelage.programme import CONFIG_NAME

_TEACHERS = {
    "encoder": """\
teacher:
  type: encoder              # a sentence encoder, its head fitted on gold.training; runs here
""",
    "openai": """\
teacher:
  type: openai               # any OpenAI-compatible endpoint
  rights: openai-api         # entry of the rights registry: which terms bind this teacher (docs/rights.md)
  model: gpt-4.1-mini        # gives log-probabilities; of a model that doesn't, 5 samples vote
  # max_output_tokens: 2048  # for a reasoning model, whose reasoning counts
  # base_url: http://127.0.0.1:8000/v1
  api_key_env: OPENAI_API_KEY
  price: {input: 0.4, output: 1.6}     # dollars a million tokens; look yours up
labelling:
  budget: 10                 # dollars; no call is made that could pass it
""",
    "transformers": """\
teacher:
  type: transformers         # a classification model of yours, or mode: zero-shot
  rights: own-model          # entry of the rights registry (docs/rights.md)
  model: path/to/model
""",
}

_TEMPLATE = """\
# A Tutelage programme. Every key: docs/tutelage.yaml.md. Next: tutelage check, then tutelage run.
task:
  type: classify             # or extract, judge, generate: docs/tasks.md
  instruction: Classify the message.
  # labels: [billing, delivery, other]   # taken from gold where absent; a map adds descriptions
  # out_of_scope: other
gold:                        # human-labelled examples; sealed, they decide
  path: {gold}
  columns: {{text: {text}, label: {label}}}
  training: {{share: 0.3}}     # the part that may be learned from; the rest is sealed
  margin: 0.05               # widest half-interval on accuracy at which paid labelling may start
traffic:                     # unlabelled prompts of the task
  path: {traffic}
  columns: {{text: {text}}}
{teacher}\
student:
  family: encoder            # or static: microseconds an answer
release:
  max_loss: 0.03             # largest acceptable accuracy loss against the teacher
"""


def write_template(folder: Path, *, gold: str, traffic: str, text: str, label: str, teacher: str) -> Path:
    """Write the file. Raises UsageError where it exists already or the teacher's type is unknown."""
    path = folder / CONFIG_NAME
    if path.exists():
        raise UsageError(f"{path} exists already. Mend: edit it, or name another folder")
    if teacher not in _TEACHERS:
        raise UsageError(f"--teacher {teacher!r} is none of {', '.join(_TEACHERS)}")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file. Mend: name a folder")
    import yaml

    paths = {"gold": _as_seen_from(folder, gold), "traffic": _as_seen_from(folder, traffic)}
    names = {**paths, "text": text, "label": label}
    try:
        " ".join(names.values()).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"a file's or column's name is not UTF-8: {error}. Mend: rename it") from error
    quoted = {
        name: yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**9).strip()
        for name, value in names.items()
    }
    content = _TEMPLATE.format(teacher=_TEACHERS[teacher], **quoted)
    parse_config(yaml.safe_load(content), str(path))
    storage.write_bytes(path, content.encode())
    return path


def _as_seen_from(folder: Path, path: str) -> str:
    """A path given on the command line, where it names a file here and none in the programme's folder."""
    # os.path's look-ups answer False for names that no file can have, where pathlib's raise.
    if os.path.exists(folder / path) or not os.path.isfile(path):  # noqa: PTH110, PTH113
        return path
    return os.path.relpath(path, folder)
