from __future__ import annotations

import csv

from tutelage.records import Fields, Prompt, dump_value
from tutelage.review import Choice, Consensus, Vote, consensus, record_consensus

PROMPTS = [Prompt(str(n), f"prompt {n}") for n in range(6)]


def vote(prompt, reviewer, choice, a="yes", b="no"):
    a, b = ("null" if value is None else dump_value(value) for value in (a, b))
    return Vote(f"{prompt.hash} {a} {b}", prompt.hash, reviewer, choice, a, b)


def test_more_than_half_of_all_votes_on_a_prompt_decide():
    first, second, third, fourth, fifth, sixth = PROMPTS
    votes = [
        vote(first, "Ada", Choice.A),
        vote(first, "Ben", Choice.B, "no", "yes"),  # other sides, the same answer
        vote(second, "Ada", Choice.A),
        vote(second, "Ben", Choice.B),
        vote(third, "Ada", Choice.NEITHER),
        vote(fourth, "Ada", Choice.BOTH),
        vote(fifth, "Ada", Choice.A, None, "no"),
        # Of two runs with other answers: "no" has one vote of three.
        vote(sixth, "Ada", Choice.A, "maybe", "yes"),
        vote(sixth, "Ben", Choice.A, "maybe", "no"),
        vote(sixth, "Eve", Choice.B, "yes", "no"),
    ]
    found = consensus(votes)
    assert found == {
        first.hash: Consensus("yes", ("Ada", "Ben")),
        third.hash: Consensus(None, ("Ada",)),
        sixth.hash: Consensus("maybe", ("Ada", "Ben")),
    }
    assert set(consensus(votes, at_least=2)) == {first.hash, sixth.hash}
    assert consensus([]) == {}


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_people_prefer_goes_into_the_file_of_corrections(tmp_path):
    path = tmp_path / "review.csv"
    first, second, third, fourth, fifth, sixth = PROMPTS
    path.write_text(
        f"id,text,label,note,hash\n0,prompt 0,mine,by hand,{first.hash}\n1,prompt 1,,,{second.hash}\n"
    )
    found = {
        first.hash: Consensus("yes", ("Ada",)),
        second.hash: Consensus(("x", "y"), ("Ada", "Ben")),
        third.hash: Consensus("same", ("Ada",)),
        fourth.hash: Consensus(None, ("Ada",)),
        fifth.hash: Consensus("=HYPERLINK(1)", ("Ada",)),
        sixth.hash: Consensus(Fields({"n": 1}), ("Ada",)),
        "0" * 32: Consensus("of no prompt of the transfer set", ("Ada",)),
    }
    taught = [(prompt, "same") for prompt in PROMPTS]
    assert record_consensus(path, found, taught, ";") == (2, 2)
    by_id = {row["id"]: row for row in rows_of(path)}
    assert by_id["0"]["label"] == "mine" and by_id["0"]["note"] == "by hand"
    assert by_id["1"]["label"] == "x;y" and by_id["1"]["why"] == "Ada and Ben: another answer is better"
    assert "2" not in by_id
    assert by_id["3"]["label"] == "" and by_id["3"]["teacher"] == "same"
    assert by_id["4"]["label"] == "" and "=HYPERLINK" in by_id["4"]["why"]  # no spreadsheet runs it
    assert by_id["5"]["label"] == '{"n": 1}'
    before = path.read_bytes()
    assert record_consensus(path, {}, taught, ";") == (0, 0)
    assert path.read_bytes() == before
