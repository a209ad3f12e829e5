from base64 import b64decode, b64encode
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from gateway import note, signature
from gateway.errors import ErrorCode, Refusal
from gateway.note import Algorithm, Note, Verifier
from gateway.signature import Domain
from gateway.signer import KeySigner

KEY = KeySigner(SigningKey(bytes(range(32))))
OTHER = KeySigner(SigningKey(bytes(32)))
NAME = "ee.rogatory.test/log"
TEXT = "One line,\n\nand after an empty one, another: ä.\n"
TRUSTED = Verifier(NAME, KEY.public_key)

# C2SP signed-note, section "Example".
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""


def signed(text: str = TEXT) -> Note:
    return Note(text, (note.sign(text, NAME, KEY),))


def refused(raw: bytes) -> ErrorCode:
    with pytest.raises(Refusal) as caught:
        note.verify(note.parse(raw), [TRUSTED])
    return caught.value.code


def test_published_example_is_signed_by_its_key() -> None:
    key = Verifier.parse(EXAMPLE_KEY)
    read = note.parse(EXAMPLE.encode())
    assert [said.by for said in note.verify(read, [key])] == [key]
    assert (read.text, bytes(read)) == ("This is an example message.\n", EXAMPLE.encode())


def test_changed_text_is_not_signed() -> None:
    assert refused(EXAMPLE.replace("an example", "the example").encode()) is ErrorCode.BAD_SIGNATURE
    with pytest.raises(Refusal) as caught:
        note.verify(note.parse(EXAMPLE.replace("an", "no").encode()), [Verifier.parse(EXAMPLE_KEY)])
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_what_is_signed_comes_back() -> None:
    read = note.parse(bytes(signed()))
    assert read == signed()
    assert note.verify(read, [TRUSTED]) == (note.Signed(TRUSTED),)


def test_line_of_an_unknown_key_is_passed_over_and_of_a_known_one_must_hold() -> None:
    stranger = note.sign(TEXT, "a.stranger", OTHER)
    assert note.verify(Note(TEXT, (stranger, *signed().signatures)), [TRUSTED]) == (note.Signed(TRUSTED),)
    assert refused(bytes(Note(TEXT, (stranger,)))) is ErrorCode.BAD_SIGNATURE
    forged = replace(signed().signatures[0], value=bytes(64))
    assert refused(bytes(Note(TEXT, (*signed().signatures, forged)))) is ErrorCode.BAD_SIGNATURE
    # Same name, another id: another key.
    renamed = note.sign(TEXT, NAME, OTHER)
    assert refused(bytes(Note(TEXT, (renamed,)))) is ErrorCode.BAD_SIGNATURE


def test_key_with_anothers_short_id_neither_helps_nor_hinders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Verifier, "key_id", property(lambda _: b"same"))
    other = Verifier(NAME, OTHER.public_key)
    assert note.verify(signed(), [other, TRUSTED]) == (note.Signed(TRUSTED),)
    with pytest.raises(Refusal) as caught:
        note.verify(signed(), [other])
    assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_same_key_counts_once() -> None:
    assert len(note.verify(Note(TEXT, signed().signatures * 2), [TRUSTED, TRUSTED])) == 1


def test_cosignature_is_over_the_time_too() -> None:
    witness = Verifier("w", OTHER.public_key, Algorithm.COSIGNATURE)
    line = note.cosign(TEXT, "w", OTHER, 1_679_315_147)
    assert note.verify(Note(TEXT, (line,)), [witness]) == (note.Signed(witness, 1_679_315_147),)
    for value in (bytes(8) + line.value[8:], line.value[:7] + b"\0" + line.value[8:], line.value[8:], b"\xff" * 72):
        with pytest.raises(Refusal) as caught:
            note.verify(Note(TEXT, (replace(line, value=value),)), [witness])
        assert caught.value.code is ErrorCode.BAD_SIGNATURE


def test_signature_and_cosignature_are_not_taken_for_each_other() -> None:
    as_witness = Verifier(NAME, KEY.public_key, Algorithm.COSIGNATURE)
    assert as_witness.key_id != TRUSTED.key_id
    line = note.cosign(TEXT, NAME, KEY, 1)
    for disguised, by in (
        (replace(line, key_id=TRUSTED.key_id), TRUSTED),
        (replace(line, key_id=TRUSTED.key_id, value=line.value[8:]), TRUSTED),
        (replace(signed().signatures[0], key_id=as_witness.key_id), as_witness),
    ):
        with pytest.raises(Refusal) as caught:
            note.verify(Note(TEXT, (disguised,)), [by])
        assert caught.value.code is ErrorCode.BAD_SIGNATURE


@given(st.sampled_from(Domain), st.binary())
def test_nothing_that_is_signed_in_a_frame_is_the_text_of_a_note(domain: Domain, message: bytes) -> None:
    for framed in (signature.frame(domain.value, b"direct", message), signature.frame(domain.value, b"batch")):
        assert framed[0] == 0
        with pytest.raises(Refusal) as caught:
            note.parse(framed + b"\n\n" + str(signed().signatures[0]).encode())
        assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize(
    "raw",
    {
        "nothing": b"",
        "no signatures": TEXT.encode(),
        "no signatures after the empty line": b"text\n\n",
        "no empty line": b"text\n" + str(signed().signatures[0]).encode(),
        "no last newline": bytes(signed())[:-1],
        "an empty line at the end": bytes(signed()) + b"\n",
        "no UTF-8": b"\xff" + bytes(signed()),
        "a control character": b"\t" + bytes(signed()),
        "a null": bytes(signed()).replace(b"One", b"\0ne"),
        "a hyphen for the dash": bytes(signed()).replace("—".encode(), b"-"),
        "no name": "t\n\n—  AAAAAAA=\n".encode(),
        "no signature in the line": "t\n\n— name AAAAAA==\n".encode(),
        "no base64": "t\n\n— name ????????\n".encode(),
        "base64 with a tail": "t\n\n— name AAAAAAB=\n".encode(),
        "a plus in the name": "t\n\n— na+me AAAAAAA=\n".encode(),
        "a space of another alphabet in the name": "t\n\n— na\N{NO-BREAK SPACE}me AAAAAAA=\n".encode(),
        "a long name": f"t\n\n— {'n' * 256} AAAAAAA=\n".encode(),
        "too many signatures": bytes(Note(TEXT, signed().signatures * 33)),
        "too long": bytes(signed("t" * (1 << 18) + "\n")),
    }.items(),
    ids=lambda case: case[0],
)
def test_what_is_no_note_is_refused(raw: tuple[str, bytes]) -> None:
    assert refused(raw[1]) is ErrorCode.MALFORMED


def test_as_many_signatures_as_are_allowed_are_read() -> None:
    assert len(note.parse(bytes(Note(TEXT, signed().signatures * 32))).signatures) == 32


@pytest.mark.parametrize("text", ["", "no newline", "a\ttab\n"])
def test_what_can_be_no_text_is_not_signed(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        note.sign(text, NAME, KEY)
    assert caught.value.code is ErrorCode.MALFORMED
    with pytest.raises(Refusal) as caught:
        note.cosign(text, NAME, KEY, 1)
    assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "",
        NAME,
        str(TRUSTED) + "=",
        str(TRUSTED).replace("+", " "),
        str(TRUSTED).replace(NAME, "other"),
        f"{NAME}+00000000+{b64encode(bytes([1]) + KEY.public_key).decode()}",
        f"{NAME}+{TRUSTED.key_id.hex()}+{b64encode(bytes([2]) + KEY.public_key).decode()}",
        f"{NAME}+{TRUSTED.key_id.hex()}+{b64encode(bytes([1]) + KEY.public_key[1:]).decode()}",
        f"{NAME}+{TRUSTED.key_id.hex().upper()}+{b64encode(bytes([1]) + KEY.public_key).decode()}",
        "n" * 400,
    ],
)
def test_what_is_no_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        Verifier.parse(text)
    assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\0b", "a\nb", "n" * (note.MAX_NAME_CHARS + 1)])
def test_what_can_be_no_name_of_a_key_is_refused(name: str) -> None:
    note.check_name("n" * note.MAX_NAME_CHARS)
    with pytest.raises(Refusal) as caught:
        note.check_name(name)
    assert caught.value.code is ErrorCode.MALFORMED


@pytest.mark.parametrize("algorithm", Algorithm)
def test_verifier_key_is_read_as_it_is_spelt(algorithm: Algorithm) -> None:
    key = Verifier(NAME, KEY.public_key, algorithm)
    assert Verifier.parse(str(key)) == key
    assert b64decode(str(key).split("+", 2)[2])[0] == algorithm.value


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_or_malformed(raw: bytes) -> None:
    try:
        read = note.parse(raw)
    except Refusal as error:
        if error.code is not ErrorCode.MALFORMED:
            raise
    else:
        assert bytes(read) == raw


@given(st.text(st.characters(codec="utf-8", min_codepoint=0x20), max_size=60), st.data())
def test_any_text_is_signed_and_no_byte_of_it_may_change(line: str, data: st.DataObject) -> None:
    raw = bytearray(bytes(signed(f"{line}\n")))
    assert note.verify(note.parse(bytes(raw)), [TRUSTED])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert refused(bytes(raw)) in {ErrorCode.MALFORMED, ErrorCode.BAD_SIGNATURE}
