"""One contender of benchmarks/labelling.py, in a process of its own: NAME URL PROMPTS FOLDER.

Prints JSON: how many prompts were answered, in how many seconds, with how much CPU time and memory. Each imports
what it needs inside its function, so that peers run where Tutelage isn't installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IN_FLIGHT = 64
LABELS = ("refund", "card", "card stolen")
MODEL = "scripted-1"
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": list(LABELS)}},
    "required": ["label"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
INSTRUCTION = 'Choose a label: refund, card or card stolen. Answer with JSON only: {"label": "<label>"}.'

Result = dict[str, Any]


def texts_of(count: int) -> list[str]:
    """Distinct prompts."""
    return [f"Message {number}: what about my payment of {number % 97} euros?" for number in range(count)]


def messages_of(text: str) -> list[dict[str, str]]:
    """As each peer sends it."""
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": text}]


def request_of(text: str) -> dict[str, Any]:
    """As each peer sends it."""
    return {"model": MODEL, "messages": messages_of(text), "max_tokens": 256, "response_format": FORMAT}


class Clock:
    """Seconds and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def result(self, answers: int) -> Result:
        """Both, for so many answers."""
        return {
            "answers": answers,
            "seconds": time.perf_counter() - self._wall,
            "cpu": time.process_time() - self._cpu,
        }


def resident() -> float:
    """Megabytes of memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _in_flight(ask: Callable[[str], Any], texts: list[str]) -> int:
    """Ask all texts, 64 at a time; how many were answered with a label."""
    queue = iter(texts)
    good = 0

    async def worker() -> None:
        nonlocal good
        for text in queue:
            said = await ask(text)  # before the sum, which others change meanwhile
            good += json.loads(said)["label"] in LABELS

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return good


def bare(url: str, count: int, folder: Path) -> Result:
    """The loop that anybody would write over aiohttp; it keeps nothing. The ceiling."""
    import aiohttp

    async def run() -> Result:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def ask(text: str) -> str:
                async with session.post(f"{url}/chat/completions", json=request_of(text)) as response:
                    content = await response.json()
                    return str(content["choices"][0]["message"]["content"])

            texts, clock = texts_of(count), Clock()
            return clock.result(await _in_flight(ask, texts))

    return asyncio.run(run())


def tutelage(url: str, count: int, folder: Path) -> Result:
    """`label` with its ledger on disk, every answer checked and committed before it counts."""
    import aiohttp  # noqa: F401 - imported by the first call otherwise

    from tutelage.config import LabellingConfig, OpenAITeacherConfig
    from tutelage.labelling import AnswerLedger, label
    from tutelage.records import Prompt
    from tutelage.tasks import Classify
    from tutelage.teachers import TeacherContext
    from tutelage.teachers.openai import OpenAITeacher

    task = Classify(LABELS, INSTRUCTION)
    config = OpenAITeacherConfig(rights="own", model=MODEL, base_url=url, samples=1)
    teacher = OpenAITeacher(config, TeacherContext(task, (), folder))
    prompts = [Prompt(str(number), text) for number, text in enumerate(texts_of(count))]
    sizes = _Sizes({count // 10: 0.0, count // 2: 0.0, count: 0.0})
    with AnswerLedger(folder / "answers.sqlite") as ledger:
        clock = Clock()
        limits = LabellingConfig(concurrency=IN_FLIGHT)
        report = label(prompts, teacher, task, ledger, limits, progress=sizes)
        result = clock.result(report.by_status.get("ok", 0))
    return {**result, "rss": {f"{at:,}": size for at, size in sizes.at.items()}}


class _Sizes:
    """A progress that notes the memory held when so many answers had come."""

    def __init__(self, at: dict[int, float]) -> None:
        self.at, self._done = at, 0

    def __enter__(self) -> _Sizes:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def track(self, *named: object, **more: object) -> _Sizes:
        """See `Progress`."""
        return self

    def advance(self, count: int = 1, *said: object) -> None:
        """See `Tracker`."""
        before, self._done = self._done, self._done + count
        for at in self.at:
            if before < at <= self._done:
                self.at[at] = resident()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *named, **more: None


def distilabel(url: str, count: int, folder: Path) -> Result:
    """distilabel's OpenAILLM in batches of 64, directly: its pipeline only adds. It asks for no schema."""
    from distilabel.models.llms import OpenAILLM

    llm = OpenAILLM(model=MODEL, base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 256})
    llm.load()
    llm.generate_outputs(inputs=[messages_of("warm up")], num_generations=1, max_new_tokens=256)
    texts, good = texts_of(count), 0
    clock = Clock()
    for start in range(0, count, IN_FLIGHT):
        inputs = [messages_of(text) for text in texts[start : start + IN_FLIGHT]]
        outputs = llm.generate_outputs(inputs=inputs, num_generations=1, max_new_tokens=256)
        good += sum(json.loads(output["generations"][0])["label"] in LABELS for output in outputs)
    return clock.result(good)


def litellm(url: str, count: int, folder: Path) -> Result:
    """litellm's acompletion, 64 at a time; it keeps nothing."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm as library

    library.suppress_debug_info, library.telemetry = True, False

    async def ask(text: str) -> str:
        request = {**request_of(text), "model": f"openai/{MODEL}"}
        response = await library.acompletion(**request, api_base=url, api_key="none", num_retries=0)
        return str(response.choices[0].message.content)

    async def run() -> Result:
        await ask("warm up")
        texts, clock = texts_of(count), Clock()
        return clock.result(await _in_flight(ask, texts))

    return asyncio.run(run())


def openai(url: str, count: int, folder: Path) -> Result:
    """OpenAI's own SDK, 64 at a time; it keeps nothing."""
    import openai as library

    async def run() -> Result:
        async with library.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

            async def ask(text: str) -> str:
                response = await client.chat.completions.create(**request_of(text))
                return str(response.choices[0].message.content)

            await ask("warm up")
            texts, clock = texts_of(count), Clock()
            return clock.result(await _in_flight(ask, texts))

    return asyncio.run(run())


CONTENDERS: dict[str, Callable[[str, int, Path], Result]] = {
    "bare": bare,
    "tutelage": tutelage,
    "distilabel": distilabel,
    "litellm": litellm,
    "openai": openai,
}


def main() -> None:
    """See the module."""
    name, url, count, folder = sys.argv[1:]
    print(json.dumps(CONTENDERS[name](url, int(count), Path(folder))), flush=True)


if __name__ == "__main__":
    main()
