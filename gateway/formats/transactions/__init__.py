"""Transaction records: out of what nodes, indexers and data sets write, and back to the normalised form.

`record` and `records` read the normalised form, `to_normalised` writes it; `import_records` reads a file of any form.
"""

from gateway.formats.transactions.importing import import_records
from gateway.formats.transactions.normalised import record, records
from gateway.formats.transactions.writing import to_normalised

__all__ = ["import_records", "record", "records", "to_normalised"]
