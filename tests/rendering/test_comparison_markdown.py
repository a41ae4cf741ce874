import itertools
import re

import markdown_it
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.errors import BadInput
from fastbs.rendering.comparison import render_comparison

NAMES = ["throughput small fp32 synthetic eager", "throughput resnet18 bf16 synthetic compile"]
SIZES = [1, 2, 4, 8, 16, 32, 64]
HOSTILE = [
    "test_x[a|b]",
    "</code></details><script>alert(1)</script><b>",
    "`x` ``y`` **bold** _it_ ~~no~~ \\| \\",
    "[link](javascript:alert(1)) ![i](//x/y.png)",
    "@octocat, #123, me@example.com, https://example.com, www.example.com",
    "two\nlines\r\n\n| a | b |\n|---|---|\n# head\x07\x1b[31m",
    "\u202eright to left\u2066 \u200b\ufeff",
    "<!-- fastbs:compare:default -->",
    "&lt;b&gt; &amp; $x^2$ :tada:",
    "日本語 ü 🚀" * 40,
]


def side(value=100.0, processes=5, status="ok", reason=None):
    return {"status": status, "reason": reason, "value": value, "processes": processes}


def row(verdict="same", change=0.001, half=0.009, **more):
    name, size, metric = more.pop("name", NAMES[0]), more.pop("batch_size", 8), more.pop("metric", "images_per_second")
    found = {
        "key": {"question": "throughput", "batch_size": size},
        "name": name,
        "batch_size": size,
        "metric": metric,
        "base": side(321.4),
        "head": side(321.4 * (1 + (change or 0))),
        "change": change,
        "interval": None if change is None else [change - half, change + half],
        "level": 0.05,
        "p": None if change is None else 0.01,
        "smallest_visible": 0.021,
        "spread_from": "processes",
        "verdict": verdict,
        "worse": None,
        "notes": [],
        "clock_mhz": None,
    }
    return found | more


def unmeasured(verdict, **more):
    sides = {
        "missing": {"base": side(), "head": side(None, 0, None)},
        "new": {"base": side(None, 0, None), "head": side()},
        "failed": {"base": side(), "head": side(None, 0, "oom", "CUDA out of memory")},
        "fixed": {"base": side(None, 0, "oom", "CUDA out of memory"), "head": side()},
        "not ok": {"base": side(None, 0, "failed", "boom"), "head": side(None, 0, "oom", "no memory")},
    }[verdict]
    return row(verdict, None, smallest_visible=None, spread_from=None, **sides) | more


def document(rows, exit_code=0, curves=(), differences=(), fired=(), blind=(), unseen=(), **changed_settings):
    counts = {verdict: sum(r["verdict"] == verdict for r in rows) for verdict in {r["verdict"] for r in rows}}
    plain = {
        "margin": 0.03,
        "points_margin": 0.005,
        "alpha": 0.05,
        "noise": 0.05,
        "calibration": None,
        "allow": [],
        "metrics": None,
    }
    return {
        "schema": 1,
        "kind": "comparison",
        "base": {"files": ["base.json"], "commit": "16fa976a0b1c2d3e4f5061728394a5b6c7d8e9f0", "dirty": False},
        "head": {"files": ["head.json"], "commit": "009867d5e4f5061728394a5b6c7d8e9f0a1b2c3d", "dirty": True},
        "settings": plain | changed_settings,
        "differences": list(differences),
        "rows": rows,
        "curves": list(curves),
        "counts": counts,
        "sessions": None,
        "gate": {
            "rules": {"version": 1},
            "fired": list(fired),
            "blind": list(blind),
            "unseen": list(unseen),
            "exit_code": exit_code,
        },
    }


def curve(**more):
    return {
        "key": {"question": "throughput"},
        "name": NAMES[0],
        "metric": "images_per_second",
        "batch_sizes": SIZES,
        "base": [100.0, 190.0, 350.0, 600.0, 800.0, 950.0, 1000.0],
        "head": [100.0, 190.0, 345.0, 560.0, 790.0, 945.0, 990.0],
        "change": -0.021,
        "interval": [-0.03, -0.012],
        "verdict": "slower",
        "smallest_visible": 0.011,
        "worst": {"batch_size": 8, "change": -0.061, "interval": [-0.07, -0.052]},
        "knee": [9.5, 12.0],
        "within_5_percent": [32, 32],
        "largest_ok": [64, 64],
        "smallest_oom": [None, None],
    } | more


def difference(name="driver", base="570.1", head="580.2", tier="flag", allowed=False):
    return {"tier": tier, "name": name, "base": base, "head": head, "allowed": allowed}


def fired(**more):
    return {
        "rule": "images_per_second worse than 3 %",
        "row": NAMES[0],
        "batch_size": 8,
        "why": "-6.1 % [-7.0, -5.2]",
    } | more


def seen(metric, change, rows=7, of=7):
    return {"rule": f"{metric} worse than 0 %", "metric": metric, "change": change, "rows": rows, "of": of}


def typical():
    """14 rows on 2 curves: 2 slower, 1 cannot tell, the rest the same."""
    found = [row(name=name, batch_size=size) for name in NAMES for size in SIZES]
    found[3] |= row("slower", -0.061, base=side(321.4), head=side(301.8), worse=True)
    found[9] |= {k: v for k, v in row("slower", -0.044, 0.012).items() if k not in ("name", "batch_size", "key")}
    found[10] |= {"verdict": "cannot tell", "change": -0.03, "interval": [-0.15, 0.11], "smallest_visible": 0.16}
    found[3]["notes"] = ["throttled 12 % of the time in HEAD"]
    curves = [curve(), curve(name=NAMES[1], verdict="same", change=-0.004, interval=[-0.01, 0.002], knee=[4.0, 4.0])]
    return document(found, 1, curves, fired=[fired()])


def largest(number=5000):
    verdicts = [row("slower", -0.05 - k / 1e5, name=f"tests/test_{k}.py::test", batch_size=None) for k in range(number)]
    rest = [row(name=f"tests/test_{k}.py::other", batch_size=k) for k in range(number)]
    unclear = [row("cannot tell", name=f"tests/test_{k}.py::third", batch_size=k) for k in range(100)]
    gate = [fired(row=r["name"], batch_size=None) for r in verdicts]
    curves = [curve(name=f"curve {k}") for k in range(50)]
    differences = [difference(f"workload.{k}") for k in range(30)]
    return document(verdicts + rest + unclear, 1, curves, differences, gate, gate)


def hostile(names=HOSTILE):
    rows = []
    for name in names:
        rows += [
            row(verdict, -0.06, name=name, notes=[name]) for verdict in ("slower", "faster", "same", "cannot tell")
        ]
        rows.append(unmeasured("failed", name=name) | {"head": side(None, 0, "failed", name)})
    curves = [curve(name=name) for name in names]
    differences = [difference(name, name, name, tier) for name in names for tier in ("block", "flag", "note")]
    gate = [fired(row=name, rule=name, why=name) for name in names]
    found = document(rows, 1, curves, differences, gate, gate, calibration=names[0])
    found["base"] |= {"files": names, "commit": names[0]}
    return found


def markdown(found, key="default"):
    return render_comparison(found, "markdown", key)


def first_sentence(found):
    plain = re.sub(r"[*]{2}|</?code>|<wbr>|<br>$|^> ", "", markdown(found).splitlines()[3])
    return plain.replace("\u00a0", " ")


@pytest.fixture(scope="module")
def github():
    """Markdown with GitHub's tables, and HTML let through."""
    return markdown_it.MarkdownIt("js-default", {"html": True, "linkify": False})


def tables(tokens):
    """Cells of each table, by row."""
    found = []
    for token, after in zip(tokens, tokens[1:], strict=False):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open"):
            found[-1][-1].append(after.content)
    return found


def test_the_alert_line_of_the_typical_comment():
    assert first_sentence(typical()) == (
        "2 of 14 slower, worst −6.1 % [−7.0, −5.2] at B=8; 1 cannot tell; same machine; 5 processes"
    )


@pytest.mark.parametrize(
    ("rows", "more", "sentence"),
    [
        ([row()], {}, "The same, within 3 %; same machine; 5 processes"),
        ([row(), row()], {}, "All 2 the same, within 3 %; same machine; 5 processes"),
        ([row(), row("cannot tell")], {}, "1 of 2 the same, within 3 %; 1 cannot tell; same machine; 5 processes"),
        ([row("cannot tell"), row("cannot tell")], {}, "All 2 cannot tell; same machine; 5 processes"),
        ([row("faster", 0.08), row()], {}, "1 of 2 faster, +8.0 % [+7.1, +8.9] at B=8; same machine; 5 processes"),
        (
            [row("slower", -0.2, 0.11, batch_size=None, name="tests/a.py::b"), row()],
            {},
            "1 of 2 slower, −20 % [−31, −9] in tests/a.py::b; same machine; 5 processes",
        ),
        (
            [row("worse", -0.013, 0.004, metric="top1"), row("more", 0.5, 0.11, metric="memory_bytes")],
            {"differences": [difference(), difference("cpu", None, "EPYC", "note")]},
            "1 of 2 with more memory, +50 % [+39, +61] at B=8; 1 with worse top1, −1.3 points [−1.7, −0.9] at B=8; "
            "driver differs; 5 processes",
        ),
        (
            [row("slower", -0.06), unmeasured("missing"), unmeasured("failed"), unmeasured("new")],
            {"differences": [difference("cpu", None, "EPYC", "note")]},
            "1 of 4 slower, −6.0 % [−6.9, −5.1] at B=8; 1 failed; 1 missing in HEAD; 1 new in HEAD; "
            "same machine as far as it was recorded; 5 processes",
        ),
        ([row(spread_from="pairs")], {}, "The same, within 3 %; same machine; 5 pairs"),
        ([row(head=side(processes=3))], {}, "The same, within 3 %; same machine; 3 to 5 processes"),
        ([row(base=side(processes=1), head=side(processes=1))], {}, "The same, within 3 %; same machine; 1 process"),
        (
            [row("faster", 0.8, 0.11)],
            {"exit_code": 3, "differences": [difference("gpu", "A100", "H200", "block")]},
            "Not comparable: gpu A100 → H200; 1 faster, +80 % [+69, +91] at B=8; gpu differs; 5 processes",
        ),
        (
            [unmeasured("missing"), unmeasured("new")],
            {"exit_code": 5},
            "Nothing matched: no row of BASE is in HEAD; 1 of 2 missing in HEAD; 1 new in HEAD; same machine",
        ),
    ],
)
def test_the_alert_line(rows, more, sentence):
    assert first_sentence(document(rows, **more)) == sentence


@pytest.mark.parametrize(
    ("rows", "exit_code", "kind"),
    [
        ([row()], 0, "TIP"),
        ([row(), row("faster", 0.1), unmeasured("new"), unmeasured("fixed")], 0, "TIP"),
        ([row(), row("cannot tell")], 0, "NOTE"),
        ([row()], 4, "NOTE"),
        ([row("cannot tell"), row("slower", -0.1)], 0, "WARNING"),
        ([row("more", 0.1, metric="memory_bytes")], 0, "WARNING"),
        ([unmeasured("missing")], 0, "WARNING"),
        ([unmeasured("failed")], 0, "WARNING"),
        ([row()], 1, "WARNING"),
        ([row("slower", -0.1)], 3, "CAUTION"),
        ([unmeasured("missing")], 5, "CAUTION"),
    ],
)
def test_the_kind_of_the_alert_says_whether_to_worry(rows, exit_code, kind):
    assert markdown(document(rows, exit_code)).splitlines()[2] == f"> [!{kind}]"


def test_what_changed_stands_in_one_table_worse_first_by_size(github):
    verdicts = ["new", "failed", "missing", "fixed", "not ok"]
    rows = [row("faster", 0.05), row("faster", 0.5), *map(unmeasured, verdicts), row("slower", -0.05), row()]
    rows += [row("slower", -0.5), row("cannot tell")]
    header, *body = tables(github.parse(markdown(document(rows, 1))))[0]
    assert header == ["B", "change", "verdict", "base → head", "processes", "notes"]
    assert [cells[2].strip("*") for cells in body] == (
        ["slower", "slower", "failed", "missing", "new", "fixed", "not ok", "faster", "faster"]
    )
    assert [cells[1][:3] for cells in body] == ["−50", "−5.", "", "", "", "", "", "+50", "+5."]
    assert (
        body[2][3] == "100\u00a0images/s → <code>oom</code>" and body[2][5] == "HEAD: <code>CUDA out of memory</code>"
    )


def test_the_open_table_has_at_most_twenty_rows_and_the_rest_is_folded(github):
    text = markdown(document([row("slower", -0.1 - k / 100) for k in range(33)], 1))
    assert [len(body) - 1 for body in tables(github.parse(text))] == [20, 13]
    assert "<summary>13 more rows that changed</summary>" in text


def test_what_is_the_same_or_cannot_be_told_is_folded():
    text = markdown(typical())
    outside = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "cannot tell below 16\u00a0%" in text and "cannot tell below" not in outside
    assert "<summary>11 the same</summary>" in text and "| same |" not in outside


def test_the_gate_says_which_rules_fired_and_where_it_was_blind():
    text = markdown(document([row("slower", -0.06)], 1, fired=[fired()] * 7, blind=[fired(why="sees 12 % at best")]))
    head, rest = text.split("| B |", 1)
    assert "Gate failed: 7 rules fired; it was blind in 1 row" in head and head.count("• images") == 5
    assert "and 2 more" in head and "<summary>2 more rules that fired</summary>" in rest
    assert "<summary>1 in which the gate is blind</summary>" in rest and "sees 12\u00a0% at best" in rest
    assert "Gate passed" in markdown(document([row()]))


def test_what_bars_the_comparison_stands_first_among_the_differences(github):
    found = [difference(), difference("gpu", "A100", "H200", "block"), difference("cpu", "A", None, "note")]
    found.append(difference("mig", "on", "off", "block", allowed=True))
    text = markdown(document([row()], 3, differences=found))
    assert "<summary>Environment: 4 differences: gpu, driver, cpu, mig</summary>" in text
    body = tables(github.parse(text))[-1][1:]
    assert [cells[2] for cells in body] == [
        "not comparable",
        "could explain small changes",
        "known on one side only",
        "allowed",
    ]
    assert body[2][1] == "<code>A</code> → not known"


def test_how_it_was_decided_is_said():
    said = markdown(typical()).splitlines()[-1]
    assert "95\u00a0% for all 14 tested rows together (Holm), from spread between processes" in said
    assert "<code>16fa976a0b1c</code> → HEAD" in said and "(dirty)" in said and "exit code 1" in said
    assumed = markdown(document([row(spread_from="assumed")])).splitlines()[-1]
    assert "not tested: rows whose noise between processes nothing tells; calibrate" in assumed
    assert "Intervals" not in assumed and "together" not in assumed
    with_curves = typical()
    with_curves["curves"] = [curve(p=0.5), curve(p=0.1)]
    assert "for all 14 tested rows and 2 curves together (Holm)" in markdown(with_curves).splitlines()[-1]


@pytest.mark.parametrize(
    ("unseen", "first"),
    [
        ([seen("top1", 0.0961)], "blind: a fall of 9.6 points in top1 would have passed"),
        ([seen("top1", 0.1, rows=3)], "blind: a fall of 10 points in top1 (3 of 7 rows) would have passed"),
        (
            [seen("seconds", None), seen("images_per_second", 0.16)],
            "blind: any rise in seconds and a fall of 16 % in images_per_second would have passed",
        ),
        (
            [seen("seconds", None, rows=0, of=0)],
            "blind: any rise in seconds (it looks where nothing was measured) would have passed",
        ),
    ],
)
def test_a_gate_that_could_not_see_says_so_first_and_did_not_pass(unseen, first):
    found = document([row("cannot tell")], unseen=unseen, blind=[fired()])
    text = render_comparison(found, "table")
    assert text.splitlines()[0] == first and "Gate: nothing fired; it was blind in 1 row" in text
    assert "passed" not in text.removeprefix(first)
    assert first_sentence(found) == first and markdown(found).splitlines()[2] == "> [!NOTE]"
    failed = document([row("slower", -0.1)], 1, unseen=unseen)
    assert "blind:" not in render_comparison(failed, "table").splitlines()[0]


def test_the_luck_of_sessions_is_said_where_it_is_not_measured():
    def said(sessions, **settings):
        found = document([row()], **settings) | {"sessions": sessions}
        return render_comparison(found, "table").replace("\n   ", " ")

    one = {"base": 1, "head": 1, "shared": 1, "calibrated": False}
    assert "both sides are of one session; another may differ by more (fastbs calibrate --sessions)" in said(one)
    assert "times: 5 % between two sessions assumed (--noise); fastbs calibrate" in said(one | {"shared": 0})
    assert "session" not in said(one | {"shared": 0, "calibrated": True}, calibration="noise.json")
    assert "assumed" not in said({"base": 3, "head": 3, "shared": 0, "calibrated": False})
    assert "calibrated noise (<code>noise.json</code>)" in markdown(
        document([row(spread_from="calibration")], calibration="noise.json")
    )


def test_the_first_line_is_the_mark_of_the_comment():
    assert markdown(typical(), "h200.nightly-2").splitlines()[0] == "<!-- fastbs:compare:h200.nightly-2 -->"


@pytest.mark.parametrize("key", ["", "a b", "a--b", "-->", "a\n", "é", "x" * 101])
def test_a_key_that_could_end_the_mark_is_refused(key):
    with pytest.raises(BadInput, match="^--key: "):
        markdown(typical(), key)


# ---------------------------------------------------------------- names from outside


def shown(tokens):
    """The text that a reader sees: tags dropped, entities read."""
    inline = itertools.chain.from_iterable(token.children or [] for token in tokens)
    return "".join(token.content for token in inline if token.type in ("text", "text_special"))


def tags(tokens):
    """The names of all tags in the page, those of Markdown and those let through."""
    found = {token.tag for token in tokens} | {child.tag for token in tokens for child in token.children or []}
    pieces = [token.content for token in tokens if token.type == "html_block"]
    pieces += [c.content for token in tokens for c in token.children or [] if c.type == "html_inline"]
    return found | set(re.findall(r"</?([a-zA-Z!-]+)", " ".join(pieces)))


def check_harmless(github, found):
    """The page has no tag, no link, no table and no cell more than with a plain name; nothing GitHub would act on."""
    text = markdown(found)
    tokens = github.parse(text)
    plain = {
        "",
        "blockquote",
        "p",
        "br",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "wbr",
        "ul",
        "li",
    }
    assert tags(tokens) <= plain | {"details", "summary", "sub", "!--"}
    for is_table, lines in itertools.groupby(text.splitlines(), lambda line: line.startswith("|")):
        assert not is_table or len({line.count("|") for line in lines}) == 1
    assert text.count("<!--") == 1 and text.count("<details>") == text.count("</details>")
    seen = shown(tokens)
    assert not re.search(r"(^|\W)@[A-Za-z0-9]|#\d|[^\W]@[A-Za-z0-9]", seen)
    assert not re.search(r"https?://|www\.", re.sub(r"<!--.*?-->", "", text), re.IGNORECASE)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]", text)
    return seen


def test_hostile_names_break_nothing(github):
    seen = check_harmless(github, hostile())
    assert (
        "test_x[a|b]" in seen
        and "<script>alert(1)</script>" in seen
        and "`x` ``y`` **bold** _it_ ~~no~~ \\| \\" in seen
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_breaks_nothing_where_all_rows_have_it(name, github):
    check_harmless(github, hostile([name]))


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.one_of(st.sampled_from("|`*_[]()<>&\\~#@!$:/.-+=\"'{} \n\t1aw"), st.characters()), max_size=40)
)
def test_no_name_breaks_anything(name):
    check_harmless(markdown_it.MarkdownIt("js-default", {"html": True, "linkify": False}), hostile([name]))


# ---------------------------------------------------------------- GitHub's limit


def size(text):
    return len(text.encode("utf-16-le")) // 2


def test_the_largest_comment_leaves_out_whole_folds_and_says_which(github):
    text = markdown(largest())
    assert 20_000 < size(text) <= 60_000
    assert (
        "Left out, to stay within 60,000 characters: 5,000 in which the gate is blind; 4,995 more rules that fired"
        in text
    )
    assert "<summary>100 cannot tell</summary>" in text and text.splitlines()[-1].startswith("<sub>Intervals")
    assert len(tables(github.parse(text))[0]) == 21


def test_nothing_is_left_out_of_what_fits():
    assert "Left out" not in markdown(typical())


def test_then_rows_of_the_open_table_are_left_out_from_its_end(github):
    wide = "<" * 200
    rows = [row("slower", -0.1 - k / 100, name=f"{k}{wide}", notes=[wide] * 9) for k in range(20)]
    text = markdown(document(rows, 1))
    number = len(tables(github.parse(text))[0]) - 1
    assert 0 < number < 20 and size(text) <= 60_000
    assert f"{20 - number} more rows that changed. `--format csv` has every row." in text


@pytest.mark.parametrize("letter", ["a", "é", "語", "🚀", "<", "@"])
def test_the_limit_holds_in_every_script(letter, github):
    names = [f"{k}{letter * 300}" for k in range(40)]
    found = hostile(names)
    found["rows"] = [r | {"notes": r["notes"] * 6} for r in found["rows"]]
    assert size(markdown(found)) <= 60_000
    check_harmless(github, found)
