"""C-FIND matching: an identifier becomes a `Query`, and `matches` says what it finds (PS3.4 C.2.2).

`matches` is the definition. `node.storage.index.search.search` says the same in SQL, and a property
test holds the two equal.
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
