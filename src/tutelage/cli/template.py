"""The tutelage.yaml that `tutelage init` writes."""

from __future__ import annotations

import json
from pathlib import Path

from tutelage import storage
from tutelage.config import load_config
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
  model: gpt-5-mini
  # base_url: http://127.0.0.1:8000/v1
  api_key_env: OPENAI_API_KEY
  price: {input: 0.25, output: 2.0}    # dollars a million tokens; look yours up
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
  type: classify
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
    quoted = {
        name: json.dumps(value, ensure_ascii=False) for name, value in (("gold", gold), ("traffic", traffic))
    }
    columns = {
        name: json.dumps(value, ensure_ascii=False) for name, value in (("text", text), ("label", label))
    }
    content = _TEMPLATE.format(teacher=_TEACHERS[teacher], **quoted, **columns)
    storage.write_bytes(path, content.encode())
    load_config(path)
    return path
