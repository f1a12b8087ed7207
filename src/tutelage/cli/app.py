"""The verbs. Anything heavy is imported inside them, so that `--help` answers at once."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from tutelage.cli._work import Folder, Force, Overrides, at_work, run_one
from tutelage.cli.audit import audit as audit_verbs
from tutelage.cli.encryption import encryption as encryption_verbs
from tutelage.cli.keys import keys
from tutelage.cli.rights import rights as rights_verbs

app = typer.Typer(
    name="tutelage",
    help="Turn a strong model's behaviour on one narrow task into a small model you own, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(keys, name="keys")
app.add_typer(rights_verbs, name="rights")
app.add_typer(audit_verbs, name="audit")
app.add_typer(encryption_verbs, name="encryption")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from tutelage import __version__

        typer.echo(f"tutelage {__version__}")
        raise typer.Exit


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where the programme will live.")] = Path(),
    gold: Annotated[str, typer.Option(help="File of human-labelled examples.")] = "gold.csv",
    traffic: Annotated[str, typer.Option(help="File of unlabelled prompts.")] = "traffic.csv",
    text: Annotated[str, typer.Option(help="Column that holds the text.")] = "text",
    label: Annotated[str, typer.Option(help="Column that holds the human label.")] = "label",
    task: Annotated[str, typer.Option(help="classify, judge, extract or generate.")] = "classify",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="encoder, transformers, local, openai, anthropic, human or ensemble. encoder where absent, "
            "which can't extract or generate."
        ),
    ] = None,
) -> None:
    """Write a commented tutelage.yaml to start from, and say what to set in it."""
    from tutelage.cli.template import write_template

    written = write_template(
        folder, gold=gold, traffic=traffic, text=text, label=label, teacher=teacher, task=task
    )
    typer.echo(f"Wrote {written.path}.")
    if written.to_set:
        typer.echo(f"Set in it: {', '.join(written.to_set)}.")
    for name in written.to_export:
        typer.echo(f"Export {name}, unless the endpoint needs no key.")
    typer.echo(f"Then: tutelage check {shlex.quote(str(folder))}")


@app.command()
def check(folder: Folder = Path(), overrides: Overrides = None) -> None:
    """Validate the configuration, sources, rights and journal, before anything is sealed, sent or paid."""
    run_one("check", folder, overrides, force=True)
    typer.echo(f"Next: tutelage run {shlex.quote(str(folder))}")


@app.command()
def gold(
    folder: Folder = Path(),
    overrides: Overrides = None,
    force: Force = False,
    reseal: Annotated[
        bool, typer.Option("--reseal", help="Give up a seal that evaluations stand on; it is journalled.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what each slice needs, and draw prompts to label.")
    ] = False,
    most: Annotated[int | None, typer.Option(min=1, help="Draw so many at most, for --plan.")] = None,
    seed: Annotated[int, typer.Option(help="Of that draw.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The plan for machines.")] = False,
) -> None:
    """Seal the human-labelled examples and say how much they can decide; or plan what to label."""
    if plan:
        from tutelage.cli import annotating
        from tutelage.programme import Programme

        annotating.plan(Programme.open(folder, overrides or ()), seed, most, as_json)
        return
    if not reseal:
        run_one("gold", folder, overrides, force)
        return
    from tutelage.stages import reseal as reseal_gold

    with at_work(folder, overrides) as (programme, progress):
        reseal_gold(programme, progress)


@app.command()
def annotate(
    folder: Folder = Path(),
    overrides: Overrides = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine a key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8422,
    results: Annotated[
        bool, typer.Option("--results", help="Tell how far it is and how far people agree; serve nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Results for machines.")] = False,
    to_gold: Annotated[
        bool, typer.Option("--to-gold", help="Put what is settled where `tutelage gold` reads it.")
    ] = False,
    taken: Annotated[
        Path | None,
        typer.Option("--import", help="Take what people said elsewhere: Label Studio, Argilla, or a table."),
    ] = None,
    given: Annotated[
        Path | None, typer.Option("--export", help="Write what waits as tasks for another tool.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="label-studio, argilla or csv; found out where absent.")
    ] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option(help="The question that has the label, or a table's columns of people. Repeatable."),
    ] = None,
    add_prompts: Annotated[
        bool, typer.Option("--add-prompts", help="Take the file's prompts too that weren't drawn.")
    ] = False,
) -> None:
    """Have people label what `gold --plan` drew, in the browser: independently, then to settle."""
    from tutelage.cli import annotating
    from tutelage.programme import Programme

    programme = Programme.open(folder, overrides or ())
    if taken is not None:
        annotating.take(programme, taken, form, answers or (), add_prompts, as_json)
    elif given is not None:
        annotating.give(programme, given, form)
    elif to_gold:
        annotating.make_gold(programme)
    elif results or as_json:
        annotating.tell_results(programme, as_json)
    else:
        annotating.hold(programme, host, port)


@app.command()
def privacy(
    folder: Folder = Path(),
    overrides: Overrides = None,
    most: Annotated[int | None, typer.Option(min=1, help="Look at so many rows of each source.")] = None,
    reveal: Annotated[
        str | None, typer.Option(metavar="PSEUDONYM", help="Say what it stands for, to whoever has the key.")
    ] = None,
) -> None:
    """Tell what personal data gold and traffic hold, and what becomes of it. Reads; writes nothing."""
    from tutelage.cli.privacy import print_personal_data
    from tutelage.programme import Programme
    from tutelage.stages.privacy import reveal as reveal_pseudonym

    programme = Programme.open(folder, overrides or ())
    if reveal is not None:
        typer.echo(reveal_pseudonym(programme, reveal))
        return
    print_personal_data(programme, most)


@app.command()
def collect(
    folder: Folder = Path(),
    overrides: Overrides = None,
    force: Force = False,
    from_serving: Annotated[
        bool,
        typer.Option(
            "--from-serving", help="First take what a server was asked, and what people said of it, by value."
        ),
    ] = False,
    most: Annotated[
        int, typer.Option(min=1, help="With --from-serving: new prompts, beside those that people judged.")
    ] = 1_000,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew", help="Read every row anew, and drop what was taken of rows that no source has any more."
        ),
    ] = False,
) -> None:
    """Read what is new of the traffic, set aside bad rows and whatever gold has too."""
    from tutelage.stages import forget_collected, run_stage

    with at_work(folder, overrides) as (programme, progress):
        if from_serving:
            from tutelage.stages.served import take_served

            take_served(programme, progress, most=most)
        if anew:
            forget_collected(programme)
        run_stage(programme, "collect", progress, force=force or anew)


@app.command()
def coverage(
    folder: Folder = Path(),
    overrides: Overrides = None,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say whether gold is like the traffic: clusters in words, what gold lacks, leaks. Costs nothing."""
    from tutelage.cli.coverage import print_coverage
    from tutelage.stages import run_stage, shown_coverage

    with at_work(folder, overrides, quiet=as_json) as (programme, progress):
        run_stage(programme, "coverage", progress, force=force)
    print_coverage(shown_coverage(programme), as_json=as_json)


@app.command()
def plan(
    folder: Folder = Path(),
    overrides: Overrides = None,
    force: Force = False,
    prompts: Annotated[
        int | None, typer.Option("--prompts", min=1, help="Compare plans of so many prompts; keep none.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", metavar="DOLLARS", min=0.01, help="Likewise, by their cost.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Which prompts to have labelled: each plan's cost and what it covers; keep that of labelling.sample."""
    from tutelage.cli.plans import print_plans
    from tutelage.stages import run_stage
    from tutelage.stages.plans import compare_plans

    with at_work(folder, overrides, quiet=as_json) as (programme, progress):
        found = compare_plans(programme, progress, prompts, budget)
        print_plans(found, as_json=as_json)
        if found.chosen is not None:
            run_stage(programme, "plan", progress, force=force)


@app.command()
def synthesise(folder: Folder = Path(), overrides: Overrides = None, force: Force = False) -> None:
    """Have a model write prompts where the traffic is thin or hard: marked, capped, and never gold."""
    from tutelage.cli.synthesis import print_synthesis

    print_synthesis(run_one("synthesise", folder, overrides, force))


@app.command()
def label(
    folder: Folder = Path(),
    overrides: Overrides = None,
    force: Force = False,
    pilot: Annotated[
        int | None,
        typer.Option(
            "--pilot",
            metavar="PROMPTS",
            help="Ask only so many, in every version of the prompt, and compare: quality, cost, agreement.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The pilot's figures, for machines.")] = False,
    cancel: Annotated[
        bool,
        typer.Option(
            "--cancel-batches",
            help="Have the provider end its batches; what they have answered is kept, nothing new is asked.",
        ),
    ] = False,
) -> None:
    """Ask the teacher, behind the rights and gold gates; nothing is paid twice."""
    if cancel:
        _cancel_batches(folder, overrides)
        return
    if pilot is None:
        run_one("label", folder, overrides, force)
        return
    from tutelage.cli.pilot import print_pilot
    from tutelage.stages import run_pilot

    with at_work(folder, overrides, quiet=as_json) as (programme, progress):
        found = run_pilot(programme, pilot, progress)
    print_pilot(found, as_json=as_json)


def _cancel_batches(folder: Path, overrides: list[str] | None) -> None:
    from tutelage.stages import cancel_batches

    with at_work(folder, overrides) as (programme, progress):
        typer.echo(cancel_batches(programme, progress))


@app.command()
def review(
    folder: Folder = Path(),
    overrides: Overrides = None,
    most: Annotated[int, typer.Option(min=1, help="Answers to look at, the most doubtful first.")] = 200,
) -> None:
    """Put the teacher's most doubtful answers into answers/review.csv, for people to correct."""
    from tutelage.stages import make_review

    with at_work(folder, overrides) as (programme, progress):
        path = make_review(programme, most, progress)
    typer.echo(f"Fill in the column label of {path}, then run `tutelage label {folder}`.")


@app.command()
def vote(
    folder: Folder = Path(),
    overrides: Overrides = None,
    where: Annotated[
        Literal["gold", "traffic"], typer.Option(help="Sealed gold, or the traffic that was labelled.")
    ] = "gold",
    against: Annotated[
        Literal["teacher", "control"], typer.Option(help="Whom to put beside the student.")
    ] = "teacher",
    sample: Annotated[
        Literal["differing", "random"], typer.Option(help="Pairs whose answers differ, or any.")
    ] = "differing",
    most: Annotated[int, typer.Option(min=1, help="Pairs to vote on.")] = 200,
    seed: Annotated[int, typer.Option(help="Of their choice.")] = 0,
    hide_gold: Annotated[bool, typer.Option("--hide-gold", help="Don't show the human answer.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine a key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8421,
    results: Annotated[
        bool, typer.Option("--results", help="Tell what was voted, and serve nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Results for machines.")] = False,
    to_review: Annotated[
        bool, typer.Option("--to-review", help="Write answers preferred to the teacher's into review.csv.")
    ] = False,
    at_least: Annotated[int, typer.Option(min=1, help="Reviewers who agree, for --to-review.")] = 1,
    judge: Annotated[
        bool, typer.Option("--judge", help="Have the model of `judging` vote, and see if it agrees.")
    ] = False,
) -> None:
    """Compare two answers side by side, blind, in the browser; with --results tell what was voted."""
    from tutelage.cli import voting
    from tutelage.programme import Programme

    programme = Programme.open(folder, overrides or ())
    if judge:
        voting.have_judged(programme, against)
    elif to_review:
        voting.put_to_review(programme, at_least)
    elif results or as_json:
        voting.tell_results(programme, where, against, as_json)
    else:
        voting.hold(programme, where, against, sample, most, seed, not hide_gold, host, port)


@app.command()
def train(folder: Folder = Path(), overrides: Overrides = None, force: Force = False) -> None:
    """Train the student and its control arm."""
    run_one("train", folder, overrides, force)


@app.command()
def compare(
    folder: Folder = Path(),
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Train several students over several seeds, on answers that none learns from propose the smallest."""
    from tutelage.cli.comparison import print_comparison
    from tutelage.stages import run_comparison

    with at_work(folder, overrides, quiet=as_json) as (programme, progress):
        found = run_comparison(programme, progress)
    print_comparison(found, as_json=as_json)


@app.command()
def curve(
    folder: Folder = Path(),
    overrides: Overrides = None,
    more: Annotated[
        int | None, typer.Option("--more", min=1, help="Answers to add; the unlabelled traffic where absent.")
    ] = None,
    worth: Annotated[
        float, typer.Option("--worth", min=0.0, max=1.0, help="Gain in quality from which they pay.")
    ] = 0.005,
    configured: Annotated[
        bool, typer.Option("--configured", help="Train the configured student, not a static one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say whether more answers would pay: students of a tenth to all of them, and what the fit foretells."""
    from tutelage.cli.curve import print_curve
    from tutelage.stages.curve import run_curve

    with at_work(folder, overrides, quiet=as_json) as (programme, progress):
        found = run_curve(programme, progress, more=more, worth=worth, configured=configured)
    print_curve(found, as_json=as_json)


@app.command()
def stress(folder: Folder = Path(), overrides: Overrides = None, force: Force = False) -> None:
    """Perturb sealed gold, ask safety suites: flips and refusals of teacher, control and student."""
    from tutelage.cli.stress import print_stress
    from tutelage.stages import read_stress

    print_stress(read_stress(run_one("stress", folder, overrides, force)))


@app.command()
def export(folder: Folder = Path(), overrides: Overrides = None) -> None:
    """Write the student in forms that a server runs without torch; refuse those that do not do as it did."""
    from tutelage.cli.exports import print_export
    from tutelage.stages import run_export

    with at_work(folder, overrides) as (programme, progress):
        found = run_export(programme, progress)
    print_export(found)


@app.command()
def certify(folder: Folder = Path(), overrides: Overrides = None) -> None:
    """Find from which confidence on the exported student may answer, with a bound on its errors there."""
    from tutelage.cli.certificates import print_certification
    from tutelage.stages import run_certify

    with at_work(folder, overrides) as (programme, progress):
        found = run_certify(programme, progress)
    print_certification(found)
    raise typer.Exit(found.exit_code)


@app.command()
def evaluate(folder: Folder = Path(), overrides: Overrides = None, force: Force = False) -> None:
    """Compare teacher, control and student on sealed gold; decide. Exit status as of run."""
    from tutelage.cli.display import print_outcome
    from tutelage.stages import read_outcome

    programme = run_one("evaluate", folder, overrides, force)
    outcome = read_outcome(programme)
    print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


@app.command()
def report(folder: Folder = Path(), overrides: Overrides = None, force: Force = False) -> None:
    """Write report.html."""
    run_one("report", folder, overrides, force)


@app.command()
def run(folder: Folder = Path(), overrides: Overrides = None, force: Force = False) -> None:
    """All stages up to the release decision. Exit status: 0 pass, 3 fail, 4 not enough evidence."""
    from tutelage.cli.display import print_outcome
    from tutelage.stages import run_all

    with at_work(folder, overrides) as (programme, progress):
        outcome = run_all(programme, progress, force=force)
    print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


@app.command()
def economics(
    folder: Folder = Path(),
    overrides: Overrides = None,
    monthly: Annotated[
        float | None, typer.Option("--monthly", metavar="REQUESTS", help="Requests a month.")
    ] = None,
    escalation: Annotated[
        float | None,
        typer.Option(
            "--escalation", metavar="SHARE", help="Share that the student passes on to the teacher."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """What a student costs and saves, and when it pays for itself. Asks nothing and spends nothing."""
    from tutelage.cli.economics import print_economics
    from tutelage.programme import Programme
    from tutelage.stages import programme_economics

    stated = {"monthly": monthly, "escalation": escalation}
    given = [f"economics.{key}={value:.12f}" for key, value in stated.items() if value is not None]
    print_economics(
        programme_economics(Programme.open(folder, [*(overrides or ()), *given])), as_json=as_json
    )


@app.command()
def status(
    folder: Folder = Path(),
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Where the programme stands, and what it has spent."""
    from tutelage.cli.display import print_status
    from tutelage.programme import Programme
    from tutelage.stages import read_status

    print_status(read_status(Programme.open(folder, overrides or ())), as_json=as_json)


@app.command()
def serve(
    folder: Folder = Path(),
    overrides: Overrides = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; beyond this machine use TLS in front.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any.")] = 8200,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    json_logs: Annotated[
        bool, typer.Option("--json-logs", help="A line of JSON a record, without what was said.")
    ] = False,
) -> None:
    """Answer live requests in front of teacher and student, in shadow first."""
    from tutelage.cli import serving
    from tutelage.programme import Programme

    serving.serve(Programme.open(folder, overrides or ()), host, port, log_level, json_logs=json_logs)


@app.command()
def rollout(
    folder: Folder = Path(),
    overrides: Overrides = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="STAGE", help="off, shadow, canary, cascade or full.")
    ] = None,
    share: Annotated[float | None, typer.Option(help="Of keys, in canary.")] = None,
    revision: Annotated[str | None, typer.Option(help="Another exported student, by its revision.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is written down.")] = "",
    override: Annotated[bool, typer.Option("--override", help="Go past the gate; needs a reason.")] = False,
    actor: Annotated[str | None, typer.Option("--as", help="Who decides; you where absent.")] = None,
) -> None:
    """Tell how far the student is trusted; with --to take a step, which its gate has to let pass."""
    from tutelage.cli import serving
    from tutelage.programme import Programme

    programme = Programme.open(folder, overrides or ())
    serving.roll(programme, to, share, revision, reason, override, actor)


@app.command()
def purge(
    folder: Folder = Path(),
    overrides: Overrides = None,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            "--subject",
            metavar="KEY",
            help="Whose: as columns.subject, X-Tutelage-Key or `user` have it. May be given several times.",
        ),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0.0, help="What servers kept and is older."),
    ] = None,
    expired: Annotated[
        bool, typer.Option("--expired", help="What is older than `retention` allows its class.")
    ] = False,
) -> None:
    """Remove a person, or what is old, so that no file of the folder holds a byte of it."""
    from tutelage.cli.purging import purge as act

    with at_work(folder, overrides) as (programme, progress):
        act(programme, progress, subject or [], older_than, expired=expired)


@app.command()
def doctor() -> None:
    """What is missing on this machine."""
    from tutelage.cli.display import print_findings
    from tutelage.cli.machine import examine

    findings = examine()
    print_findings(findings)
    raise typer.Exit(0 if all(finding.found or not finding.needed for finding in findings) else 2)
