from __future__ import annotations

import os
import platform

import pytest

from tutelage.errors import UsageError
from tutelage.scale.place import Place, own_version


def test_a_worker_says_where_it_is():
    assert Place.here(own_version()) == Place(platform.node(), os.getpid())


def test_another_version_of_tutelage_is_refused():
    with pytest.raises(UsageError, match=rf"has Tutelage {own_version()}.*runs with 0\.0\.9.*Mend"):
        Place.here("0.0.9")
