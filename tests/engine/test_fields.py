# SPDX-License-Identifier: GPL-3.0-or-later
"""All eight formats hold what is put into them, packed, at the place that the address arithmetic says."""

from __future__ import annotations

import numpy as np
import pytest

from fluid_addon.engine import Format

SIZE = (5, 3, 7)
BYTES = {
    Format.R32F: 4,
    Format.R32G32F: 8,
    Format.R32G32B32F: 12,
    Format.R32G32B32A32F: 16,
    Format.R16F: 2,
    Format.R16G16B16F: 6,
    Format.R32I: 4,
    Format.R32UI: 4,
}


def distinct(format_: Format, offset: int = 0) -> np.ndarray:
    """Values that differ in every voxel and component and that the format holds exactly."""
    count = int(np.prod(SIZE)) * format_.components
    numbers = np.arange(count) + offset
    if format_ is Format.R32I:
        numbers = numbers * 20_000_003 - 2**31 + 5
    elif format_ is Format.R32UI:
        numbers = numbers * 40_000_003 + 5
    shape = SIZE if format_.components == 1 else (*SIZE, format_.components)
    return numbers.astype(format_.dtype).reshape(shape)


@pytest.mark.parametrize("format_", list(Format), ids=lambda f: f.name)
def test_upload_kernel_and_readback_keep_every_value(make_engine, define, set_field, format_):
    engine = make_engine(SIZE)
    engine.add_field("a", format_, 0)
    engine.add_field("b", format_, 0)
    set_field(engine, "a", distinct(format_))
    engine.add_stencil(define("copy", 'WriteField("b", idx, ReadField("a", idx));', "a", "b"))
    engine.step(1.0)
    np.testing.assert_array_equal(engine.array("a"), distinct(format_))
    np.testing.assert_array_equal(engine.array("b"), distinct(format_))
    assert engine.array("a").dtype == format_.dtype


@pytest.mark.parametrize("format_", list(Format), ids=lambda f: f.name)
def test_a_voxel_takes_just_its_bytes(make_engine, format_):
    engine = make_engine((8, 8, 8))
    engine.add_field("a", format_, 0)
    engine.read("a", (0, 0, 0))
    assert format_.bytes_per_voxel == BYTES[format_]
    assert engine.fields["a"].buffers[0].size == 512 * BYTES[format_]


@pytest.mark.parametrize("format_", list(Format), ids=lambda f: f.name)
def test_read_fill_and_background(make_engine, format_):
    engine = make_engine(SIZE)
    start = tuple(range(3, 3 + format_.components))
    engine.add_field("a", format_, start if len(start) > 1 else start[0])
    assert engine.read("a", (4, 2, 6)) == (start if len(start) > 1 else start[0])
    engine.fill("a", 9)
    assert (engine.array("a") == 9).all()


def test_the_numbers_of_formats_are_those_of_vulkan():
    import vulkan as vk

    names = {"R32F": "R32", "R32G32F": "R32G32", "R32G32B32F": "R32G32B32", "R32G32B32A32F": "R32G32B32A32"}
    for format_ in Format:
        if format_.is_half:
            expected = "VK_FORMAT_" + {"R16F": "R16", "R16G16B16F": "R16G16B16"}[format_.name] + "_SFLOAT"
        elif format_.is_float:
            expected = f"VK_FORMAT_{names[format_.name]}_SFLOAT"
        else:
            expected = "VK_FORMAT_R32_UINT" if format_ is Format.R32UI else "VK_FORMAT_R32_SINT"
        assert int(format_) == getattr(vk, expected)


def test_glsl_and_python_agree_on_the_address_of_every_voxel(make_engine, define):
    engine = make_engine(SIZE)
    engine.add_field("index", Format.R32I, -1)
    engine.add_field("where", Format.R32G32B32F, 0)
    code = 'WriteField("index", idx, idx); WriteField("where", idx, vec3(coord));'
    engine.add_stencil(define("mark", code, "", "index where"))
    engine.step(1.0)
    address = engine.domain.address
    index, where = engine.array("index"), engine.array("where")
    for coord in np.ndindex(*SIZE):
        assert index[coord] == address.index(coord)
        assert tuple(where[coord]) == coord
    assert sorted(index.ravel()) == list(range(address.voxels))


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 97), (97, 1, 1), (2, 65, 3), (64, 64, 1)])
def test_thin_and_odd_domains_cover_every_voxel_once(make_engine, define, size):
    engine = make_engine(size)
    engine.add_field("n", Format.R32I, 0)
    engine.add_stencil(define("count", 'WriteField("n", idx, ReadField("n", idx) + 1);', "n", "n"))
    for _ in range(3):
        engine.step(1.0)
    assert (engine.array("n") == 3).all()
