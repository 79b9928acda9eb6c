"""Tar shards in the form of webdataset, read by number."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_shards import picture_of_many_kinds, pixels, png, sample, write_shard, write_shards

from kerastl.data import copies, load_data, parse_data_spec, scanning, split_file
from kerastl.data import shard_index as index_module
from kerastl.data.digests import bytes_digest
from kerastl.data.resizing import ImageSettings
from kerastl.data.shard_index import Wanted, index_of
from kerastl.data.shard_patterns import expanded
from kerastl.data.wds_source import read_source
from kerastl.errors import BrokenImagesError, DataWarning, UnknownNameError

WHOLE = ImageSettings(image_size=8)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KERASTL_CACHE", str(folder))
    return folder


def read(spec: str) -> Any:
    return read_source(parse_data_spec(spec))


def train(spec: str) -> Any:
    return read(spec).parts["train"]


def test_samples_have_their_pixels_and_labels_in_any_order(tmp_path: Path) -> None:
    source = read(f"wds:{write_shards(tmp_path, shards=3, each=4)}")
    items = source.parts["train"]
    assert source.class_names == ("cat", "dog")
    assert items.labels.tolist() == [0, 1] * 6
    for number in (11, 0, 7, 4, 3):
        np.testing.assert_array_equal(np.asarray(items.image(number, WHOLE)), pixels(number))
    assert items.key(5) == "train-001.tar/000005"
    assert items.name(5) == f"{tmp_path}/train-001.tar/000005.png"


def test_shards_are_as_the_files_that_they_were_made_of(tmp_path: Path) -> None:
    """Whatever an image needs: EXIF orientation, 16 and 12 bits, transparency, a palette."""
    samples = []
    for number in range(20):
        ending, content = picture_of_many_kinds(number)
        label = ("a", "b", "c")[number % 3]
        samples.append((f"{number:02d}", {ending: content, "cls": label.encode()}))
        folder = tmp_path / "files" / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02d}.{ending}").write_bytes(content)
    write_shard(tmp_path / "a.tar", samples)
    options: Any = {"image_size": 12, "num_workers": 0, "validation_split": 0, "test_split": 0}
    shards = load_data(f"wds:{tmp_path}/a.tar", **options)
    files = load_data(f"folder:{tmp_path}/files", **options)
    assert shards.class_names == files.class_names
    assert shards.dataset("train").white == files.dataset("train").white == 4095
    found = {Path(shards.dataset("train").name(n)).name: n for n in range(20)}
    for number in range(20):
        image, label = files.dataset("train")[number]  # type: ignore[misc]
        other = shards.dataset("train")[found[Path(files.dataset("train").name(number)).name]]
        np.testing.assert_array_equal(image, other[0])  # type: ignore[index]
        assert label == other[1]  # type: ignore[index]
    digests = {row.digest for row in files.split_rows()}
    assert digests == {row.digest for row in shards.split_rows()} - {""}


def test_parts_are_drawn_by_key_or_are_those_of_the_patterns(tmp_path: Path) -> None:
    pattern = write_shards(tmp_path, shards=3, each=10)
    drawn = load_data(f"wds:{pattern}", image_size=8, num_workers=0)
    assert drawn.sizes == {"train": 18, "validation": 6, "test": 6}
    given = load_data(
        f"wds:{tmp_path}/train-000.tar?validation=train-001.tar&test=train-*2.tar",
        image_size=8,
        num_workers=0,
    )
    assert given.sizes == {"train": 10, "validation": 10, "test": 10}
    assert given.understanding.origins["test"] == "from train-*2.tar"
    assert given.names("test")[0].endswith("train-002.tar/000020.png")


def test_more_shards_move_no_image_to_another_part_but_at_the_borders(tmp_path: Path) -> None:
    def parts(pattern: str) -> dict[str, str]:
        data = load_data(f"wds:{pattern}", image_size=8, num_workers=0)
        return {row.path: row.part for row in data.split_rows()}

    before = parts(write_shards(tmp_path, shards=4, each=20))
    after = parts(write_shards(tmp_path, shards=5, each=20))
    assert sum(after[path] != part for path, part in before.items()) <= 8


def test_worker_processes_read_the_same(tmp_path: Path) -> None:
    pattern = write_shards(tmp_path, shards=2, each=6)
    images = [
        np.concatenate(
            [
                batch.numpy()
                for batch, _ in load_data(
                    f"wds:{pattern}", image_size=8, num_workers=workers, batch_size=4, test_split=0
                ).train
            ]
        )
        for workers in (0, 2)
    ]
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize(
    ("option", "members"),
    [
        ("", {"cls": b"%d\n"}),
        ("?label=txt", {"txt": b" %d ", "cls": b"1%d"}),
        ("?label=json:kind", {"json": b'{"kind": %d}'}),
        ("?label=json:about.kind", {"json": b'{"about": {"kind": "%d"}}'}),
    ],
)
def test_the_class_is_where_the_spec_says(
    tmp_path: Path, option: str, members: dict[str, bytes]
) -> None:
    classes = (10, 9, 10, 2)
    write_shard(
        tmp_path / "a.tar",
        (
            (str(number), {"png": png(number)} | {k: v % label for k, v in members.items()})
            for number, label in enumerate(classes)
        ),
    )
    source = read(f"wds:{tmp_path}/a.tar{option}")
    assert source.class_names == ("2", "9", "10")
    assert source.parts["train"].labels.tolist() == [2, 1, 2, 0]


def test_one_of_several_images_is_named(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "a.tar",
        (
            (str(number), {"png": png(number), "jpg": png(number + 9), "cls": b"%d" % number})
            for number in range(2)
        ),
    )
    with pytest.raises(ValueError, match=r"'0' with png, jpg\. Name its ending: \?image=png"):
        read(f"wds:{tmp_path}/a.tar")
    image = train(f"wds:{tmp_path}/a.tar?image=jpg").image(1, WHOLE)
    np.testing.assert_array_equal(np.asarray(image), pixels(10))


def test_samples_without_an_image_are_left_out_and_said(tmp_path: Path) -> None:
    samples = [sample(number, "ab"[number % 2]) for number in range(4)]
    write_shard(tmp_path / "a.tar", [*samples, ("note", {"cls": b"a", "txt": b"x"})])
    source = read(f"wds:{tmp_path}/a.tar")
    assert len(source.parts["train"].labels) == 4
    assert str(source.understanding.left_out[0]) == "sample without an image: 1 (a.tar/note)"


def test_names_are_taken_apart_as_webdataset_does(tmp_path: Path) -> None:
    """A key ends at the first dot of the name, whatever dots its folder has."""
    names = ["./v1.2/a.PNG", "./v1.2/a.cls", "v1.2/b.x.png", "v1.2/b.png", "v1.2/b.cls"]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in names:
            content = name[-5:].encode() if name.endswith("cls") else png(1)
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    items = train(f"wds:{tmp_path}/a.tar")
    assert [items.key(number) for number in (0, 1)] == ["a.tar/v1.2/a", "a.tar/v1.2/b"]


@pytest.mark.parametrize(
    ("samples", "spec", "message"),
    [
        ([("0", {"png": b"x", "txt": b"a"})], "a.tar", "none under 'cls'"),
        ([("0", {"png": b"x", "json": b"{}"})], "a.tar?label=json:a", "none under 'json:a'"),
        ([("0", {"png": b"x", "json": b"{"})], "a.tar?label=json:a", "must be JSON"),
        ([("0", {"png": b"x", "json": b'{"a": [1]}'})], "a.tar?label=json:a", "a whole number"),
        ([("0", {"txt": b"x", "cls": b"a"})], "a.tar", "must hold images"),
        ([("0", {"png": b"x", "cls": b"\xff"})], "a.tar", "must be text in UTF-8"),
        ([("0", {"png": b"x", "cls": b"a"})], "a.tar", "one class only, 'a'"),
        (
            [sample(0, "a"), sample(1, "b"), ("2", {"png": b"x"})],
            "a.tar",
            "none for 1 of 3 in the train part",
        ),
        ([("0", {"png": b"x"}), ("0", {"png": b"x"})], "a.tar", "'0.png' twice"),
    ],
)
def test_samples_of_another_form_are_one_sentence(
    tmp_path: Path, samples: Any, spec: str, message: str
) -> None:
    write_shard(tmp_path / "a.tar", samples)
    with pytest.raises(ValueError, match=message):
        read(f"wds:{tmp_path}/{spec}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("train-{000..002}.tar", r"no file '.*train-002\.tar'\. Mend the pattern"),
        ("other-*.tar", "no file of such a name"),
        ("train-000.tar?test=train-{000,001}.tar", r"train-000\.tar for train and test"),
    ],
)
def test_patterns_must_name_shards_of_their_own(tmp_path: Path, spec: str, message: str) -> None:
    write_shards(tmp_path, shards=2, each=2)
    with pytest.raises(ValueError, match=message):
        read(f"wds:{tmp_path}/{spec}")


@pytest.mark.parametrize("pattern", ["https://x.org/a-{0..1}.tar", "pipe:cat a.tar", "s3://b/a"])
def test_shards_elsewhere_are_refused_with_what_to_do(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"must be files of this machine.*mount the storage"):
        read(f"wds:{pattern}")


def test_an_option_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'labels'. Did you mean 'label'"):
        read(f"wds:{write_shards(tmp_path, shards=1, each=2)}?labels=txt")


def test_another_part_has_no_class_of_its_own(tmp_path: Path) -> None:
    pattern = write_shards(tmp_path, shards=1, each=4)
    write_shard(tmp_path / "test.tar", [sample(0, "cat"), sample(1, "cow")])
    with pytest.raises(ValueError, match=r"test part .* must have the classes.*'cow' besides"):
        read(f"wds:{pattern}?test=test.tar")
    write_shard(tmp_path / "test.tar", [sample(0, "cat")])
    (warning,) = read(f"wds:{pattern}?test=test.tar").understanding.warnings
    assert "test part has no image of 'dog'" in warning


@pytest.mark.parametrize("keep", [700, 1024, 1536])
def test_a_shard_that_was_cut_off_is_told(tmp_path: Path, keep: int) -> None:
    shard = write_shard(tmp_path / "a.tar", [sample(n, "ab"[n % 2]) for n in range(4)])
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"one whole tar file.*damaged, cut off, or several"):
        train(f"wds:{shard}")


def test_a_shard_that_was_cut_between_members_is_warned_of(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", [sample(n, "ab"[n % 2]) for n in range(9)])
    with tarfile.open(shard) as tar:
        end = tar.getmember("000008.png").offset
    shard.write_bytes(shard.read_bytes()[:end])
    with pytest.warns(DataWarning, match=r"without the mark of an end.*a\.tar"):
        load_data(f"wds:{shard}", image_size=8, num_workers=0, test_split=0)


def test_two_shards_in_one_file_are_told(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", [sample(0, "a"), sample(1, "b")])
    shard.write_bytes(shard.read_bytes() * 2)
    with pytest.raises(ValueError, match="several in one"):
        train(f"wds:{shard}")


def test_a_compressed_shard_says_how_to_unpack_it(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", [sample(0, "a"), sample(1, "b")])
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(ValueError, match=r"not compressed.*gunzip"):
        train(f"wds:{tmp_path}/a.tar.gz")


def test_broken_samples_are_listed_or_left_out(tmp_path: Path) -> None:
    samples = [sample(number, "ab"[number % 2]) for number in range(10)]
    samples[4] = ("000004", {"png": png(4)[:60], "cls": b"a"})
    write_shard(tmp_path / "a.tar", samples)
    options: Any = {"image_size": 8, "num_workers": 0}
    with pytest.raises(BrokenImagesError, match=r"1 of 10 images[^\0]*a\.tar/000004\.png"):
        load_data(f"wds:{tmp_path}/a.tar", **options)
    data = load_data(f"wds:{tmp_path}/a.tar", skip_broken=True, **options)
    assert sum(data.sizes.values()) == 9
    assert [image.path.name for image in data.skipped] == ["000004.png"]


def test_copies_stay_together_and_groups_go_by_key(tmp_path: Path) -> None:
    samples = [
        (f"p{number // 4}_{number}", {"png": png(number % 20), "cls": b"%d" % (number % 2)})
        for number in range(40)
    ]
    write_shard(tmp_path / "a.tar", samples)
    data = load_data(f"wds:{tmp_path}/a.tar", image_size=8, num_workers=0, group_by=r"p(\d+)_")
    parts: dict[str, set[str]] = {}
    for row in data.split_rows():
        parts.setdefault(row.path.split("/")[1].split("_")[0], set()).add(row.part)
        parts.setdefault(row.digest, set()).add(row.part)
    assert all(len(found) == 1 for found in parts.values())


def test_the_index_is_kept_and_made_anew_for_another_shard(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = write_shard(tmp_path / "a.tar", [sample(0, "a"), sample(1, "b")])
    first = index_of(shard, Wanted())
    (kept,) = (cache / "shards").iterdir()

    def none(*given: Any) -> None:
        raise AssertionError("the shard was looked through again")

    with monkeypatch.context() as patch:
        patch.setattr(index_module, "_built", none)
        again = index_of(shard, Wanted())
        assert [again.key(n) for n in range(2)] == [first.key(n) for n in range(2)]
        assert again.offsets.tolist() == first.offsets.tolist()
        with pytest.raises(AssertionError):
            index_of(shard, Wanted(label="txt"))
    write_shard(shard, [sample(number, "ab"[number % 2]) for number in range(3)])
    assert len(index_of(shard, Wanted())) == 3
    for damage in (b"", b"no index", kept.read_bytes()[:-30]):
        kept.write_bytes(damage)
        assert len(index_of(shard, Wanted())) == 3


def test_a_cache_folder_that_cannot_be_written_to_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERASTL_CACHE", str(tmp_path / "file"))
    assert len(train(f"wds:{write_shards(tmp_path, shards=1, each=4)}").labels) == 4


def test_a_shard_that_changes_while_it_is_used_is_an_error(tmp_path: Path) -> None:
    pattern = write_shards(tmp_path, shards=1, each=4)
    items = train(f"wds:{pattern}")
    before = items.fingerprint(np.arange(4))
    assert items.fingerprint(np.arange(4)) == before != items.fingerprint(np.arange(3))
    write_shards(tmp_path, shards=1, each=5)
    assert items.fingerprint(np.arange(4)) != before
    with pytest.raises(OSError, match="changed since the run began"):
        items.image(0, WHOLE)


def test_config_of_a_run_names_the_shards_from_its_folder(tmp_path: Path) -> None:
    from kerastl.data import spec_paths

    spec = "wds:data/set-{a,b}/train-{00..09}.tar?label=json:kind&test=../test-*.tar"
    there = spec_paths.relative_to(spec, Path("runs/first"))
    assert there == spec.replace("data/", "../../data/", 1)
    assert spec_paths.resolved(there, Path("runs/first")) == spec
    assert spec_paths.path_of(spec) == Path("data")
    assert spec_paths.published(spec) == spec.replace("data/set-{a,b}/", "", 1)


_PEAK = """
import json, re, sys
from kerastl.data import load_data
data = load_data(sys.argv[1], image_size=32, num_workers=0, batch_size=32)
count = sum(len(labels) for _, labels in data.train)
# Not ru_maxrss, which begins at what the parent had.
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(json.dumps([count, int(peak) / 1024]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="how Linux counts memory")
def test_memory_is_flat_at_ten_times_the_data(tmp_path: Path, cache: Path) -> None:
    """120 and 1,200 MB of shards; beside the images each sample has its key and its place."""
    noise = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    for shard in range(10):
        write_shard(
            tmp_path / f"train-{shard}.tar",
            (
                (f"{n:05d}", {"png": png(n) + noise, "cls": b"%d" % (n % 2)})
                for n in range(shard * 600, (shard + 1) * 600)
            ),
        )
    found = []
    for name in ("train-0.tar", "train-{0..9}.tar"):
        result = subprocess.run(
            [sys.executable, "-c", _PEAK, f"wds:{tmp_path}/{name}"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "KERASTL_CACHE": str(cache)},
        )
        found.append(json.loads(result.stdout))
    (few, small), (many, large) = found
    assert (few, many) == (360, 3600)
    assert large - small < 25, f"{small:.0f} MB of 120 MB, {large:.0f} MB of 1,200 MB"


def test_a_check_sees_the_files_in_the_shards(tmp_path: Path) -> None:
    """Format and size of each, and a copy under two labels, as of files."""
    from kerastl import check_data
    from kerastl.checking.inventory import Inventory
    from kerastl.checking.reading import read as read_facts

    big = io.BytesIO()
    Image.fromarray(pixels(3, size=900)).save(big, "JPEG")
    samples = [sample(number, "ab"[number % 2]) for number in range(8)]
    samples += [
        ("big", {"jpg": big.getvalue(), "cls": b"a"}),
        ("copy", {"png": png(1), "cls": b"a"}),
    ]
    write_shard(tmp_path / "a.tar", samples)
    facts = read_facts(
        Inventory.of(f"wds:{tmp_path}/a.tar", task="classification"), ImageSettings(image_size=32)
    )
    assert facts.formats.tolist() == ["PNG"] * 8 + ["JPEG", "PNG"]
    assert facts.widths.tolist() == [8] * 8 + [900, 8]
    found = check_data(f"wds:{tmp_path}/a.tar", backbone=None)
    contradiction = [each for each in found.findings if each.kind.name == "contradiction"]
    assert {image.name.rsplit("/", 1)[1] for image in contradiction[0].images} == {
        "000001.png",
        "copy.png",
    }


def test_records_are_read_in_a_process_that_was_not_forked(tmp_path: Path) -> None:
    items = train(f"wds:{write_shards(tmp_path, shards=2, each=3)}")
    copy = pickle.loads(pickle.dumps(items))
    np.testing.assert_array_equal(np.asarray(copy.image(4, WHOLE)), pixels(4))


def test_a_recorded_split_stays_whatever_shards_and_classes_come_later(tmp_path: Path) -> None:
    write_shards(tmp_path, shards=2, each=10)
    spec = f"wds:{tmp_path}/*.tar"
    options: Any = {"image_size": 8, "num_workers": 0}
    before = load_data(spec, **options)
    split_file.save(tmp_path / "split.csv", before.split_rows())
    write_shard(tmp_path / "new.tar", [sample(90, "cat"), sample(91, "ape"), sample(3, "dog")])
    after = load_data(spec, split=tmp_path / "split.csv", **options)
    assert after.class_names == ("cat", "dog")
    assert after.split_rows() == before.split_rows()
    assert "3 new, and left out" in " ".join(after.notes)


def test_samples_are_those_that_webdataset_reads(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    names = [
        *("a/0.1/x.png", "a/0.1/x.cls", "b.png", "b.seg.png", "b.cls", ".hidden.png"),
        *("./c.JPG", "./c.cls", "d/e.cls", "d/e.png", "no_ending"),
    ]
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number, name in enumerate(names):
            content = b"%d" % (number % 2) if name.endswith("cls") else png(number)
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {}
        for each in webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False):
            images = [each[ending] for ending in ("png", "jpg") if ending in each]
            expected[each["__key__"].removeprefix("./")] = (images[0], each["cls"].decode())
    source = read(f"wds:{tmp_path}/a.tar")
    items = source.parts["train"]
    found = {
        items.key(number).removeprefix("a.tar/"): (
            items.encoded(number),
            source.class_names[items.labels[number]],
        )
        for number in range(len(items.labels))
    }
    assert found == expected
    assert len(found) == 4


@pytest.mark.parametrize(
    "pattern",
    ["a.tar", "a-{000..012}.tar", "{a,b}-{0..2}.tar", "{x,y{1..2}}", "{3..1}", "{8..11}", "a{,b}"],
)
def test_braces_are_those_of_webdataset(pattern: str) -> None:
    braceexpand = pytest.importorskip("braceexpand")
    assert expanded(pattern) == list(braceexpand.braceexpand(pattern))


def test_braces_that_stand_for_nothing_are_part_of_the_name() -> None:
    assert expanded("{a}-{0..1}-{}") == ["{a}-0-{}", "{a}-1-{}"]


@pytest.mark.parametrize("seed", range(4))
def test_damaged_headers_are_told_or_harmless(tmp_path: Path, seed: int) -> None:
    """Bytes of headers changed at random, long names and sparse files among them: no other end."""
    generator = np.random.default_rng(seed)
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w", format=(tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)[seed % 2]) as tar:
        for number in range(6):
            for ending, content in sample(number, "ab"[number % 2])[1].items():
                about = tarfile.TarInfo(f"{'é' * 70 * (number % 2)}{number}.{ending}")
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
    whole = shard.read_bytes()
    with tarfile.open(shard) as tar:
        offsets = [about.offset for about in tar.getmembers()]
    told = []
    for _ in range(60):
        damaged = bytearray(whole)
        start = int(generator.choice(offsets))
        for place in start + generator.choice(1024, size=3):
            damaged[place] = int(generator.choice([0, 0x30, 0x37, 0x53, 0x78, 0x80, 0xFF]))
        for block in range(start, start + 1024, 512):  # the checksum fits again
            header = damaged[block : block + 512]
            header[148:156] = b" " * 8
            damaged[block + 148 : block + 156] = b"%06o\0 " % sum(header)
        shard.write_bytes(damaged)
        try:
            read(f"wds:{shard}")
        except ValueError as error:
            told.append(str(error))
    assert told
    assert all(message.endswith(".") for message in told)


@pytest.mark.parametrize("size", [-512, -1, 2**80])
def test_a_size_that_leads_back_or_beyond_is_no_endless_loop(tmp_path: Path, size: int) -> None:
    shard = write_shard(tmp_path / "a.tar", [sample(n, "ab"[n % 2]) for n in range(4)])
    damaged = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        start = tar.getmember("000002.png").offset
    sign = b"\xff" if size < 0 else b"\x80"
    damaged[start + 124 : start + 136] = sign + (size % 256**11).to_bytes(11, "big")
    header = damaged[start : start + 512]
    header[148:156] = b" " * 8
    damaged[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    shard.write_bytes(damaged)
    with pytest.raises(ValueError, match="one whole tar file"):
        read(f"wds:{shard}")


def test_of_many_samples_each_is_digested_and_checked_as_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (scanning, copies):
        monkeypatch.setattr(module, "CHECKED_UP_FRONT", 5)
    samples = [sample(number, "ab"[number % 2]) for number in range(8)]
    samples[4] = ("000004", {"png": png(4)[:60], "cls": b"a"})
    write_shard(tmp_path / "a.tar", samples)
    options: Any = {"image_size": 8, "num_workers": 0, "test_split": 0, "validation_split": 0}
    data = load_data(f"wds:{tmp_path}/a.tar", skip_broken=True, **options)
    assert {row.digest for row in data.split_rows()} == {""}
    assert sum(len(labels) for _, labels in data.train) == 7
    assert [image.path.name for image in data.skipped] == ["000004.png"]
    rows = {row.path: row.digest for row in data.split_rows()}
    assert rows["a.tar/000002"] == bytes_digest(png(2))
    with pytest.raises(BrokenImagesError, match=r"a\.tar/000004\.png"):
        list(load_data(f"wds:{tmp_path}/a.tar", **options).train)
