"""The bytes of a case file: one form, nothing hidden, nothing that leads out of a folder."""

import io
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.casefile import archive
from clients.casefile.archive import MEDIA_TYPE, MIMETYPE
from gateway.errors import ErrorCode, Refusal

BASE = {MIMETYPE: MEDIA_TYPE, "a.txt": b"one", "b/c.txt": b"two" * 100, "empty": b""}


def refused(act: Callable[[], object]) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.code


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED, **fields: object) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            for field, value in fields.items():
                setattr(info, field, value)
            made.writestr(info, content)
    return file.getvalue()


def test_other_programs_read_what_we_write() -> None:
    with zipfile.ZipFile(io.BytesIO(archive.pack(BASE))) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == BASE
        assert read.namelist()[0] == MIMETYPE


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,5}(/[a-z0-9]{1,5}){0,2}", fullmatch=True), st.binary(max_size=50))
)
def test_what_is_written_is_read_and_equal_contents_are_equal_bytes(members: dict[str, bytes]) -> None:
    members = {**members, MIMETYPE: MEDIA_TYPE}
    raw = archive.pack(members)
    assert archive.unpack(raw) == members
    assert archive.pack(dict(reversed(members.items()))) == raw


NAMES = ["../x", "/x", "a/../x", "a//x", "a\\x", ".x", "a/.x", "x/", "C:x", "\u00e9", "a\x00", "a b", "x" * 201, ""]


@pytest.mark.parametrize("name", NAMES)
def test_name_that_is_not_safe_everywhere_is_neither_written_nor_read(name: str) -> None:
    members = {**BASE, name: b"x"}
    assert refused(lambda: archive.pack(members)) is ErrorCode.MALFORMED
    assert refused(lambda: archive.unpack(b"".join(archive._written(members)))) is ErrorCode.MALFORMED


def zip64() -> bytes:
    """Return a file with 64-bit sizes in its extra fields, as a stream that does not know them ahead is written."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in BASE.items():
            with made.open(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as member:
                member.write(content)
    return file.getvalue()


FILES = {
    "empty": b"",
    "no archive": b"hello",
    "compressed": zipped(BASE, zipfile.ZIP_DEFLATED),
    "a bomb": zipped({**BASE, "bomb": bytes(1 << 24)}, zipfile.ZIP_DEFLATED),
    "other attributes": zipped(BASE, external_attr=0o644 << 16),
    "a comment": zipped(BASE, comment=b"x"),
    "an extra field": zipped(BASE, extra=b"\x01\x00\x00\x00"),
    "another order": zipped(dict(reversed(BASE.items()))),
    "something before": b"x" + archive.pack(BASE),
    "something behind": archive.pack(BASE) + b"x",
    "two in one": archive.pack(BASE) * 2,
    "no members": archive.pack(BASE)[-22:],
    "names that differ in case": b"".join(archive._written({**BASE, "A.txt": b""})),
    "another mimetype": b"".join(archive._written({**BASE, MIMETYPE: b"application/zip"})),
    "no mimetype": b"".join(archive._written({"a": b""})),
    "a link": zipped(BASE, external_attr=0o120777 << 16),
    "a link beside": zipped({**BASE, "report.html": b"/etc/passwd"}, external_attr=0o120777 << 16, create_system=3),
    "a folder": zipped({**BASE, "folder/": b""}),
    "compressed with bzip2": zipped({**BASE, "bomb": bytes(1 << 24)}, zipfile.ZIP_BZIP2),
    "compressed with LZMA": zipped({**BASE, "bomb": bytes(1 << 24)}, zipfile.ZIP_LZMA),
    "zip64": zip64(),
    "encrypted": archive.pack(BASE).replace(b"PK\x03\x04\x0a\x00\x00", b"PK\x03\x04\x0a\x00\x01", 1),
}


@pytest.mark.parametrize("raw", FILES.values(), ids=FILES.keys())
def test_what_is_not_in_the_one_form_is_refused(raw: bytes) -> None:
    assert refused(lambda: archive.unpack(raw)) is ErrorCode.MALFORMED


def test_one_member_twice_is_refused() -> None:
    one = b"".join(archive._written({"a": b"1"}))
    local = one[: one.index(b"PK\x01\x02")]
    assert refused(lambda: archive.unpack(local * 2 + one)) is ErrorCode.MALFORMED


def test_each_limit_refuses_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = archive.pack(BASE)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    assert refused(lambda: archive.unpack(raw)) is ErrorCode.TOO_LARGE
    assert refused(lambda: archive.pack(BASE)) is ErrorCode.TOO_LARGE
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    assert archive.unpack(raw) == BASE
    monkeypatch.setattr(archive, "MAX_BYTES", len(raw) - 1)
    assert refused(lambda: archive.unpack(raw)) is ErrorCode.TOO_LARGE
    assert refused(lambda: archive.pack(BASE)) is ErrorCode.TOO_LARGE
    monkeypatch.setattr(archive, "MAX_BYTES", len(raw))
    assert archive.pack(BASE) == raw


def test_somebody_sends_sixty_thousand_members_and_one() -> None:
    members = {MIMETYPE: MEDIA_TYPE, **{f"a{number}": b"" for number in range(archive.MAX_MEMBERS - 1)}}
    assert archive.unpack(archive.pack(members)) == members
    members["b"] = b""
    assert refused(lambda: archive.unpack(b"".join(archive._written(members)))) is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("size", [len(MEDIA_TYPE) + 1, 1 << 20, (1 << 31) - 1, (1 << 32) - 1])
def test_somebody_declares_sizes_that_are_not_there(size: int) -> None:
    """Within the file, over its end, and as zip64 marks what stands elsewhere."""
    raw = archive.pack(BASE)
    for at in (18, 22):  # compressed, and not
        for place in (0, raw.index(b"PK\x01\x02") + 2):  # in the member itself, and in the list at the end
            changed = bytearray(raw)
            changed[place + at : place + at + 4] = size.to_bytes(4, "little")
            assert refused(lambda changed=changed: archive.unpack(bytes(changed))) is ErrorCode.MALFORMED  # type: ignore[misc]


def test_two_members_lie_over_one_another() -> None:
    """What other programs would inflate many times over: the list at the end names one place twice."""
    raw = bytearray(archive.pack({**BASE, "b/d.txt": b"two" * 100}))
    at = raw.index(b"PK\x01\x02")
    places = []
    while raw[at : at + 4] == b"PK\x01\x02":
        places.append(at + 42)
        at += 46 + raw[at + 28]
    one, other = places[2:4]
    raw[other : other + 4] = raw[one : one + 4]
    assert refused(lambda: archive.unpack(bytes(raw))) is ErrorCode.MALFORMED


def test_no_bit_can_be_another() -> None:
    raw = archive.pack(BASE)
    for at in range(len(raw) * 8):
        other = bytearray(raw)
        other[at // 8] ^= 1 << at % 8
        assert refused(lambda other=other: archive.unpack(bytes(other))) is ErrorCode.MALFORMED, at  # type: ignore[misc]


def test_no_shorter_file_is_one() -> None:
    raw = archive.pack(BASE)
    for size in range(len(raw)):
        assert refused(lambda size=size: archive.unpack(raw[:size])) is ErrorCode.MALFORMED  # type: ignore[misc]
