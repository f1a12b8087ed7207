"""The report: one HTML file that needs nothing beside it and asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.report.view import build_view

if TYPE_CHECKING:
    from jinja2 import Environment

_TEMPLATES = files("tutelage") / "evaluation" / "report" / "templates"
_STATIC = files("tutelage") / "web" / "static"
_SCRIPTS = ("report_charts.js", "report.js")
_FILTERS = (
    *(fmt.answer, fmt.count, fmt.decimal, fmt.fixed, fmt.large, fmt.megabytes, fmt.milliseconds),
    *(
        fmt.money,
        fmt.money_interval,
        fmt.opening,
        fmt.p_value,
        fmt.percent,
        fmt.percent_interval,
        fmt.plural,
        fmt.points,
        fmt.points_interval,
        fmt.times,
    ),
)
# What could end the script element that holds the JSON, or (the last two) a line of JavaScript.
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def render_report(
    metrics: dict[str, Any], decision: dict[str, Any], context: dict[str, Any], path: Path
) -> None:
    """Write the report of one evaluation to `path`, atomically.

    `metrics` is the content of metrics.json, `decision` of decision.json (`Decision.to_json`). `context` may
    hold `programme` (a name), `created` (ISO time), `version` (of Tutelage), `seal` (seal.json), `teacher`
    (`name`, `revision`, `rights`), `labelling` (`answers`, `cost`, `by_status`), `student` (run.json) and
    `rejected` (reason to count); what is absent leaves its section out. NaN and infinities read as absent.

    Everything in the arguments is shown as text, whatever markup it holds. The page's policy allows only its
    own two scripts (by hash) and no loading of anything.
    """
    view = build_view(_finite(metrics), _finite(decision), _finite(context))
    library = _script((_STATIC / "echarts.min.js").read_text(encoding="utf-8"))
    own = _script("\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS))
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            **view,
            policy=_policy(library, own),
            style=_trusted((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
            library=_trusted(library),
            script=_trusted(own),
            data=_trusted(_embedded(view["charts"])),
        )
    )
    # A lone surrogate has no UTF-8.
    storage.write_bytes(path, page.encode("utf-8", errors="replace"))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("tutelage.evaluation.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in (*_FILTERS, breakable)})
    return environment


def breakable(text: str) -> Any:
    """A label, escaped, that may break after its underscores and nowhere else."""
    from markupsafe import Markup, escape

    return Markup("_<wbr>").join(escape(part) for part in text.split("_"))


def _trusted(text: str) -> Any:
    """Ours, or escaped already: not to be escaped again."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def _finite(content: Any) -> Any:
    """Copy JSON content, with None for floats that JSON doesn't have."""
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def _embedded(content: Any) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(content, ensure_ascii=True, allow_nan=False).translate(_ESCAPES)


def _script(source: str) -> str:
    """A script's text as it will stand in the page; its hash is taken over exactly this."""
    # Browsers hash with line ends normalised. `<\/` is `</` in strings, the one place where it may stand.
    return source.replace("\r\n", "\n").replace("</script", "<\\/script")


def _policy(*scripts: str) -> str:
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts)
    allowed = " ".join(f"'sha256-{text}'" for text in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
