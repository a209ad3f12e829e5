"""Write the samples as files, for people who fill in such a document: `python -m tests.samples`, `make examples`."""

import json
from pathlib import Path

from google.protobuf.message import Message

from gateway.formats import json_form
from tests import samples

FOLDER = Path(__file__).parents[2] / "proto" / "rogatory" / "v1" / "examples"

MADE_BY_MACHINE = {"Draft", "Countersignature", "TestOrder", "TestReport"}
"""Nobody fills these in: they carry envelopes, signatures and random numbers."""


def text(message: Message) -> str:
    """Return the JSON form as a person reads it: the same members in the same order, with line breaks."""
    return json.dumps(json_form.to_object(message), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def examples() -> dict[str, str]:
    """Return the content of each file by its name: that of the kind, for one message serves several."""
    filled_in = {name: message for name, message in samples.named().items() if name not in MADE_BY_MACHINE}
    return {f"{name}.json": text(each) for name, each in (filled_in | samples.alone()).items()}


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in examples().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
    print(f"{len(examples())} examples written to {FOLDER}")


if __name__ == "__main__":
    main()
