from __future__ import annotations

import subprocess
import sys

import pytest

import tutelage


def test_all_is_sorted_and_is_what_can_be_had():
    assert sorted(tutelage.__all__) == tutelage.__all__
    assert set(tutelage.__all__) == set(tutelage._HOMES)
    for name in tutelage.__all__:
        assert getattr(tutelage, name).__module__.startswith("tutelage."), name
    assert set(tutelage.__all__) <= set(dir(tutelage))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="teach_me"):
        tutelage.teach_me  # noqa: B018


def test_no_public_name_needs_torch():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "import tutelage\n"
        "assert 'numpy' not in sys.modules\n"
        "[getattr(tutelage, name) for name in tutelage.__all__]\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
