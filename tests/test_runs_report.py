"""`report.html`: whole, safe, self-contained, whatever the run was like."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
import torch
from pages import Page

import kerastl
from kerastl.evaluation import intervals, scoring
from kerastl.evaluation import run_record as results
from kerastl.evaluation.run_record import RunResults
from kerastl.evaluation.scores import Evaluation
from kerastl.runs import config_file, report
from kerastl.runs.config import RunConfig
from kerastl.runs.report import charts, contents, page

EVIL = "<script>alert('&')</script>"
HISTORY = [
    {"epoch": 1.0, "loss": 2.0, "accuracy": 0.3, "val_loss": 1.9, "val_accuracy": 0.4}
    | {"learning_rate/features": 0.0, "learning_rate/head": 1e-3},
    {"epoch": 2.0, "loss": 1.0, "accuracy": 0.6, "val_loss": 1.2, "val_accuracy": 0.5}
    | {"learning_rate/features": 0.0, "learning_rate/head": 0.0},
]


def small_network(num_features=8):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, num_features, 3, stride=4),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(num_features, 10),
    )


def made(*, classes=3, per_class=10, names=None, **splits):
    """A model, its data and what a run of it measured; nothing was trained."""
    generator = np.random.default_rng(0)
    labels = np.arange(classes * per_class) % classes
    pixels = generator.integers(0, 256, (len(labels), 32, 32, 3), dtype=np.uint8)
    data = kerastl.load_data(
        (pixels, labels), image_size=32, class_names=names, num_workers=0, **splits
    )
    model = kerastl.ImageClassifier(
        small_network(), data.num_classes, image_size=32, class_names=data.class_names
    )
    measured = RunResults(
        train={"loss": 1.0, "accuracy": 0.6},
        seconds={"fit": 75.0, "total": 80.0},
        images=data.sizes,
        epochs=2,
        strategy="full: as asked.",
        class_names=data.class_names,
        cache="not used: nothing is frozen",
    )
    return model, data, measured


def gathered(model, data, measured, **changes):
    options = {"history": HISTORY, "config": dataclasses.asdict(RunConfig()), **changes}
    return contents.gather(model, data, results=measured, **options)


def checked(found):
    looked_at = Page(page.page(found))
    assert looked_at.faults == []
    return looked_at


@pytest.fixture(scope="module")
def usual():
    return gathered(*made())


def test_a_usual_page_is_whole_and_needs_nothing_beside_it(usual):
    looked_at = checked(usual)
    sections = [tag["id"] for tag in looked_at.all("section")]
    assert sections == [
        "run",
        "blocks",
        "curves",
        "data",
        "classes",
        "calibration",
        "mistakes",
        "time",
    ]
    assert len(looked_at.all("table")) == len(looked_at.all("caption"))
    assert "1 min 15 s" in looked_at.texts
    html = page.page(usual)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert not re.search(r"@import|url\((?!#)", html)


def test_every_accuracy_on_the_page_has_its_interval_and_number_of_images(usual):
    texts = " ".join(checked(usual).texts)
    low, high = intervals.wilson(round(6 * usual.scores.accuracy), 6)
    expected = f"{intervals.shown((100 * low, 100 * high))} %"
    assert f"95 % interval {expected}, 6 images" in texts
    assert f"({expected}) of the 6 images" in texts
    assert "accuracy, 95 % interval" in texts


def test_every_chart_says_in_words_what_it_shows_and_has_the_pages_colours(usual):
    svgs = [tag for tag in checked(usual).all("svg") if tag]
    assert len(svgs) == 4
    assert all(tag["role"] == "img" and len(tag["aria-label"]) > 20 for tag in svgs)
    html = page.page(usual)
    assert "currentColor" in html
    assert not re.search(r"#01020\d", html)


def test_mistakes_come_most_confident_first_and_uncertain_ones_least_first(usual):
    confidences = [each.probability for each in usual.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    assert all(each.true != each.predicted for each in usual.mistakes)
    confidences = [each.probability for each in usual.uncertain]
    assert confidences == sorted(confidences)
    assert confidences[0] == pytest.approx(float(usual.scores.probabilities.max(axis=1).min()))


def test_an_example_is_the_image_that_was_scored():
    model, data, measured = made()
    found = gathered(model, data, measured)
    pictures, _ = zip(*data.in_order("test"), strict=True)
    everything = np.concatenate([np.asarray(batch) for batch in pictures])
    for example in (*found.mistakes, *found.uncertain):
        given = model.predict(example.pixels[None], verbose=0)[0]
        assert given.max() == pytest.approx(example.probability, abs=1e-5)
        assert (everything == example.pixels).all(axis=(1, 2, 3)).sum() == 1


def test_broken_images_that_were_left_out_do_not_shift_the_examples(monkeypatch):
    class WithABrokenOne:
        broken = np.array([False, True, False])

        def __getitem__(self, index):
            return np.full((4, 4, 3), index, "uint8"), 0

        def name(self, index):
            return f"/somewhere/cats/{index}.png"

    monkeypatch.setattr(contents, "_heats", lambda *given: (None, ""))
    scores = Evaluation("ab", np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    images = contents._of_part(WithABrokenOne())
    (example,), _ = contents._examples(None, images, scores, [1])
    assert (example.name, example.predicted, int(example.pixels[0, 0, 0])) == ("cats/2.png", "b", 2)


def test_scores_that_are_known_are_not_computed_again(monkeypatch):
    model, data, measured = made()
    scores = scoring.evaluate(model, data.test, data.class_names)
    monkeypatch.setattr(scoring, "classified", None)
    assert gathered(model, data, measured, test_scores=scores).scores is scores


def test_names_are_shown_and_never_run(usual):
    names = [EVIL, "a" * 300, "ü 中 \u202e\n$x$"]
    model, data, measured = made(names=names)
    html = page.page(gathered(model, data, measured))
    assert checked(gathered(model, data, measured)).texts.count(EVIL) >= 2
    assert "<script" not in html


def test_without_a_test_part_the_validation_part_is_looked_at():
    found = gathered(*made(test_split=0.0))
    assert found.part == "validation"
    assert "validation accuracy" in checked(found).texts


def test_without_either_the_page_says_so():
    found = gathered(*made(test_split=0.0, validation_split=0.0))
    assert (found.part, found.scores, found.mistakes) == (None, None, ())
    assert any("neither test nor validation" in text for text in checked(found).texts)


def test_without_a_mistake_the_page_says_so():
    model, data, measured = made(classes=2)
    labels = data.labels("test")
    scores = Evaluation(data.class_names, labels, np.eye(2, dtype="float32")[labels])
    looked_at = checked(gathered(model, data, measured, test_scores=scores))
    assert "None: every image got its own class." in looked_at.texts


def test_one_probability_is_two_classes():
    model, data, measured = made(classes=2)
    model = kerastl.ImageClassifier(small_network(), 1, image_size=32)
    found = gathered(model, data, measured)
    assert found.scores.probabilities.shape[1] == 2
    checked(found)


@pytest.mark.parametrize("history", [[], HISTORY[:1], [{"epoch": 1.0, "loss": float("nan")}]])
def test_a_short_history_is_drawn_as_far_as_it_goes(history):
    checked(gathered(*made(), history=history))


def test_more_than_thirty_classes_are_a_picture_and_folded_tables():
    looked_at = checked(gathered(*made(classes=120, per_class=5)))
    assert not any("matrix" in table.get("class", "") for table in looked_at.all("table"))
    assert any("120 classes" in tag.get("aria-label", "") for tag in looked_at.all("svg"))
    assert not any("open" in tag for tag in looked_at.all("details"))


def test_thirty_classes_are_a_table_with_headers():
    looked_at = checked(gathered(*made(classes=30)))
    (start,) = (
        number
        for number, (tag, attributes) in enumerate(looked_at.tags)
        if tag == "table" and "matrix" in attributes.get("class", "")
    )
    inside = itertools.takewhile(lambda each: each[0] != "table", looked_at.tags[start + 1 :])
    scopes = [attributes.get("scope") for tag, attributes in inside if tag == "th"]
    assert (scopes.count("row"), scopes.count("col")) == (30, 1 + 30)


def test_the_page_stays_small():
    assert len(page.page(gathered(*made(classes=30, per_class=20)))) < 1_000_000


def test_a_backbone_without_a_feature_map_has_no_grad_cam_and_says_why():
    model, data, measured = made()
    flat = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 32), torch.nn.Flatten(), torch.nn.Linear(8, 10)
    )
    model = kerastl.ImageClassifier(flat, 3, image_size=32, blocks={"all": "0"})
    found = gathered(model, data, measured)
    assert "no Grad-CAM" in found.grad_cam
    assert all(each.heat is None for each in found.uncertain)
    checked(found)


def test_a_grad_cam_that_fails_does_not_stop_the_page(monkeypatch):
    from kerastl.runs.report import grad_cam

    def fail(*args, **kwargs):
        raise RuntimeError("no gradient here")

    monkeypatch.setattr(grad_cam, "class_activation", fail)
    monkeypatch.setattr(grad_cam, "last_feature_map", lambda model: "features")
    found = gathered(*made())
    assert found.grad_cam == "Grad-CAM could not be computed: no gradient here"
    checked(found)


def test_blocks_say_since_when_they_train():
    model, _, _ = made()
    first, last = model.block_names[0], "head"
    history = [
        {"epoch": 1.0, f"learning_rate/{first}": 0.0, f"learning_rate/{last}": 0.01},
        {"epoch": 2.0, f"learning_rate/{first}": 0.002, f"learning_rate/{last}": 0.02},
        {"epoch": 3.0, f"learning_rate/{first}": 0.001, f"learning_rate/{last}": 0.0},
    ]
    rows = {row.name: row for row in contents._blocks(model, history)}
    assert rows[first].trained == "from epoch 2"
    assert rows[first].rates == (0.002, 0.002, 0.001)
    assert rows[last].trained == "trained"
    assert rows[last].rates == (0.01, 0.02, 0.0)
    model.freeze(first)
    rows = {row.name: row for row in contents._blocks(model, [])}
    assert (rows[first].trained, rows[last].trained) == ("frozen", "trained")


def test_a_rate_that_ends_in_zero_is_not_drawn_as_frozen():
    rates = np.array([[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.1, 0.0], [1.0, 0.0, 0.0, 0.0]])
    history = [{"phase": phase} for phase in (1, 1, 1, 2)]
    assert charts._ran_out(rates, history).tolist() == [
        [False, False, True, False],
        [False, False, False, False],
        [False, True, True, False],
    ]


def test_phases_are_set_apart_by_a_thin_line():
    rows = [{"epoch": 1.0 * n, "loss": 1.0 / n, "phase": 1.0 + (n > 2)} for n in range(1, 5)]
    with_phases = charts.metric_chart(rows, "loss", name="a")
    without = charts.metric_chart([{**row, "phase": 1.0} for row in rows], "loss", name="a")
    assert with_phases.count("<path") == without.count("<path") + 1
    assert charts.metric_names(rows) == ["loss"]


def test_scores_of_classes_are_scikit_learns():
    labels = np.array([0, 0, 1, 2])
    predicted = np.eye(4, dtype="float32")[[0, 1, 1, 2]]
    rows = page.class_scores(Evaluation("abcd", labels, predicted))
    assert [(r.precision, r.recall, r.count) for r in rows] == [
        (1, 0.5, 2),
        (0.5, 1, 1),
        (1, 1, 1),
        (0, 0, 0),
        (0.625, 0.625, 4),
    ]
    confusions = page.confusions(Evaluation("abcd", labels, predicted))
    assert confusions == [("a", "b", 1)]


def contrast(one, other):
    """WCAG's ratio of two colours' relative luminances."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_stands_out_from_what_is_behind_it_in_light_and_dark(usual):
    css = page.page(usual)
    schemes = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    assert len(schemes) == 2
    strengths = [float(s) for s in re.findall(r"\.h\d+ \{ background: rgb\(.*?/ ([\d.]+)\)", css)]
    assert len(strengths) == 10
    for scheme in schemes:
        colours = {
            name: np.array([int(value[i : i + 2], 16) for i in (0, 2, 4)]) / 255
            for name, value in re.findall(r"--([\w-]+): #([0-9a-f]{6})", scheme)
        }
        heat = np.array([int(v) for v in re.search(r"--heat: ([\d ]+)", scheme)[1].split()]) / 255
        for text in ("ink", "soft", "first"):
            for behind in ("page", "card"):
                assert contrast(colours[text], colours[behind]) >= 4.5
        assert contrast(colours["second"], colours["page"]) >= 4.5
        for level, strength in enumerate(strengths, 1):
            text = "weak" if level <= 5 else "middle" if level <= 7 else "strong"
            behind = strength * heat + (1 - strength) * colours["page"]
            assert contrast(colours[f"on-{text}"], behind) >= 4.5


@pytest.fixture
def run_folder(tmp_path):
    config = RunConfig(output=str(tmp_path))
    (tmp_path / results.CONFIG_FILE).write_text(config_file.to_toml(config, tmp_path))
    results.save_history(tmp_path, HISTORY)
    return tmp_path


def test_report_and_card_are_written_beside_the_run(run_folder):
    model, data, measured = made()
    report.write_report(run_folder, model, data=data, results=measured)
    Page((run_folder / results.REPORT_FILE).read_text(encoding="utf-8"))
    assert (run_folder / results.CARD_FILE).read_text(encoding="utf-8").startswith("---\n")
    report.write_report(run_folder, model, data=data, results=measured)


def test_a_readme_that_kerastl_did_not_write_stays(run_folder):
    model, data, measured = made()
    (run_folder / results.CARD_FILE).write_text("My own words.")
    report.write_report(run_folder, model, data=data, results=measured)
    assert (run_folder / results.CARD_FILE).read_text() == "My own words."


def test_the_report_of_a_run_that_is_replaced_goes_and_a_readme_of_others_stays(run_folder):
    model, data, measured = made()
    report.write_report(run_folder, model, data=data, results=measured)
    report.remove_report(run_folder)
    assert not [name for name in results.REPORT_FILES if (run_folder / name).exists()]
    (run_folder / results.CARD_FILE).write_text("My own words.")
    report.remove_report(run_folder)
    assert (run_folder / results.CARD_FILE).exists()


def test_a_page_that_cannot_be_made_leaves_the_old_one(run_folder, monkeypatch):
    model, data, measured = made()
    (run_folder / results.REPORT_FILE).write_text("old")

    def fail(contents):
        raise RuntimeError("no page")

    monkeypatch.setattr("kerastl.runs.report.writing.page", fail)
    with pytest.raises(RuntimeError, match="no page"):
        report.write_report(run_folder, model, data=data, results=measured)
    assert (run_folder / results.REPORT_FILE).read_text() == "old"


@pytest.mark.parametrize("highest", [0.0014999998966231942, 0.003, 0.1, 7e-5])
@pytest.mark.parametrize("lowest", [0.0004499999631661922, 1e-6, 3e-3])
def test_rates_of_any_size_are_drawn(highest, lowest):
    rows = [
        {"epoch": 1.0, "learning_rate/stem": 0.0, "learning_rate/head": highest},
        {"epoch": 2.0, "learning_rate/stem": lowest, "learning_rate/head": highest},
    ]
    assert "<svg" in charts.rates_chart(rows, name="rates")
