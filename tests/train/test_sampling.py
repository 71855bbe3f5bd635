"""Which crop is which: parts of the pictures, drawn by number alone, without replacement, and filtered."""

import dataclasses
import hashlib
import io
import json
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxicm.errors import ConfigError, InputError
from jaxicm.train.annotations import Annotations
from jaxicm.train.data_config import DataConfig
from jaxicm.train.sampling import CropSampler, Mixture, luma_deviation, mixture_table


class Pictures:
    """A source of pictures in memory; None is a broken one."""

    fingerprint = "0"

    def __init__(self, pictures: list[np.ndarray | None], files: list[bytes] | None = None):
        self.pictures, self.files = pictures, files
        self.read = 0

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, index: int) -> np.ndarray:
        self.read += 1
        found = self.pictures[index]
        if found is None:
            raise InputError(f"{self.describe(index)}: damaged picture")
        return found

    def encoded(self, index: int) -> bytes | None:
        return self.files[index] if self.files else None

    def describe(self, index: int) -> str:
        return f"picture{index}"


def coordinates(height: int, width: int, number: int) -> np.ndarray:
    """Draw a picture whose samples are its row, its column and its number."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=-1).astype(np.uint8)


PICTURES = [coordinates(20, 30, 0), coordinates(25, 16, 1), coordinates(40, 40, 2)]


def sampler(pictures: list[np.ndarray | None] = PICTURES, crop: int = 16, seed: int = 0, **data) -> CropSampler:
    return CropSampler((Pictures(pictures),), (1.0,), DataConfig(**data), crop, seed)


def take(source: CropSampler, count: int) -> np.ndarray:
    return np.stack([source.sample(number).crop for number in range(count)])


def check_crops(crops: np.ndarray, crop: int) -> set[tuple[bool, bool]]:
    """Check that each crop is a mirrored or transposed part of a picture; return which variations occurred."""
    found = set()
    for item in crops.astype(int):
        swapped = item[0, 0, 0] == item[1, 0, 0]  # the row number stays along the first axis: transposed
        upright = item.swapaxes(0, 1) if swapped else item
        mirrored = upright[0, 0, 1] > upright[0, 1, 1]
        upright = upright[:, ::-1] if mirrored else upright
        top, left, number = upright[0, 0]
        np.testing.assert_array_equal(upright, PICTURES[number][top : top + crop, left : left + crop])
        found.add((bool(mirrored), bool(swapped)))
    return found


def test_crops_are_parts_of_the_pictures_in_all_variations():
    crops = take(sampler(), 80)
    assert len(check_crops(crops, 16)) == 4
    assert set(crops[:, 0, 0, 2]) == {0, 1, 2}
    assert check_crops(take(sampler(flip=False, transpose=False), 40), 16) == {(False, False)}


def test_a_crop_depends_on_seed_and_number_alone():
    source = sampler(seed=3, smallest_scale=0.5)
    expected = take(source, 50)
    copy = pickle.loads(pickle.dumps(source))
    for number in (49, 3, 20):  # in any order, in another process
        np.testing.assert_array_equal(copy.sample(number).crop, expected[number])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(source.sample, range(50)))
    np.testing.assert_array_equal([sample.crop for sample in found], expected)
    assert not np.array_equal(take(sampler(seed=4, smallest_scale=0.5), 50), expected)
    assert len(np.unique(expected.reshape(50, -1), axis=0)) > 40


def test_crops_are_the_bits_they_always_were():
    rng = np.random.default_rng(0)
    noise: list[np.ndarray | None] = [rng.integers(0, 256, shape, np.uint8) for shape in ((40, 50, 3), (33, 70, 3))]
    for data, expected in (
        ({}, "72d98ad79359164ff406bc5ba2b8fc5de299fc2481e2b0b76629976ea9eb5c4e"),
        (
            {"smallest_scale": 0.5, "min_contrast": 3.0},
            "7edd97aa080c168db1fd2f60d09ce75c9e458917f693452b5b321c2bad1360e2",
        ),
    ):
        assert hashlib.sha256(take(sampler(noise, seed=3, **data), 32).tobytes()).hexdigest() == expected


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_a_mixture_keeps_its_shares_everywhere(weights: list[float]):
    table = mixture_table(weights)
    share = np.array(weights) / sum(weights)
    assert table.shape == (1024,) and set(table) == set(range(len(weights)))
    np.testing.assert_allclose(np.bincount(table) / 1024, share, atol=len(weights) / 1024)
    half = np.bincount(table[:512], minlength=len(weights))  # spread evenly: either half has half of each
    np.testing.assert_allclose(half, np.bincount(table) / 2, atol=1)


def test_many_tiny_sources_all_get_an_entry():
    table = mixture_table([1e-9] * 50 + [1.0])
    counts = np.bincount(table)
    assert (counts[:50] == 1).all() and counts[50] == 1024 - 50


@settings(deadline=None)  # another job on the machine is no failure
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), seed=st.integers(0, 9))
def test_each_picture_is_drawn_once_an_epoch(lengths: list[int], seed: int):
    mixture = Mixture(lengths, [1.0 + source for source in range(len(lengths))], seed)
    drawn: dict[int, list[int]] = {source: [] for source in range(len(lengths))}
    for index in range(3000):
        source, picture = mixture.locate(index)
        drawn[source].append(picture)
    for source, length in enumerate(lengths):
        epochs = [drawn[source][first : first + length] for first in range(0, len(drawn[source]) - length, length)]
        assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
        if length > 10:
            assert len({tuple(epoch) for epoch in epochs}) == len(epochs)
    late = Mixture(lengths, [1.0 + source for source in range(len(lengths))], seed)
    assert late.locate(2999) == mixture.locate(2999)  # without having drawn the others


def test_a_picture_too_small_for_its_scale_is_reduced_as_far_as_it_goes():
    noise = np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)
    crops = take(sampler([noise], smallest_scale=0.25, unscaled=0.0, flip=False, transpose=False), 40)
    whole = sum(np.array_equal(item, _reduced(noise, 16)) for item in crops)
    # the whole picture for all scales below 16 / 19.5, which are 86 % of the range's logarithm
    assert 25 < whole < 40


def test_reduced_crops_are_what_pillow_makes_of_a_square():
    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    squares = {
        _reduced(noise[top : top + side, left : left + side], 16).tobytes()
        for side in range(16, 25)
        for top in range(25 - side)
        for left in range(25 - side)
    }
    crops = take(sampler([noise], smallest_scale=0.7, unscaled=0.0, flip=False, transpose=False), 40)
    assert all(item.tobytes() in squares for item in crops)
    assert len({item.tobytes() for item in crops}) > 10


def _reduced(square: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS))


def test_scales_are_uniform_in_their_logarithm_and_some_crops_keep_their_own():
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :, None], (200, 200, 3))
    source = sampler([ramp], crop=40, smallest_scale=0.25, unscaled=0.3, flip=False, transpose=False)
    crops = take(source, 600).astype(float)
    slope = (crops[:, 20, 30, 0] - crops[:, 20, 10, 0]) / 20  # samples of the picture per sample of the crop
    kept = np.isclose(slope, 1)
    assert 0.22 < kept.mean() < 0.38
    logarithm = np.log(slope[~kept]) / np.log(4)
    assert np.quantile(logarithm, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.1)
    assert logarithm.max() <= 1.01


def test_broken_and_small_pictures_are_replaced_and_named():
    pictures = [None, coordinates(10, 40, 1), coordinates(40, 40, 2)]
    source = sampler(pictures)
    samples = [source.sample(number) for number in range(30)]
    assert all((sample.crop[..., 2] == 2).all() for sample in samples)
    reasons = {(item.picture, item.reason) for sample in samples for item in sample.rejected}
    assert reasons == {("picture0", "damaged picture"), ("picture1", "40x10 pixels, smaller than the crop of 16")}
    reads = source.sources[0].read  # type: ignore[attr-defined]
    assert reads == 30 + 2  # a picture that was refused once is not read again
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.sample(29).crop, samples[29].crop)
    assert copy.sample(29).rejected == samples[29].rejected


def test_min_side_leaves_out_small_pictures():
    source = sampler(min_side=21)
    assert {int(crop[0, 0, 2]) for crop in take(source, 20)} == {2}
    with pytest.raises(ConfigError, match=r"data\.min_side=41"):
        sampler(min_side=41).sample(0)


def test_jpeg_files_below_a_quality_are_left_out():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)

    def jpeg(quality: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    pictures: list[np.ndarray | None] = [coordinates(32, 32, number) for number in range(3)]
    inner = Pictures(pictures, [jpeg(40), jpeg(90), b"\x89PNG"])
    source = CropSampler((inner,), (1.0,), DataConfig(min_jpeg_quality=60), 16)
    samples = [source.sample(number) for number in range(30)]
    assert {int(sample.crop[0, 0, 2]) for sample in samples} == {1, 2}
    (rejected,) = {item for sample in samples for item in sample.rejected}
    assert rejected.reason == "JPEG quality 40, below data.min_jpeg_quality=60"


def test_flat_crops_are_drawn_again():
    half = np.zeros((32, 64, 3), np.uint8)
    half[:, 32:] = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    source = sampler([half], min_contrast=20.0)
    assert all(luma_deviation(crop) >= 20 for crop in take(source, 40))
    assert not any(source.sample(number).rejected for number in range(40))  # the picture itself is taken
    assert min(luma_deviation(crop) for crop in take(sampler([half]), 40)) == 0
    with pytest.raises(ConfigError, match=r"contrast 0\.0, below data\.min_contrast=20"):
        sampler([np.zeros((32, 32, 3), np.uint8)], min_contrast=20.0).sample(0)


def test_the_deviation_of_luma_is_that_of_a_grey_picture():
    grey = np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)
    assert luma_deviation(np.repeat(grey[..., None], 3, axis=-1)) == pytest.approx(grey.std(), rel=1e-4)


def test_no_picture_at_all_is_an_error_that_says_why():
    with pytest.raises(ConfigError, match=r"the only picture is left out .*smaller than the crop of 64"):
        sampler(PICTURES[:1], crop=64).sample(0)
    with pytest.raises(ConfigError, match=r"all 3 pictures drawn of 3 are left out .*picture0: damaged picture"):
        sampler([None, None, None]).sample(5)


def test_weights_decide_how_often_a_source_is_drawn():
    sources = tuple(Pictures([coordinates(16, 16, number)]) for number in range(3))
    source = CropSampler(sources, (1.0, 2.0, 5.0), DataConfig(), 16)
    counts = Counter(int(crop[0, 0, 2]) for crop in take(source, 1024))
    assert [counts[number] for number in range(3)] == [128, 256, 640]


def test_settings_and_fingerprint_are_what_crops_depend_on():
    source = sampler(seed=7, smallest_scale=0.5)
    assert source.settings()["seed"] == 7 and source.settings()["data.smallest_scale"] == 0.5
    others = {"workers": 9, "prefetch": 9, "loader": "grain", "include": ("a",)}
    changed = dataclasses.replace(source, data=dataclasses.replace(source.data, **others))
    assert changed.settings() == source.settings()


def labelled(path: Path, sizes: dict[str, tuple[int, int]], *boxes: tuple[int, int, int, int], **data) -> CropSampler:
    """Label the first of the pictures of those names, and write the sizes of all."""
    images = [
        {"id": number, "file_name": name, "height": height, "width": width}
        for number, (name, (height, width)) in enumerate(sizes.items())
    ]
    found = [{"image_id": 0, "category_id": 1, "bbox": box} for box in boxes]
    document = {"images": images, "annotations": found, "categories": [{"id": 1, "name": "cat"}]}
    path.write_text(json.dumps(document))
    return dataclasses.replace(sampler(**data), annotations=Annotations([path]))


def test_crops_are_placed_around_objects(tmp_path: Path):
    picture = np.indices((200, 240)).transpose(1, 2, 0).astype(np.uint8)
    picture = np.concatenate([picture, np.zeros((200, 240, 1), np.uint8)], axis=2)
    boxes = [(20, 30, 8, 6), (232, 190, 8, 10)]
    vary = {"pictures": [picture], "flip": False, "transpose": False}
    for share, least, most in ((1.0, 1.0, 1.0), (0.5, 0.4, 0.65), (0.0, 0.0, 0.1)):
        source = labelled(tmp_path / "a.json", {"picture0": (200, 240)}, *boxes, object_share=share, **vary)
        counts = [0, 0]
        for number in range(200):
            sample = source.sample(number)
            top, left = sample.crop[0, 0, :2].tolist()
            for which, (y, x) in enumerate(((33, 24), (195, 236))):
                counts[which] += top <= y < top + 16 and left <= x < left + 16
            assert sample.objects is not None
            for x0, y0, x1, y1 in np.add(sample.objects.boxes, [left, top, left, top]):
                assert (x0 >= 20 and y0 >= 30 and x1 <= 28 and y1 <= 36) or (x0 >= 232 and y0 >= 190)
        assert least <= sum(counts) / 200 <= most
        assert not share or min(counts) > 30


def test_pictures_without_objects_keep_their_crops(tmp_path: Path):
    plain = sampler(smallest_scale=0.5)
    source = labelled(
        tmp_path / "a.json", {"picture2": (40, 40), "picture1": (25, 16)}, (9, 9, 9, 9), smallest_scale=0.5
    )
    for number in range(30):
        sample, expected = source.sample(number), plain.sample(number)
        assert expected.objects is None
        number = int(sample.crop[0, 0, 2])
        assert (sample.objects is None) == (number == 0)  # nothing is known of a picture without an entry
        if number < 2:
            np.testing.assert_array_equal(sample.crop, expected.crop)
        if number == 1:
            assert sample.objects.boxes.shape == (0, 4)


def test_a_picture_of_another_size_than_its_entry_is_left_out(tmp_path: Path):
    source = labelled(tmp_path / "a.json", {"picture0": (30, 20), "picture2": (40, 40)}, (1, 1, 9, 9))
    rejected = {item for number in range(20) for item in source.sample(number).rejected}
    assert {(item.picture, item.reason) for item in rejected} == {
        ("picture0", "30x20 pixels, but 20x30 in data.annotations")
    }


def test_annotations_are_part_of_the_settings_only_if_there_are_any(tmp_path: Path):
    plain = sampler(objects=3, object_share=0.1, annotations=("a.json",))
    assert not [key for key in plain.settings() if "object" in key or "annotations" in key]
    source = labelled(tmp_path / "a.json", {"picture0": (20, 30)}, objects=3, object_share=0.1)
    assert source.settings().items() > plain.settings().items()
    assert source.settings()["data.objects"] == 3 and source.settings()["data.object_share"] == 0.1
    (name,) = source.settings()["data.annotations"]
    other = labelled(tmp_path / "a.json", {"picture0": (20, 30)}, (1, 1, 9, 9), objects=3, object_share=0.1)
    assert name.startswith("a.json ") and other.settings()["data.annotations"] != [name]
