"""C-FIND matching: an identifier becomes a `Query`, which `matches` an entity or not (PS3.4 C.2.2).

`matches` is the definition. `node.storage.index.search.search` does the same in SQL, and a property
test compares the two. The attributes that can be matched are in `node.core.query_keys`.
"""

from node.dicom.matching.identifier import Identifier, read_find, read_identifier, read_retrieve
from node.dicom.matching.key_conditions import Negotiated
from node.dicom.matching.query import (
    IDENTIFIER_DOES_NOT_MATCH,
    UNABLE_TO_PROCESS,
    IdentifierError,
    Key,
    Model,
    Query,
    Retrieve,
    matches,
    returned,
)

__all__ = [
    "IDENTIFIER_DOES_NOT_MATCH",
    "UNABLE_TO_PROCESS",
    "Identifier",
    "IdentifierError",
    "Key",
    "Model",
    "Negotiated",
    "Query",
    "Retrieve",
    "matches",
    "read_find",
    "read_identifier",
    "read_retrieve",
    "returned",
]
