"""Intervals beside BD-rates: from which pictures, and what is said where there are none."""

import json
import re

import numpy as np
import pytest

from jaxicm.evaluate.bdrate import bd_rate
from jaxicm.evaluate.intervals import Drawing
from jaxicm.evaluate.report import build_report

NAMES = tuple(f"{n}.png" for n in range(12))
RATES = (0.1, 0.2, 0.4, 0.8)
DRAWING = Drawing(200)
BOX = [10.0, 10.0, 40.0, 40.0]


def measured(make_run, stem: str, factor: float, spread: float = 0.1, **changes):
    """Write a run whose pictures have rates and qualities of their own, and means of these."""
    rng = np.random.default_rng(len(stem))
    path = make_run(stem, (RATES, (30.0, 33.0, 36.0, 39.0)), pictures=NAMES, title=stem, **changes)
    content = json.loads(path.read_text())
    difficulty = np.random.default_rng(0).uniform(0.5, 2, len(NAMES))  # the same for all codecs
    for row in content["pictures"]:
        row["bpp"] *= factor * difficulty[NAMES.index(row["picture"])] * rng.uniform(1 - spread, 1 + spread)
        row["ms_ssim"] = 1 - (1 - row["ms_ssim"]) * rng.uniform(0.9, 1.1)
    results = content["results"]
    for n, quality in enumerate(results["quality"]):
        rows = [row for row in content["pictures"] if row["quality"] == quality]
        for key, field in (("bpp", "bpp"), ("ms-ssim-rgb", "ms_ssim")):
            results[key][n] = float(np.mean([row[field] for row in rows]))
    path.write_text(json.dumps(content))
    return path


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def pair(make_run):
    return [measured(make_run, "vvc", 1.0, kind="conventional"), measured(make_run, "ours", 0.8)]


def first_cell(report, read_page, title="ours", caption="Pictures. Anchor"):
    return read_page(report.page).row(title, caption)[1][0]


def numbers(text: str) -> list[float]:
    found = re.search(r"\[(.*?), (.*?)\]", text.replace("−", "-"))  # noqa: RUF001
    assert found is not None, text
    return [float(value) for value in found.groups()]


def by_picture(path) -> np.ndarray:
    """Return rate, PSNR, MS-SSIM and LPIPS of every picture [points, pictures, 4]."""
    content = json.loads(path.read_text())
    rows = {(row["quality"], row["picture"]): row for row in content["pictures"]}
    fields = ("bpp", "psnr_rgb", "ms_ssim", "lpips")
    return np.array([[[rows[q, n][f] for f in fields] for n in NAMES] for q in content["results"]["quality"]])


def test_the_interval_is_that_of_a_bootstrap_by_hand(pair, read_page):
    report = build_report(pair, drawing=Drawing(4000))
    anchor, test = map(by_picture, pair)
    drawn = np.random.default_rng(5).integers(12, size=(1500, 12))
    quality = {
        "psnr-rgb": lambda means: means[:, 1],
        "ms-ssim": lambda means: -10 * np.log10(1 - means[:, 2]),
        "lpips": lambda means: -means[:, 3],
    }
    for key, of_means in quality.items():
        values = []
        for chosen in drawn:
            means = [table[:, chosen].mean(1) for table in (anchor, test)]
            values.append(bd_rate(*(side for m in means for side in (m[:, 0], of_means(m)))).value)
        low, high = np.quantile(values, [0.025, 0.975])
        interval = report.compared["s0"][key].found["c0"].interval
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.1 * (high - low)), key
        assert interval.value == pytest.approx(report.compared["s0"][key].found["c0"].rate.value)
    text = first_cell(report, read_page)
    shown = report.compared["s0"]["psnr-rgb"].found["c0"].interval
    assert numbers(text) == pytest.approx([shown.low, shown.high], abs=0.051)
    page = read_page(report.page).text
    assert "the 95 % interval of the BD-rate over the 2 pictures, by a bootstrap of 4000 selections" in page


def test_the_same_runs_give_the_same_intervals_and_none_are_drawn_unasked(pair):
    assert build_report(pair, drawing=DRAWING).page == build_report(pair, drawing=DRAWING).page
    without = build_report(pair).page
    assert "95 % interval" not in without
    assert 'class="interval"' not in without


def test_pairing_leaves_the_difficulty_of_pictures_out(make_run, read_page):
    runs = [measured(make_run, "vvc", 1.0, 0.0, kind="conventional"), measured(make_run, "ours", 0.8, 0.0)]
    report = build_report(runs, drawing=DRAWING)
    assert numbers(first_cell(report, read_page)) == [-20, -20]  # the rates of pictures differ by a factor of 4


def test_an_interval_that_holds_0_takes_the_colour_away(make_run):
    runs = [measured(make_run, "vvc", 1.0, 0.3, kind="conventional"), measured(make_run, "ours2", 1.0, 0.3)]
    report = build_report(runs, drawing=DRAWING)
    interval = report.compared["s0"]["psnr-rgb"].found["c0"].interval
    assert interval.low < 0 < interval.high
    cells = re.findall(r'<td class="([^"]*)"[^>]*>(?:(?!</td>).)*class="interval">\[([^]]*)\]', report.page)
    for class_, bounds in cells:
        low, high = (float(value.replace("−", "-")) for value in bounds.split(", "))  # noqa: RUF001
        assert ("less" in class_.split(), "more" in class_.split()) == (high < 0, low > 0)
    assert len(cells) == 3


def test_published_curves_have_none_and_that_is_said(make_run, read_page):
    runs = [measured(make_run, name, 1.0, set_name="kodak", kind="conventional") for name in ("vvc", "jpeg")]
    report = build_report(runs, drawing=DRAWING)
    assert "[" not in first_cell(report, read_page, "jpeg")
    text = read_page(report.page).text
    assert "A published curve has no interval: its single pictures are not known" in text
    found = [one for item in report.compared["s0"].values() for one in item.found.values()]
    assert {one.interval_refusal for one in found} == {""}  # one sentence instead of a remark on every figure
    report = build_report(runs, drawing=DRAWING, anchor="vvc")
    assert numbers(first_cell(report, read_page, "jpeg"))
    assert "[" not in first_cell(report, read_page, "VTM (VVC intra)")


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda run: run.update(pictures=[]), "2 or more pictures, got 0"),
        (lambda run: run["pictures"][2].update(psnr_rgb=None), "ours.json has no psnr_rgb of 0.png"),
        (lambda run: run["pictures"].pop(), "not of the same pictures (numbers: 11, 12)"),
        (
            lambda run: [row.update(picture="x.png") for row in run["pictures"] if row["picture"] == "3.png"],
            "12 and 12, of which 2 are in one only, first 3.png",
        ),
        (lambda run: [row.update(bpp=1.2 * row["bpp"]) for row in run["pictures"]], "the single pictures give a BD"),
        (
            lambda run: run.update(pictures=[row for row in run["pictures"] if row["picture"] == "1.png"]),
            "2 or more pictures, got 1",
        ),
    ],
)
def test_run_files_that_do_not_fit_give_a_reason_and_the_rate(pair, edit, reason, read_page):
    change(pair[1], edit)
    report = build_report(pair, drawing=DRAWING)
    comparison = report.compared["s0"]["psnr-rgb"].found["c0"]
    assert comparison.interval is None
    assert reason in comparison.interval_refusal
    assert comparison.rate is not None
    assert reason in read_page(report.page).text
    assert "[" not in first_cell(report, read_page)


# --- tasks: a picture has an object of class 1; at the n-th quality, 3 n + 2 of them are right ----------------------


def write_journal(path, task: str = "tiny", *, features: bool = True) -> None:
    run = json.loads(path.read_text())
    lines = [
        {"format": "jaxicm journal 1", "codec": run["codec"], "fresh": False},
        {"kind": "session", "pictures": list(NAMES), "observers": {task: "9" * 64}},
    ]
    order = np.random.default_rng(len(path.stem)).permutation(len(NAMES))
    for row in run["pictures"]:
        right = order[NAMES.index(row["picture"])] < 0.3 * row["quality"] + 2
        score = 0.5 + 0.01 * NAMES.index(row["picture"])
        seen = {"detections": [{"category_id": 1, "bbox": BOX if right else [0.0, 0.0, 5.0, 5.0], "score": score}]}
        if features:
            level = 20 + row["quality"] / 5 + NAMES.index(row["picture"])
            seen["feature_psnr"] = {"p3": level - 1, "p4": level + 1}
        key = {name: row[name] for name in ("picture", "quality", "scale")}
        lines.append({"kind": "point", **key, "measured": {"bpp": row["bpp"]}, "observations": {task: seen}})
    path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def average_precision(right: list[int]) -> float:
    """Return the AP of one class with an object a picture, from whether each picture, best score first, is right."""
    hits = np.cumsum(right)
    levels = np.linspace(0, 1, 101)
    reached = [[hits[n] / (n + 1) for n in range(len(right)) if hits[n] / len(right) >= level] for level in levels]
    return float(np.mean([max(values, default=0) for values in reached]))


@pytest.fixture
def task_pair(pair, tmp_path):
    pytest.importorskip("faster_coco_eval")
    annotations = tmp_path / "truth.json"
    thing = {"category_id": 1, "bbox": BOX, "area": 1600.0, "iscrowd": 0}
    document = {
        "images": [{"id": n, "file_name": name, "height": 400, "width": 600} for n, name in enumerate(NAMES)],
        "annotations": [thing | {"id": n + 1, "image_id": n} for n in range(len(NAMES))],
        "categories": [{"id": 1, "name": "person"}],
    }
    annotations.write_text(json.dumps(document))
    for path in pair:
        write_journal(path)
        order = np.random.default_rng(len(path.stem)).permutation(len(NAMES))

        def edit(run, order=order):
            scores = []
            for quality, bpp in zip(run["results"]["quality"], run["results"]["bpp"], strict=True):
                ap = average_precision([int(order[n] < 0.3 * quality + 2) for n in reversed(range(len(NAMES)))])
                figures = {"box_ap": ap, "weighted_ap": ap, "feature_psnr": 22.5 + quality / 5}
                scores.append({"quality": quality, "scale": 100, "bpp": bpp, **figures})
            task = {"digest": "9" * 64, "ground_truth": "real", "original": {"box_ap": 1.0}, "points": scores}
            run["tasks"] = {"tiny": task}
            run["command"] = f"jaxicm eval x --annotations '{annotations}' --out x.json"

        change(path, edit)
    return pair


def task_intervals(report) -> dict:
    return {key: item.found["c0"] for key, item in report.compared["s0"].items() if key.startswith("tiny:")}


def test_task_scores_come_from_the_journal(task_pair, read_page):
    report = build_report(task_pair, drawing=Drawing(2000))
    found = task_intervals(report)
    assert set(found) == {"tiny:box_ap", "tiny:weighted_ap", "tiny:feature_psnr"}
    for comparison in found.values():
        assert comparison.interval_refusal == ""
        assert comparison.interval.value == pytest.approx(comparison.rate.value, abs=0.01)
    assert found["tiny:box_ap"].interval == found["tiny:weighted_ap"].interval  # there is one class

    # the bootstrap of the AP by hand
    tables = []
    for path in task_pair:
        right = np.random.default_rng(len(path.stem)).permutation(len(NAMES))
        rights = [[int(right[n] < 3 * point + 2) for n in range(len(NAMES))] for point in range(len(RATES))]
        tables.append((by_picture(path)[..., 0], np.array(rights)))
    values = []
    for chosen in np.random.default_rng(6).integers(12, size=(600, 12)):
        ranked = np.sort(chosen)[::-1]  # later pictures have better scores
        curves = []
        for bpp, rights in tables:
            curves += [bpp[:, chosen].mean(1), [average_precision(list(row[ranked])) for row in rights]]
        values.append(bd_rate(*curves).value)
    low, high = np.quantile(values, [0.025, 0.975])
    interval = found["tiny:box_ap"].interval
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.15 * (high - low))
    assert numbers(read_page(report.page).row("ours", "tiny, real ground truth")[1][0])


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda run, journal, truth: journal.unlink(), "the journal ours.jsonl is not beside the run file"),
        (lambda run, journal, truth: journal.write_text("{}\n"), "no journal of `jaxicm eval`"),
        (lambda run, journal, truth: write_journal(run, "other"), "ours.jsonl has no detections of tiny in 0.png"),
        (lambda run, journal, truth: truth.unlink(), "the annotations are not at hand; name them with --annotations"),
        (lambda run, journal, truth: truth.write_text("{}"), "not the annotations of COCO"),
        (
            lambda run, journal, truth: change(truth, lambda document: document["annotations"].pop()),
            "by truth.json the box AP is",
        ),
        (
            lambda run, journal, truth: change(
                run, lambda content: content["tasks"]["tiny"].update(ground_truth="pseudo")
            ),
            "",
        ),
        (
            lambda run, journal, truth: journal.write_text(journal.read_text().replace('"bbox"', '"box"')),
            "ours.jsonl is damaged (KeyError: 'bbox')",
        ),
    ],
)
def test_what_a_task_lacks_is_said(task_pair, tmp_path, edit, reason, read_page):
    edit(task_pair[1], task_pair[1].with_suffix(".jsonl"), tmp_path / "truth.json")
    report = build_report(task_pair, drawing=DRAWING)
    comparisons = task_intervals(report)
    if not reason:  # another ground truth is another task, which has nothing to be compared with
        assert not any(item.found for key, item in report.compared["s0"].items() if "tiny" in key and "real" in key)
        return
    assert reason in comparisons["tiny:box_ap"].interval_refusal
    assert comparisons["tiny:box_ap"].rate is not None
    assert reason in read_page(report.page).text
    assert report.compared["s0"]["psnr-rgb"].found["c0"].interval is not None


def test_detections_as_ground_truth_are_not_at_hand(task_pair):
    for path in task_pair:
        change(path, lambda content: content["tasks"]["tiny"].update(ground_truth="pseudo"))
    comparisons = task_intervals(build_report(task_pair, drawing=DRAWING))
    assert "detections on the originals, is not kept in the journal" in comparisons["tiny:box_ap"].interval_refusal
    assert comparisons["tiny:feature_psnr"].interval is not None


def test_annotations_can_be_named(task_pair, tmp_path):
    moved, foreign = tmp_path / "moved.json", tmp_path / "foreign.json"
    (tmp_path / "truth.json").rename(moved)
    foreign.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    found = task_intervals(build_report(task_pair, drawing=DRAWING, annotations=[moved, foreign]))
    assert found["tiny:box_ap"].interval is not None
    found = task_intervals(build_report(task_pair, drawing=DRAWING, annotations=[foreign]))
    assert "no entry for 12 of 12 pictures" in found["tiny:box_ap"].interval_refusal


def test_a_command_with_an_open_quotation_mark_names_no_annotations(task_pair):
    for path in task_pair:
        change(path, lambda content: content.update(command="jaxicm eval 'x --annotations y"))
    found = task_intervals(build_report(task_pair, drawing=DRAWING))
    assert "not at hand" in found["tiny:box_ap"].interval_refusal
