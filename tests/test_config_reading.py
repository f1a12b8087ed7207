"""Reading `tutelage.yaml`: overrides, files that can't be read, and whatever else may stand in one."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.config import ProgrammeConfig, known_keys, load_config, parse_config
from tutelage.errors import ConfigError

YAML = (
    "gold: {path: gold.csv, training: {share: 0.3}}\ntraffic: {path: traffic.csv}\nteacher: {type: encoder}\n"
)


def _loaded(folder, overrides=(), text=YAML):
    path = folder / "tutelage.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path, overrides)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("student.family=static", "student.family", "static"),
        (" student.family = static ", "student.family", "static"),
        ("labelling.budget=12.5", "labelling.budget", 12.5),
        ("labelling.budget=", "labelling.budget", None),
        ("gold.training.share=0.5", "gold.training.share", 0.5),
        ("gold.columns.text=body", "gold.columns.text", "body"),
        ("task.multi_label=true", "task.multi_label", True),
        ("task.instruction=a=b, c", "task.instruction", "a=b, c"),
        ("task.instruction='3'", "task.instruction", "3"),
        ("release.critical_slices=[critical, hard]", "release.critical_slices", ("critical", "hard")),
        ("task.labels={a: one, b: two}", "task.labels", {"a": "one", "b": "two"}),
        ("teacher={type: plugin, rights: own-model, name: x}", "teacher.type", "plugin"),
    ],
)
def test_an_override_is_laid_over_the_file(tmp_path, override, key, value):
    found: Any = _loaded(tmp_path, [override])
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


def test_overrides_leave_their_neighbours_and_the_last_wins(tmp_path):
    config = _loaded(tmp_path, ["gold.training.share=0.5", "gold.margin=0.1", "gold.margin=0.2"])
    assert (config.gold.path, config.gold.training.share, config.gold.margin) == ("gold.csv", 0.5, 0.2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student", "is not of the form section.key=value"),
        ("", "is not of the form"),
        ("=static", "is not of the form"),
        ("student..family=static", "is not of the form"),
        (".family=static", "is not of the form"),
        ("student.=static", "is not of the form"),
        ("gold.path.x=1", "'path' is no section"),
        ("task.instruction=[a", "the value is not YAML"),
        ("student.famly=static", "student.famly: unknown key. Did you mean 'family'?"),
        ("student.family=dynamic", "student.family: .*given: 'dynamic'"),
        ("student=static", "student: "),
    ],
)
def test_an_override_of_the_wrong_form_is_one_error(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        _loaded(tmp_path, [override])


@pytest.mark.parametrize("value", ["2024-02-30", "!!int a", "!!timestamp a", "[" * 5_000, "0b_"])
def test_a_value_that_yaml_cannot_build_is_one_error(tmp_path, value):
    # PyYAML raises ValueError, AttributeError or RecursionError here, none of them a YAMLError.
    with pytest.raises(ConfigError, match="task.instruction="):
        _loaded(tmp_path, [f"task.instruction={value}"])
    with pytest.raises(ConfigError, match="tutelage.yaml"):
        _loaded(tmp_path, text=f"task: {{instruction: {value}}}\n{YAML}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"gold: caf\xe9", r"is not UTF-8 \(byte 9\)"),
        ("gold: [", "is not YAML"),
        ("gold: a\0b", "is not YAML"),
        ("gold: {path: a\nteacher: x\n", "line 2, column 8, is not YAML: .*Mend: correct that line"),
        ("gold:\n\tpath: a\n", "line 2, column 1, is not YAML: .*Mend: indent with spaces"),
        ("a: 1\nb: *nothing\n", "is not YAML"),
        ("", "is empty"),
        ("- gold\n", "holds list, not sections"),
        ("just text", "holds str, not sections"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_error(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        _loaded(tmp_path, text=text)
    assert str(tmp_path / "tutelage.yaml") in str(caught.value)


def test_an_absent_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="tutelage init"):
        load_config(tmp_path / "tutelage.yaml")


def test_a_folder_in_the_files_place_is_one_error(tmp_path):
    # Whatever the system says when the file is opened, not only that it is absent.
    (tmp_path / "tutelage.yaml").mkdir()
    with pytest.raises(ConfigError, match="tutelage.yaml can't be read"):
        load_config(tmp_path / "tutelage.yaml")


def test_a_byte_order_mark_is_passed_over(tmp_path):
    assert _loaded(tmp_path, text=b"\xef\xbb\xbf" + YAML.encode()).gold.path == "gold.csv"


_KEYS = sorted({*known_keys(), *(key.rsplit(".", 1)[-1] for key in known_keys()), "", "studnet", "a.b", "é"})
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["encoder", "openai", "transformers", "plugin", "static", "a", "{}", "\ud800"]),
)  # fmt: skip
_json_like = st.recursive(
    _scalars,
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=4), below, max_size=4)
    ),
    max_leaves=12,
)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(YAML)
    for key, value in flat.items():
        place = content
        *sections, last = key.split(".")
        for section in sections:
            below = place.get(section)
            place[section] = dict(below) if isinstance(below, dict) else {}
            place = place[section]
        place[last] = value
    return content


def _refused_in_words_or_read(content: Any) -> None:
    try:
        config = parse_config(content, "tutelage.yaml")
    except ConfigError as error:
        assert str(error).startswith("tutelage.yaml:\n  ")
        return
    assert isinstance(config, ProgrammeConfig)


@settings(max_examples=300, deadline=None)
@given(content=_json_like)
def test_whatever_the_content_only_a_config_error_is_raised(content):
    _refused_in_words_or_read(content)


@settings(max_examples=300, deadline=None)
@given(flat=st.dictionaries(st.sampled_from(_KEYS), _json_like, max_size=4))
def test_whatever_stands_under_its_keys_only_a_config_error_is_raised(flat):
    _refused_in_words_or_read(_nested(flat))


@settings(max_examples=200, deadline=None)
@given(overrides=st.lists(st.text(st.characters(codec="ascii"), max_size=20), min_size=1, max_size=2))
def test_whatever_is_set_only_a_config_error_is_raised(tmp_path_factory, overrides):
    folder = tmp_path_factory.getbasetemp()
    try:
        _loaded(folder, [f"task.instruction={text}" for text in overrides])
    except ConfigError as error:
        assert "instruction" in str(error)


def test_a_section_that_stands_twice_is_refused_with_both_lines(tmp_path):
    path = tmp_path / "tutelage.yaml"
    path.write_text("student: {family: static}\ngold: {path: g}\nstudent: {family: encoder}\n")
    with pytest.raises(ConfigError, match="'student' stands in line 1 and again in line 3"):
        load_config(path)


def test_an_empty_file_says_so(tmp_path):
    (tmp_path / "tutelage.yaml").write_text("# nothing yet\n")
    with pytest.raises(ConfigError, match="is empty.*tutelage init"):
        load_config(tmp_path / "tutelage.yaml")
