"""Generates from the .proto files: the Python of the contract, the JSON Schemas of its documents, its comments as data.

In: `rogatory/v1/*.proto` beside this file, and the descriptor of validate.proto from the installed
protovalidate. Out: modules and stubs beside the .proto files, schemas in `schema/` there. The same input gives the same
bytes, so `--check` can demand that what is committed is what would be generated.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import comments
import grpc_tools
import json_schema
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from rogatory import validation

ROOT = Path(__file__).parent
BUILD = ROOT.parent / "build"
BASELINE = ROOT / "baseline.binpb"
GENERATED = ("rogatory/v1/*_pb2*.py*", f"{json_schema.FOLDER}/*")
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"  # google/protobuf/*.proto come with the compiler
SCRIPTS = Path(sys.executable).parent

BUF_IMPORT = "from buf.validate import validate_pb2 as "
OUR_IMPORT = "from rogatory import validation as "


def compile_protos(sources: Iterable[str], *options: str) -> None:
    """Run protoc on `sources`; it has said what is wrong if this exits.

    validate.proto is nowhere on disk: protoc finds it in a descriptor set.
    """
    rules = FileDescriptorProto.FromString(validation.DESCRIPTOR.serialized_pb)
    with TemporaryDirectory() as folder:
        imports = Path(folder, "validate.binpb")
        imports.write_bytes(FileDescriptorSet(file=[rules]).SerializeToString())
        status = protoc.main(
            ["protoc", f"--descriptor_set_in={imports}", f"-I{ROOT}", f"-I{WELL_KNOWN}", *options, *sources]
        )
    if status:
        raise SystemExit(status)


def image(*options: str) -> FileDescriptorSet:
    """Return the compiled contract."""
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("rogatory/**/*.proto"))
    with TemporaryDirectory() as folder:
        path = Path(folder, "image.binpb")
        compile_protos(sources, f"--descriptor_set_out={path}", *options)
        return FileDescriptorSet.FromString(path.read_bytes())


def generate(out: Path) -> None:
    """Write all generated files below `out`."""
    files = image().file
    compile_protos([file.name for file in files], f"--python_out={out}", f"--mypy_out=quiet:{out}", *plugin("mypy"))
    compile_protos(
        [file.name for file in files if file.service],
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet,only_async:{out}",  # every server and channel of ours is grpc.aio
        *plugin("mypy_grpc"),
    )
    for path in out.glob("rogatory/v1/*_pb2.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(BUF_IMPORT, OUR_IMPORT), encoding="utf-8")
    write_words(out)


def write_words(out: Path) -> None:
    """Write what is made of the contract as a whole, comments included."""
    told = image("--include_source_info")
    said = comments.read(told)
    for name, text in {comments.MODULE: comments.module(said), **json_schema.texts(told, said)}.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="utf-8")


def plugin(name: str) -> list[str]:
    """Return the option that makes protoc take the plugin of this environment, whatever PATH says."""
    return [f"--plugin=protoc-gen-{name}={SCRIPTS / f'protoc-gen-{name}'}"]


def contents(root: Path) -> dict[str, bytes]:
    """Return the generated files below `root`."""
    found = (path for pattern in GENERATED for path in root.glob(pattern))
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def write() -> None:
    """Generate beside the .proto files and remove what no .proto file accounts for."""
    with TemporaryDirectory() as folder:
        generate(Path(folder))
        new = contents(Path(folder))
    old = contents(ROOT)
    for name in old.keys() - new.keys():
        (ROOT / name).unlink()
    for name, content in new.items():
        if old.get(name) != content:
            (ROOT / name).parent.mkdir(exist_ok=True)
            (ROOT / name).write_bytes(content)
    print(f"{len(new)} files generated, {len(differing(old, new))} changed")


def check() -> None:
    """Exit with the list of files that are not as they would be generated."""
    with TemporaryDirectory() as folder:
        generate(Path(folder))
        names = differing(contents(ROOT), contents(Path(folder)))
    if names:
        raise SystemExit("\n".join(["not as generated (run `make proto`):", *(f"  proto/{name}" for name in names)]))


def differing(old: dict[str, bytes], new: dict[str, bytes]) -> list[str]:
    """Return the names whose content differs or is on one side only."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def write_images() -> None:
    """Write what buf reads: the contract as it is, and as it was at the last release.

    buf would fetch validate.proto over the network; an image that holds its imports needs none.
    """
    now = image("--include_imports", "--include_source_info")
    imports = [file for file in now.file if not file.name.startswith("rogatory/")]
    released = FileDescriptorSet.FromString(BASELINE.read_bytes())
    BUILD.mkdir(exist_ok=True)
    (BUILD / "image.binpb").write_bytes(now.SerializeToString())
    (BUILD / "baseline.binpb").write_bytes(FileDescriptorSet(file=[*imports, *released.file]).SerializeToString())


def write_baseline() -> None:
    """Make the contract as it is the one that must not be broken: our own files only, without comments."""
    BASELINE.write_bytes(image().SerializeToString(deterministic=True))


def main() -> None:
    """Parse the command line and do the one thing asked."""
    parser = argparse.ArgumentParser(description="Generate the Python of the contract.")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", dest="run", action="store_const", const=check, help="only compare")
    modes.add_argument("--images", dest="run", action="store_const", const=write_images, help="write build/*.binpb")
    modes.add_argument("--baseline", dest="run", action="store_const", const=write_baseline, help="at a release")
    parser.set_defaults(run=write)
    parser.parse_args().run()


if __name__ == "__main__":
    main()
