"""Pages on which people say what the right answer to a prompt is; see `web.local`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from tutelage.errors import UsageError
from tutelage.records import dump_value
from tutelage.review import AnnotationProject, Assignment, reviewer_name
from tutelage.tasks import FormKind, filled_in, form_of, read_form
from tutelage.web.local import LocalPages, path_of, see, serve_pages
from tutelage.web.site import LOOPBACK_NAMES, shown_value

_MOST_KEYS = 9  # options with a key of their own; among more one searches


def serve_project(
    project: AnnotationProject,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve `project` until the process is told to stop. See `web.local.serve_pages`."""
    serve_pages(lambda hosts, key: make_app(project, hosts=hosts, key=key), host=host, port=port, ready=ready)


def make_app(
    project: AnnotationProject, *, hosts: tuple[str, ...] = LOOPBACK_NAMES, key: str = ""
) -> Starlette:
    """The pages. `hosts` are the names that requests may call this server by; `key`, if any, opens them."""
    pages = _Pages(project, hosts, key)
    return pages.app(
        {
            ("GET", "/"): pages.names,
            ("POST", "/"): pages.begin,
            ("GET", "/as/{reviewer:path}"): pages.prompt,
            ("POST", "/as/{reviewer:path}/answer"): pages.answer,
            ("POST", "/as/{reviewer:path}/undo"): pages.undo,
            ("POST", "/as/{reviewer:path}/skipped"): pages.skipped,
        }
    )


class _Pages(LocalPages):
    """What is shown to annotators, and what becomes of what they send."""

    def __init__(self, project: AnnotationProject, hosts: tuple[str, ...], key: str) -> None:
        super().__init__("annotate", hosts, key)
        self._project = project

    async def names(self, request: Request) -> Response:
        """Who is reading?"""
        project = self._project
        people = project.progress()
        return self._page(
            request, "annotate_names.html.j2", tally=project.tally(), people=people, wanted=project.wanted
        )

    async def prompt(self, request: Request) -> Response:
        """The next prompt, or that there is none left."""
        return self._next(request, reviewer_name(request.path_params["reviewer"]))

    async def answer(self, request: Request) -> Response:
        """An answer was given, or the prompt was skipped. It is on disk before the next prompt is shown."""
        reviewer = reviewer_name(request.path_params["reviewer"])
        sent = await self.site.form(request)
        if not self.site.is_own(request, sent):
            # The server was started anew since the page was made: what was written on it isn't lost.
            told = "Tutelage was started anew since this page was opened. Please answer once more."
            return self._next(request, reviewer, status=403, told=told, sent=sent)
        try:
            self._record(reviewer, sent)
        except UsageError as error:
            return self._next(request, reviewer, status=400, told=str(error), sent=sent)
        return see(reviewer)

    def _record(self, reviewer: str, sent: Mapping[str, str]) -> None:
        project, prompt = self._project, sent.get("prompt", "")
        if "skip" in sent:
            value = None
        elif "take" in sent:
            value = project.given_answer(prompt, sent["take"])
        else:
            value = read_form(project.task, sent)
        settles = sent.get("settles") == "yes"
        project.answer(reviewer, prompt, value, sent.get("comment", ""), settles=settles)

    async def undo(self, request: Request) -> Response:
        """What was said last is taken back."""
        reviewer = reviewer_name(request.path_params["reviewer"])
        await self.site.own_form(request)
        self._project.undo(reviewer)
        return see(reviewer)

    async def skipped(self, request: Request) -> Response:
        """What was skipped is shown again."""
        reviewer = reviewer_name(request.path_params["reviewer"])
        await self.site.own_form(request)
        self._project.unskip(reviewer)
        return see(reviewer)

    def _next(
        self,
        request: Request,
        reviewer: str,
        *,
        status: int = 200,
        told: str = "",
        sent: Mapping[str, str] | None = None,
    ) -> Response:
        project = self._project
        assignment = project.next(reviewer)
        left, said = project.left(reviewer), project.progress().get(reviewer, 0)
        content: dict[str, Any] = {"reviewer": reviewer, "path": path_of(reviewer), "told": told}
        content |= {"left": left, "done": said, "skips": project.skipped(reviewer)}
        if assignment is None:
            content["tally"] = project.tally()
            return self._page(request, "annotate_done.html.j2", status=status, **content)
        content |= self._shown(assignment)
        if sent is not None and sent.get("prompt") == assignment.prompt.hash:
            content |= {"filled": sent, "comment": sent.get("comment", "")}
        return self._page(request, "annotate_prompt.html.j2", status=status, **content)

    def _shown(self, assignment: Assignment) -> dict[str, Any]:
        before = assignment.before
        form = form_of(self._project.task)
        return {
            "form": form,
            "keys": _keys([option.text for option in form.options]),
            "several": form.kind is FormKind.CHOICES,
            "key": assignment.prompt.hash,
            "text": assignment.prompt.text,
            "slice": assignment.prompt.slice,
            "settles": assignment.settles,
            "answers": [(dump_value(value), shown_value(value)) for value in assignment.answers],
            "comments": assignment.comments,
            "filled": filled_in(self._project.task, None if before is None else before.value),
            "comment": "" if before is None else before.comment,
        }

    def _page(self, request: Request, template: str, *, status: int = 200, **content: Any) -> Response:
        project = self._project
        content |= {"title": project.title, "instruction": project.instruction}
        return self.page(request, template, status=status, **content)


def _keys(options: list[str]) -> list[str]:
    """The key of each option: a score's own digit, else its place; none where there are too many."""
    if options and all(len(text) == 1 and text.isdigit() for text in options):
        return options
    if len(options) > _MOST_KEYS:
        return []
    return [str(number) for number in range(1, len(options) + 1)]
