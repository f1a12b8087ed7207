"""What `tutelage init` can write: a part of the file for each task and each teacher.

A part names the keys that only its user knows (`to_set`); its text marks each with `set:`. Until then they
hold a value that loads.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of the file, and what their user has to look at."""

    text: str
    to_set: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TeacherPart(Part):
    """A teacher. `entries` of the rights registry it names, `keys` are its environment variables.

    `prompted` tells that it is told the task's instruction; `writes` that it can answer with open values.
    """

    entries: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    prompted: bool = True
    writes: bool = True


TASKS = {
    "classify": Part(
        """\
task:
  type: classify
  instruction: Classify the message.     # set: said to a prompted teacher
  # labels: [billing, delivery, other]   # taken from gold where absent; a map adds descriptions
  # out_of_scope: other
""",
        ("task.instruction",),
    ),
    "judge": Part(
        """\
task:
  type: judge
  instruction: Judge the text by the rubric.   # set: what is judged
  rubric: |-                 # set: what earns which score
    5: as it should be
    3: right in the main, with slips
    1: wrong
  scale: [1, 5]              # set: lowest and highest score, as gold has them; or in its place
  # verdicts: {good: what makes it good, bad: what makes it bad}
  tolerance: 0               # points between two scores that still agree
""",
        ("task.instruction", "task.rubric", "task.scale"),
    ),
    "extract": Part(
        """\
task:
  type: extract
  instruction: Extract the fields from the message.   # set: said to a prompted teacher
  record:                    # set: JSON schema of gold's label column (JSON text; in JSONL the object itself)
    type: object
    properties:
      order: {type: [string, "null"]}
      amount: {type: [number, "null"]}
  # record_file: record.json # in place of record
  # fields: {amount: {tolerance: 0.01}}   # how two values of a field compare: docs/tasks.md
""",
        ("task.instruction", "task.record"),
    ),
    "generate": Part(
        """\
task:
  type: generate
  instruction: Answer the message.       # set: said to a prompted teacher
  # max_characters: 400      # a longer answer is set aside
  similarity: 0.6            # chrF (0 to 1) from which two texts agree
""",
        ("task.instruction",),
    ),
}

_BUDGET = """\
labelling:
  budget: 10                 # set: dollars; no call is made that could pass it
"""

_PRICED = """\
  # max_output_tokens: 2048  # where answers are longer than 256, or reasoning counts
  # price: {input: 0.4, output: 1.6}     # dollars a million tokens; absent: the dated list (docs/cost.md)
"""

TEACHERS = {
    "encoder": TeacherPart(
        """\
teacher:
  type: encoder              # a sentence encoder, its head fitted on gold.training; runs here
""",
        entries=("all-minilm-l6-v2",),
        prompted=False,
        writes=False,
    ),
    "transformers": TeacherPart(
        """\
teacher:
  type: transformers         # a classification model, or mode: zero-shot; runs here
  model: path/to/model       # set: a folder or a hub name
  rights: own-model          # set: the registry's entry that binds the model (docs/rights.md)
  # label_map: {LABEL_0: billing}        # from the model's labels to the task's
""",
        ("teacher.model", "teacher.rights"),
        entries=("own-model",),
        prompted=False,
        writes=False,
    ),
    "local": TeacherPart(
        """\
teacher:
  type: local                # a generative model that runs here
  model: path/to/model       # set: a folder, a .gguf file (pip install gguf) or a hub name
  rights: own-model          # set: the registry's entry that binds the model (docs/rights.md)
  # max_output_tokens: 2048  # where answers are longer than 256
""",
        ("teacher.model", "teacher.rights"),
        entries=("own-model",),
    ),
    "openai": TeacherPart(
        f"""\
teacher:
  type: openai               # OpenAI, or whatever speaks its API: docs/teachers.md
  model: gpt-4.1-mini        # set: its name at the endpoint
  rights: openai-api         # set: the registry's entry that binds it (docs/rights.md)
  api_key_env: OPENAI_API_KEY
  # base_url: http://127.0.0.1:8000/v1   # another endpoint; one of yours elsewhere: free: true
{_PRICED}{_BUDGET}""",
        ("teacher.model", "teacher.rights", "labelling.budget"),
        entries=("openai-api",),
        keys=("OPENAI_API_KEY",),
    ),
    "anthropic": TeacherPart(
        f"""\
teacher:
  type: anthropic
  model: claude-haiku-4-5    # set: its name at the endpoint
  rights: anthropic-api
  api_key_env: ANTHROPIC_API_KEY
  # samples: 1               # of a task with labels five samples vote where absent
{_PRICED}{_BUDGET}""",
        ("teacher.model", "labelling.budget"),
        entries=("anthropic-api",),
        keys=("ANTHROPIC_API_KEY",),
    ),
    "human": TeacherPart(
        """\
teacher:
  type: human                # people; prompts wait for them in answers/queue.csv (docs/people.md)
  rights: own-people
  # verdicts: {path: verdicts.csv}       # what they have answered already: text (or id) and label
""",
        entries=("own-people",),
        prompted=False,
    ),
}

_ENCODER_BESIDE = "    - teacher: {type: encoder}\n"
_SERVER_BESIDE = """\
    - teacher:
        type: openai
        model: Qwen/Qwen2.5-7B-Instruct  # another model, here on a server of your own
        rights: apache-2.0-weights
        base_url: http://127.0.0.1:8000/v1
"""


def ensemble(*, writes: bool) -> TeacherPart:
    """An ensemble of an endpoint and, where it has to write, a server of one's own, else the encoder."""
    return TeacherPart(
        f"""\
teacher:
  type: ensemble
  strategy: mean             # or weighted, majority, committee with a judge: docs/ensembles.md
  members:                   # set: two or more, of any type
{_SERVER_BESIDE if writes else _ENCODER_BESIDE}\
    - teacher:
        type: openai
        model: gpt-4.1-mini
        rights: openai-api   # the registry's entry that binds it (docs/rights.md)
        api_key_env: OPENAI_API_KEY
      # weight: 2
{_BUDGET}""",
        ("teacher.members", "labelling.budget"),
        entries=("openai-api", "apache-2.0-weights" if writes else "all-minilm-l6-v2"),
        keys=("OPENAI_API_KEY",),
    )
