"""What is damaged in the archive becomes no volume, whatever its encoding, wherever it is hit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from isal import isal_zlib

from node.assemble.frames.headers import encode_header
from node.convert import InstanceSource, OutputOptions, convert_series, read_folder
from node.core.errors import AssemblyError, Reason
from node.core.records import StoredInstance
from node.lifecycle.assembly.jobs import ArchiveChanged, Job
from node.lifecycle.assembly.task import assemble
from node.storage.integrity import Damage, Expected, check_archived, read_part
from tests.phantom import Phantom, save
from tests.unit.assemble.test_enhanced import enhanced
from tests.unit.cli.test_convert import BIG, COMPRESSED, DEFLATED, EXPLICIT, IMPLICIT, encoded

SYNTAXES = [IMPLICIT, EXPLICIT, BIG, DEFLATED, *COMPRESSED.values()]


def received(folder: Path, *, quick: bool) -> list[InstanceSource]:
    """Instances as a node has them: it knows the digests of their data sets."""
    (series,), _ = read_folder([folder])
    found = []
    for one in series.instances:
        data = one.path.read_bytes()[one.offset :]
        crc = isal_zlib.crc32(data) if quick else None
        digest = hashlib.sha256(data).hexdigest()
        found.append(msgspec.structs.replace(one, digest=digest, crc32=crc))
    return found


def flip(source: InstanceSource, at: int) -> None:
    content = bytearray(source.path.read_bytes())
    content[at] ^= 1
    source.path.write_bytes(content)


def in_position(source: InstanceSource) -> None:
    """A digit of Image Position (Patient): the pixels stay what they were."""
    content = source.path.read_bytes()
    flip(source, content.index(b"\x20\x00\x32\x00DS") + 8)


def in_pixels(source: InstanceSource) -> None:
    flip(source, len(source.path.read_bytes()) - 9)


def cut(source: InstanceSource) -> None:
    source.path.write_bytes(source.path.read_bytes()[:-2])


def longer(source: InstanceSource) -> None:
    source.path.write_bytes(source.path.read_bytes() + b"\0\0")


def gone(source: InstanceSource) -> None:
    source.path.unlink()


def folder_instead(source: InstanceSource) -> None:
    source.path.unlink()
    source.path.mkdir()


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_damage_is_refused_by_name_in_every_encoding(
    tmp_path: Path, syntax: str, quick: bool
) -> None:
    phantom = Phantom(size=(36, 32, 4))
    save(encoded(phantom.instances(), tmp_path / "plain", syntax), tmp_path / "in", syntax)
    sources = received(tmp_path / "in", quick=quick)
    assert convert_series(sources, tmp_path / "good", "a").products
    in_pixels(sources[2])
    made = convert_series(sources, tmp_path / "bad", "a")
    assert not made.products
    assert [(one.reason, one.instances) for one in made.refusals] == [
        (Reason.INSTANCE_DAMAGED, (sources[2].uid,))
    ]
    assert not list((tmp_path / "bad").iterdir())


@pytest.mark.parametrize("harm", [in_position, in_pixels, cut, longer, gone, folder_instead])
def test_damage_anywhere_in_the_data_set_is_noticed(
    tmp_path: Path, harm: Callable[[InstanceSource], None]
) -> None:
    save(Phantom(size=(36, 32, 4)).instances(), tmp_path / "in")
    sources = received(tmp_path / "in", quick=True)
    harm(sources[1])
    (refusal,) = convert_series(sources, tmp_path / "out", "a").refusals
    assert refusal.reason is (Reason.INSTANCE_MISSING if harm is gone else Reason.INSTANCE_DAMAGED)
    assert refusal.instances == (sources[1].uid,)


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED, COMPRESSED["RLE"]])
def test_an_enhanced_image_is_compared_as_a_whole(tmp_path: Path, syntax: str) -> None:
    """Its first frame is damaged, and the last one would have been read alone."""
    phantom = Phantom(size=(36, 32, 4))
    image = enhanced(phantom, list(range(4)))
    save(encoded([image], tmp_path / "plain", syntax), tmp_path / "in", syntax)
    (source,) = received(tmp_path / "in", quick=True)
    assert convert_series([source], tmp_path / "good", "a").products
    in_pixels(source)
    (refusal,) = convert_series([source], tmp_path / "bad", "a").refusals
    assert refusal.reason is Reason.INSTANCE_DAMAGED


def test_of_two_copies_the_damaged_one_is_named(tmp_path: Path) -> None:
    """And not taken for another image at the same place."""
    images = Phantom(size=(36, 32, 4)).instances()
    save(images, tmp_path / "in")
    for image in images:
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = (
            f"{image.SOPInstanceUID}.1"
        )
    save(images, tmp_path / "in" / "again")
    sources = received(tmp_path / "in", quick=True)
    assert len(sources) == 8
    in_pixels(sources[5])
    with pytest.raises(AssemblyError) as refused:
        convert_series(sources, tmp_path / "out", "a")
    assert refused.value.reason is Reason.INSTANCE_DAMAGED
    assert refused.value.instances == (sources[5].uid,)


def test_without_a_digest_nothing_is_compared(tmp_path: Path) -> None:
    save(Phantom(size=(36, 32, 4)).instances(), tmp_path / "in")
    (series,), _ = read_folder([tmp_path / "in"])
    in_pixels(series.instances[0])
    assert convert_series(series.instances, tmp_path / "out", "a").products
    gone(series.instances[1])
    (refusal,) = convert_series(series.instances, tmp_path / "none", "a").refusals
    assert refusal.reason is Reason.PIXELS_UNREADABLE


def job_of(sources: list[InstanceSource], folder: Path) -> Job:
    folder.mkdir(exist_ok=True)
    return Job(
        series_uid="1.2",
        study_uid="1.1",
        instances=tuple(
            StoredInstance(
                one.uid, one.header.sop_class_uid, one.transfer_syntax_uid, one.path.name,
                one.path.stat().st_size if one.path.is_file() else 0, one.digest, one.offset,
                one.pixel_offset, one.pixel_length, 1.0, encode_header(one.header), one.crc32,
            )
            for one in sources
        ),
        archive=sources[0].path.parent,
        staging=folder,
        stem="a",
        revision=1,
        verdict={"verdict": "unknown", "reasons": []},
        options=OutputOptions(),
    )  # fmt: skip


def test_an_assembly_names_every_damaged_instance(tmp_path: Path) -> None:
    save(Phantom(size=(36, 32, 6)).instances(), tmp_path / "in")
    sources = received(tmp_path / "in", quick=True)
    for number in (1, 3):
        in_pixels(sources[number])
    gone(sources[4])
    made = assemble(job_of(sources, tmp_path / "out"))
    assert not made.products
    assert {(one.reason, one.instances) for one in made.refusals} == {
        (Reason.INSTANCE_DAMAGED, (sources[1].uid, sources[3].uid)),
        (Reason.INSTANCE_MISSING, (sources[4].uid,)),
    }
    assert {one.instance.path for one in made.damaged} == {
        sources[number].path.name for number in (1, 3, 4)
    }


def test_an_archive_that_is_away_damages_nothing(tmp_path: Path) -> None:
    save(Phantom(size=(36, 32, 4)).instances(), tmp_path / "in")
    job = job_of(received(tmp_path / "in", quick=True), tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "unmounted")
    with pytest.raises(ArchiveChanged, match="is it mounted"):
        assemble(job)
    (tmp_path / "in").mkdir()
    with pytest.raises(ArchiveChanged, match="is it mounted"):
        assemble(job)


def test_a_part_is_given_out_only_if_the_whole_is_right(tmp_path: Path) -> None:
    file, data = tmp_path / "x", bytes(range(256)) * 40
    file.write_bytes(b"meta" + data)
    for crc in (None, isal_zlib.crc32(data)):
        expected = Expected(hashlib.sha256(data).hexdigest(), 4, crc)
        assert read_part(file, expected, 100, 50) == data[100:150]
        assert read_part(file, expected, 10_200, 500) == data[10_200:]
        assert read_part(file, expected, 0) == data
        check_archived(file, expected)
        for at in (4, 120, 4 + len(data) - 1):
            harmed = bytearray(b"meta" + data)
            harmed[at] ^= 0x80
            other = tmp_path / "y"
            other.write_bytes(harmed)
            with pytest.raises(Damage, match="instance-damaged"):
                read_part(other, expected, 100, 50)
            with pytest.raises(Damage, match="instance-damaged"):
                check_archived(other, expected)
