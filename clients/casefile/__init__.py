"""A case as one file: made by a participant from its own disk, checked by anybody offline.

`archive` is the file as bytes, `contents` what its manifest says, `derived` what everybody can make of the rest,
`report` the part for people, `export` makes a file, `checks` judges one.
"""
