"""What the report's tests share: a made-up evaluation, hostile strings, and a reader of pages."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from tutelage.evaluation.report import render_report
from tutelage.gates import Decision, Evidence, Verdict

TITLES = {
    "teacher": "MiniLM encoder with a fitted head",
    "control": "encoder-3 on hard labels",
    "student": "encoder-3, soft targets",
}
ARMS = tuple(TITLES)


def interval(rate: float, n: int) -> dict[str, Any]:
    """Wilson's interval at 95%, as metrics.json holds it."""
    z, spread = 1.96, 0.0
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    spread = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return {"estimate": rate, "low": max(0.0, centre - spread), "high": min(1.0, centre + spread), "n": n}


def paired(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    gaps = ours.astype(float) - theirs.astype(float)
    half = 1.96 * gaps.std() / math.sqrt(len(gaps))
    mean = float(gaps.mean())
    return {"estimate": mean, "low": mean - half, "high": mean + half, "n": len(gaps)}


class World:
    """Answers of three arms to one gold set, made up with the habits of real ones."""

    def __init__(self, labels: list[str], n: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.labels, self.n, self.random = labels, n, random
        self.gold = random.integers(len(labels), size=n)
        self.slices = random.choice(["normal", "hard", "critical"], size=n, p=[0.72, 0.18, 0.1])
        hard = np.where(self.slices == "hard", 0.14, 0.0)
        easy = random.beta(2.2, 1.0, size=len(labels))[self.gold] * 0.10
        wrong = (self.gold + 1 + (self.gold * 3) % 2) % len(labels)
        teacher = random.random(n) < 0.03 + hard + easy * 0.45
        copied = teacher & (random.random(n) < 0.7)
        student = copied | (random.random(n) < 0.01 + hard * 0.2 + easy * 0.3)
        control = random.random(n) < 0.065 + hard + easy
        other = (self.gold + random.integers(1, max(2, len(labels)), size=n)) % len(labels)
        self.given = {
            "teacher": np.where(teacher, wrong, self.gold),
            "control": np.where(control, other, self.gold),
            "student": np.where(student, np.where(copied, wrong, other), self.gold),
        }
        self.right = {arm: given == self.gold for arm, given in self.given.items()}

    def arm(self, name: str, footprint: dict[str, float] | None, calibrated: bool) -> dict[str, Any]:
        right, given = self.right[name], self.given[name]
        scores = {}
        for index, label in enumerate(self.labels):
            support, hits = int((self.gold == index).sum()), int((right & (self.gold == index)).sum())
            answered = int((given == index).sum())
            recall = hits / support if support else None
            precision = hits / answered if answered else None
            bounds = interval(recall, support) if support else {"low": None, "high": None}
            scores[label] = {
                "support": support,
                "precision": precision,
                "recall": recall,
                "f1": 2 * hits / (support + answered) if support + answered else None,
                "recall_low": bounds["low"],
                "recall_high": bounds["high"],
            }
        bins = [
            {"confidence": at, "accuracy": min(1.0, max(0.0, at - 0.06 + 0.05 * math.sin(9 * at))), "n": n}
            for at, n in zip(
                (0.28, 0.37, 0.46, 0.55, 0.65, 0.75, 0.85, 0.97),
                (6, 14, 22, 31, 48, 80, 160, 839),
                strict=True,
            )
        ]
        mean = [score["f1"] for score in scores.values() if score["f1"] is not None]
        return {
            "title": TITLES[name],
            "accuracy": interval(float(right.mean()), self.n),
            "macro_f1": {**interval(float(np.mean(mean)), self.n)},
            "slices": {
                part: interval(float(right[self.slices == part].mean()), int((self.slices == part).sum()))
                for part in ("normal", "hard", "critical")
            },
            "labels": scores,
            "ece": 0.031 if calibrated else None,
            "brier": 0.142 if calibrated else None,
            "reliability": bins if calibrated else None,
            "agreement_with_teacher": interval(float((given == self.given["teacher"]).mean()), self.n),
            "unanswered": 3 if name == "teacher" else 0,
            "footprint": footprint,
        }

    def comparison(self, a: str, b: str) -> dict[str, Any]:
        ours, theirs = self.right[a], self.right[b]
        return {
            "a": a,
            "b": b,
            "difference": {key: paired(ours, theirs)[key] for key in ("estimate", "low", "high")},
            "mcnemar_p": 0.0312,
            "only_a_right": int((ours & ~theirs).sum()),
            "only_b_right": int((theirs & ~ours).sum()),
            "slices": {
                part: paired(ours[self.slices == part], theirs[self.slices == part])
                for part in ("normal", "hard", "critical")
            },
        }

    def errors(self) -> dict[str, Any]:
        teacher, student = ~self.right["teacher"], ~self.right["student"]
        same = self.given["teacher"] == self.given["student"]
        pairs: dict[tuple[int, int], list[int]] = {}
        for gold, ours, theirs in zip(self.gold, self.given["student"], self.given["teacher"], strict=True):
            for place, answered in enumerate((theirs, ours)):
                if answered != gold:
                    pairs.setdefault((gold, answered), [0, 0, 0])[place] += 1
            if ours == theirs != gold:
                pairs[(gold, ours)][2] += 1
        names = ("gold", "predicted", "teacher", "student", "shared")
        largest = sorted(pairs.items(), key=lambda item: -item[1][2])[:10]
        return {
            "both_right": int((~teacher & ~student).sum()),
            "student_only_wrong": int((student & ~teacher).sum()),
            "teacher_only_wrong": int((teacher & ~student).sum()),
            "both_wrong_same": int((teacher & student & same).sum()),
            "both_wrong_different": int((teacher & student & ~same).sum()),
            "inherited_share": float((teacher & student & same).sum() / max(1, student.sum())),
            "lift": float(student[teacher].mean() / max(1e-9, student[~teacher].mean())),
            "confusions": [
                dict(zip(names, (self.labels[gold], self.labels[answered], *counts), strict=True))
                for (gold, answered), counts in largest
            ],
        }

    def metrics(self, texts: list[str], *, api: bool = False) -> dict[str, Any]:
        keys = ("latency_p50_ms", "latency_p95_ms", "throughput", "size_mb", "parameters")
        small = dict(zip(keys, (2.13, 3.4, 1240.0, 17.3, 17_200_000), strict=True))
        large = dict(zip(keys, (51.2, 63.0, 38.0, 90.9, 22_700_000), strict=True))
        wrong = np.flatnonzero(~self.right["student"])[:40]
        return {
            "n": self.n,
            "confidence": 0.95,
            "task": {"labels": self.labels, "multi_label": False, "out_of_scope": None},
            "arms": {
                "teacher": self.arm("teacher", None if api else large, calibrated=not api),
                "control": self.arm("control", {**small, "latency_p50_ms": 2.21}, calibrated=True),
                "student": self.arm("student", small, calibrated=True),
            },
            "comparisons": [self.comparison("student", "teacher"), self.comparison("student", "control")],
            "retention": {"estimate": 0.996, "low": 0.982, "high": 1.009},
            "gap_recovered": {"estimate": 0.86, "low": 0.41, "high": 1.3},
            "errors": self.errors(),
            "worst": [
                {
                    "id": f"gold-{row:04}",
                    "text": texts[place % len(texts)],
                    "slice": str(self.slices[row]),
                    "gold": self.labels[self.gold[row]],
                    **{arm: self.labels[self.given[arm][row]] for arm in ARMS},
                    "confidence": 0.99 - 0.01 * place,
                }
                for place, row in enumerate(wrong)
            ],
        }


BANKING = """activate my card|age limit|apple pay or google pay|atm support|automatic top up|balance not updated after bank transfer|balance not updated after cheque or cash deposit|beneficiary not allowed|cancel transfer|card about to expire|card acceptance|card arrival|card delivery estimate
card linking|card not working|card payment fee charged|card payment not recognised|card payment wrong exchange rate|card swallowed|cash withdrawal charge|cash withdrawal not recognised|change pin|compromised card|contactless not working|country support|declined card payment
declined cash withdrawal|declined transfer|direct debit payment not recognised|disposable card limits|edit personal details|exchange charge|exchange rate|exchange via app|extra charge on statement|failed transfer|fiat currency support|get disposable virtual card|get physical card
getting spare card|getting virtual card|lost or stolen card|lost or stolen phone|order physical card|passcode forgotten|pending card payment|pending cash withdrawal|pending top up|pending transfer|pin blocked|receiving money|refund not showing up
request refund|reverted card payment|supported cards and currencies|terminate account|top up by bank transfer charge|top up by card charge|top up by cash or cheque|top up failed|top up limits|top up reverted|topping up by card|transaction charged twice|transfer fee charged
transfer into account|transfer not received by recipient|transfer timing|unable to verify identity|verify my identity|verify source of funds|verify top up|virtual card not working|visa or mastercard|why verify identity|wrong amount of cash received|wrong exchange rate for withdrawal""".replace(
    "\n", "|"
).split("|")

TEXTS = [
    "I paid at a petrol station yesterday and it still says pending, although they told me it went through.",
    "Why was I charged extra when I took out cash abroad?",
    "My card arrived but the app won't let me link it",
    "hi, the top-up i made this morning has been reverted and i don't understand why. can somebody look into this? i need the money today",
    "Is it possible to change my PIN from outside the country?",
    "The exchange rate for my withdrawal looks wrong, it was 1.12 when I checked.",
]


# term | verdict | reason | estimate, low, high, limit, n, examples needed
TERMS = """accuracy loss against the teacher | pass | At most 2.4 points are lost; 3.0 are allowed. | 0.011 -0.002 0.024 0.03 1200
accuracy | pass | At least 88.7% are right; 85.0% are asked for. | 0.905 0.887 0.92 0.85 1200
expected calibration error | pass | 0.031 is within the limit of 0.1. | 0.031 0.022 0.047 0.1 1200
latency p95 (ms) | pass | 3.4 ms on one thread; 10 are allowed. | 3.4 - - 10
size on disk (MB) | pass | 17 MB; 50 are allowed. | 17.3 - - 50"""
CRITICAL = {
    Verdict.PASS: "At most 3.8 points are lost on critical examples; 5.0 are allowed. | 0.008 -0.022 0.038 0.05 119",
    Verdict.FAIL: "At least 6.1 points are lost on critical examples; 5.0 are allowed. | 0.084 0.061 0.119 0.05 119",
    Verdict.UNDECIDED: "Between −1.4 and 6.9 points are lost on critical examples; 5.0 are allowed. | 0.025 -0.014 0.069 0.05 119 240",
}


def decision(verdict: Verdict = Verdict.PASS) -> dict[str, Any]:
    lines = TERMS.splitlines()
    lines.insert(1, f"loss against the teacher on the slice critical | {verdict} | {CRITICAL[verdict]}")
    evidence = []
    for line in lines:
        term, said, reason, numbers = (part.strip() for part in line.split("|"))
        values = [None if part == "-" else float(part) for part in numbers.split()]
        estimate, low, high, limit, n, more = (*values, *[None] * (6 - len(values)))
        counts = (None if value is None else int(value) for value in (n, more))
        evidence.append(Evidence(term, Verdict(said), reason, estimate, low, high, limit, *counts))
    return Decision.of("release", evidence, run="encoder-3").to_json()


def context() -> dict[str, Any]:
    trained = {
        "examples": 8969,
        "recipe": {
            "temperature": 1.0,
            "hard_weight": 0.3,
            "learning_rate": 3e-4,
            "batch_size": 32,
            "seed": 0,
        },
        "record": {
            "steps": 1402,
            "best_step": 1260,
            "seconds": 1184.2,
            "stopped_early": False,
            "history": [
                {"step": 140 * k, "loss": 2.2 / k, "agreement": 0.93 - 0.4 / k} for k in range(1, 11)
            ],
        },
    }
    return {
        "programme": "Support inbox",
        "created": "2026-05-14T09:30:00+00:00",
        "version": "0.1.0",
        "seal": {
            "sha256": "9f2c41d07a5be3386a1f0c9de57b21aa",
            "n": 1200,
            "slices": {"normal": 864, "hard": 217, "critical": 119},
            "labels": BANKING[:12],
            "half_width": 0.0173,
            "margin": 0.03,
        },
        "teacher": {
            "name": "encoder:minilm-l6",
            "revision": "5d1f09ac",
            "paid": False,
            "rights": Decision.of(
                "rights",
                [Evidence("training a student on answers", Verdict.PASS, "Apache-2.0 allows it.")],
                entry="all-minilm-l6-v2",
            ).to_json(),
        },
        "labelling": {
            "answers": 10003,
            "cost": 12.4,
            "by_status": {"ok": 9966, "unparseable": 21, "out_of_set": 9, "refused": 7},
        },
        "student": {
            "run": "encoder-3",
            "config": {"family": "encoder", "layers": None, "max_tokens": 128, "validation": 0.1},
            "student": trained,
            "control": {**trained, "examples": 1512, "labels": "gold"},
        },
        "rejected": {"near duplicate": 412, "empty": 31, "in gold": 18},
    }


THREE = ["billing", "technical", "other"]


def small(
    labels: list[str] = THREE, texts: list[str] = TEXTS, n: int = 240, *, api: bool = False
) -> dict[str, Any]:
    return World(labels, n, seed=3).metrics(texts, api=api)


def rendered(
    folder: Path,
    metrics: dict[str, Any] | None = None,
    made: dict[str, Any] | None = None,
    about: dict[str, Any] | None = None,
) -> str:
    path = folder / "report.html"
    render_report(
        metrics or small(), decision() if made is None else made, context() if about is None else about, path
    )
    return path.read_text(encoding="utf-8")


class Page(HTMLParser):
    """Elements with their attributes' names, what is visible, and the scripts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.policy = ""
        self.scripts: list[tuple[str | None, str]] = []
        self._open: list[str] = []
        self._kind: str | None = None
        self.words: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self.links += [
            value or ""
            for name, value in attrs
            if name in {"src", "href", "action", "data", "srcset", "poster", "xlink:href"}
        ]
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        if tag in {"script", "style"}:
            self._open.append(tag)
            self._kind = given.get("type")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open == ["script"]:
            self.scripts.append((self._kind, data))
        elif not self._open:
            self.words.append(data)


def embedded(page: str) -> tuple[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return found, json.loads(found)


HOSTILE = [
    "<script>document.title='hacked'</script>",
    "</script><script>document.title='hacked'</script>",
    "</title><script>document.title='hacked'</script>",
    "</style><script>document.title='hacked'</script>",
    "<img src=x onerror=\"document.title='hacked'\">",
    "<svg onload=\"document.title='hacked'\"/>",
    "\"><img src=x onerror=document.title='hacked'>",
    "' onmouseover='document.title=1' x='",
    "<iframe srcdoc=\"<script>parent.document.title='hacked'</script>\"></iframe>",
    "<a href=\"javascript:document.title='hacked'\">x</a>",
    "<!--<script>document.title='hacked'",
    "--><script>document.title='hacked'</script>",
    "]]><script>document.title='hacked'</script>",
    "<ScRiPt\x0bsrc=//evil.example/x.js></sCrIpT>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<base href=//evil.example/>",
    "<style>@import '//evil.example/x.css'</style>",
    "<details open ontoggle=document.title='hacked'>",
    "{{ 7 * 7 }}{% raw %}",
    "${document.title='hacked'}",
    "line\u2028separator\u2029paragraph",
    "&lt;b&gt; &amp;#x3c;img src=x onerror=document.title=1&amp;#x3e;",
    "{a|rich}\\u003cscript\\u003e",
    "__proto__",
    "constructor",
    "<math><mtext><table><mglyph><style><img src=x onerror=document.title=1>",
]


def harmed(hostile: list[str], url: str = "") -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Metrics, decision and context with such strings wherever a text from outside can stand."""
    loads = f'<img src="{url}/pixel.png"><link rel="prefetch" href="{url}/a"><video src="{url}/v"></video>'
    metrics = small(hostile, [*hostile, loads] if url else hostile)
    renamed = dict(zip(("normal", "hard", "critical"), hostile, strict=False))
    for part in (*metrics["arms"].values(), *metrics["comparisons"]):
        part["slices"] = {renamed[name]: value for name, value in part["slices"].items()}
    for place, arm in enumerate(metrics["arms"].values()):
        arm["title"] = hostile[place]
    for place, item in enumerate(metrics["worst"]):
        item.update(id=hostile[place % len(hostile)], slice=hostile[-1 - place % len(hostile)])
    made = decision(Verdict.FAIL)
    for place, item in enumerate(made["evidence"]):
        item.update(term=f"loss against the teacher {hostile[place]}", reason=hostile[place + 6])
    made["facts"] = {hostile[0]: hostile[1], "more": hostile}
    about = context()
    about.update(
        programme=hostile[0], created=hostile[4], version=hostile[5], rejected=dict.fromkeys(hostile, 3)
    )
    about["teacher"].update(name=hostile[1], revision=hostile[2])
    about["seal"] = {hostile[3]: {hostile[4]: hostile[5]}, "rows": [{hostile[6]: hostile[7]}]}
    return metrics, made, about
