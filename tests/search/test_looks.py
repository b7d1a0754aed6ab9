"""What stands beside a score whose params a search chose: in eval.json, the report, and a comparison."""

import sys

import pytest
from conftest import ROOT

from heldout.compare import comparison, revisions
from heldout.compare.report import sections
from heldout.core import params
from heldout.evaluation import evaluate
from heldout.evaluation.report import sections as report_sections

sys.path.append(str(ROOT / "tests/compare"))
from revisions_of import commit, repository, table, write

MD5 = "0123456789ab" + 20 * "c"


def test_eval_json_names_the_search_and_nothing_where_there_was_none():
    assert evaluate.search_looks(trials=0, md5="") == {}
    looks = evaluate.search_looks(trials=24, md5=MD5)
    assert looks == {"searched_trials": 24, "search_fingerprint": 0x0123456789AB}
    with pytest.raises(ValueError, match=r"searched.md5 is 'abc'"):
        params.check("searched", {"trials": 1, "md5": "abc"}, params.schema(evaluate.search_looks))


def test_the_report_says_so():
    scores = {"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95, "images": 100}
    assert "search" not in report_sections.how_sure(scores)
    looks = evaluate.search_looks(trials=24, md5=MD5)
    assert report_sections.how_sure(scores | looks).endswith("chosen from 24 trials on val (heldout search).")
    assert len(report_sections.metric_rows(scores | looks)) == 1


def test_compare_says_what_the_search_cost(tmp_path):
    folder = repository(tmp_path / "repository")
    for tag, letters in (("one", "a" * 60), ("two", "aaaaabbbbbccccc" * 4)):
        write(folder, table(letters))
        commit(folder, tag)
    base, head = revisions.read("one", folder), revisions.read("two", folder)
    looks = evaluate.search_looks(trials=24, md5=MD5)
    searched = head._replace(metrics=head.metrics | {"eval": head.metrics["eval"] | looks})
    known = {"search_fingerprint": looks["search_fingerprint"], "epochs": 288.0, "cpu_hours": 0.4123}
    told = searched._replace(metrics=searched.metrics | {"search": known})

    def cost(one: revisions.Revision, other: revisions.Revision) -> str:
        compared = comparison.compare(one, other, root=folder)
        return next(section.text for section in sections.sections(compared) if section.title == "Cost")

    assert "chosen" not in cost(base, head) and "chosen" not in cost(searched, searched)
    assert cost(base, searched).endswith("; HEAD's params were chosen from 24 trials on val")
    assert cost(base, told).endswith("24 trials on val, 288 epochs and 0.41 CPU hours or more")
