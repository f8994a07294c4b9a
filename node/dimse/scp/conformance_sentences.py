"""The prose of the Conformance Statement: change it together with the behaviour."""

from __future__ import annotations

from typing import Final

OVERVIEW: Final = """\
rasnode is a DICOM destination. It stores instances of every storage SOP class with the bytes that
were sent, answers queries, sends instances on request, and converts series to NIfTI volumes. It
does not read media."""

FLOW: Final = """\
One application entity accepts all associations. A C-STORE request is answered with success when
the instance is on stable storage; queries find it from then on. Volumes are made afterwards and
never delay a response. Storage commitment requests, MPPS, instance availability notifications and,
where configured, a C-FIND to the sender are evidence of whether a series is complete."""

STORAGE: Final = """\
Level 2 (full) conformance: every element is kept, also private ones, with the bytes and the
transfer syntax in which it was received. No attribute is coerced. The first known transfer syntax
of a presentation context is accepted. If the same SOP Instance UID is received with other bytes in
the same series, study and patient, it is answered with success, kept beside the first instance and
reported as a conflict; queries and retrievals give the first instance. The same SOP Instance UID
in another series or study, or of another patient, is a separate instance, which can be found and
retrieved. A data set that cannot be read is kept in a quarantine folder with the reason."""

MATCHING: Final = """\
- Matching follows PS3.4 C.2.2.2. Values are compared character by character and case-sensitively,
  except for person names.
- **Person names** (PN) are compared case-insensitively. A key without accents matches names with
  and without them; a key with accents matches only names that have them. If the key has an `=`, the
  alphabetic, ideographic and phonetic groups are compared one by one; else its one group may match
  any of the three. Padding and empty components at the end are ignored: `DOE^*` matches `DOE`.
- **Wildcards** `*` and `?` in AE, CS, LO, LT, PN, SH, ST, UC, UR and UT; `?` is one character,
  not one byte. `*` alone is universal matching for every VR.
- **Numbers** (IS, DS and binary VRs) are compared as numbers: `7` matches `+7` and `007`.
- **Dates and times**: a key of lower precision covers its whole day, hour, minute or second.
  Ranges of DA and TM are independent unless combined matching was negotiated. DT values without
  an offset count as UTC.
- **Several values** in a key match any of them, unless multiple value matching was negotiated;
  at most 64, except for UIDs. A key matches an attribute with several values if it matches one.
- **Sequences**: the key has one item. An entity matches if one of its items matches all keys of
  that item; the matching items are returned with the requested attributes.
- An entity without a value for an optional key does not match. {empty}
- Hierarchical queries need one value of each unique key above the level. Other keys of higher
  levels, which the standard does not allow in such queries, are matched and returned; keys of lower
  levels are not supported. Relational queries need no unique keys.
- Unsupported keys are left out of the responses, whose status is then 0xFF01.
- Every response has Retrieve AE Title, and Instance Availability (always ONLINE) if requested.
- An entity has the attributes of its first instance.
- Priorities are ignored. The order of matches is not defined."""

EMPTY_MATCHES: Final = """\
Without a value for a **required** key
  it matches any value of that key (PS3.4 C.2.2.1.2), unless `dicom.empty_matches` is false."""

EMPTY_NEVER_MATCHES: Final = """\
Nor does one without a value for a
  **required** key, which departs from PS3.4 C.2.2.1.2 (`dicom.empty_matches` is false)."""

EXTENDED_NEGOTIATION: Final = """\
| Byte of C-FIND | Meaning | Answer |
| --- | --- | --- |
| 1 | Relational queries | 1 if proposed |
| 2 | Combined date-time matching | 1 if proposed |
| 3 | Fuzzy semantic matching of person names | 0 |
| 4 | Timezone query adjustment | 0 |
| 5 | Query/Retrieve view (enhanced multi-frame conversion) | 0 |
| 6 | Empty value matching | 1 if proposed |
| 7 | Multiple value matching | 1 if proposed |

For C-MOVE and C-GET byte 1, relational retrieval, is answered 1 if proposed. SCP role selection
is accepted for storage SOP classes, for C-GET; without it no instance is sent (PS3.4 C.5.3), and
the Error Comment says so."""

STORAGE_COMMITMENT: Final = """\
**Storage Commitment** is offered to configured peers with the permission `commit`. An instance is
committed if its archived bytes still have the SHA-256 of the received ones. The report is sent on
the association of the request if it is still open, else on a new one to the configured peer; it is
tried again after 5 s to 1 h for seven days, also after a restart. Failure reasons: 0x0110 (the file
cannot be read, is missing or has changed), 0x0112 (no such instance), 0x0119 (other SOP class).

**MPPS** (N-CREATE, N-SET) keeps the state of a step and the lists of its series;
**Instance Availability Notification** (N-CREATE) keeps the lists of its series. Both are evidence
of what belongs to a series; other attributes are not kept."""

CHARACTER_SETS: Final = """\
Requests and instances are read in every character set of PS3.3 C.12.1.1.2: ISO_IR 6, 13, 100,
101, 109, 110, 126, 127, 138, 144, 148, 166, their ISO 2022 forms, ISO 2022 IR 58, 87, 149 and
159, ISO_IR 192 (UTF-8), GB18030 and GBK. Bytes that are invalid in a set become U+FFFD; an unknown
set is read as ISO_IR 100.

Responses use the default repertoire where that is enough; else the character set of the request if
it has every character; for a request without one ISO_IR 100 if that has; else ISO_IR 192."""

TRANSFORMATIONS: Final = """\
Instances are sent in the transfer syntax in which they were received if the peer accepts it,
byte for byte. Else they are converted to Explicit VR Little Endian or Implicit VR Little Endian,
whichever the peer accepts; pixel values do not change. An instance that the peer accepts in no
transfer syntax is counted as a failed sub-operation."""

SECURITY: Final = """\
- **TLS** for the DICOM port and for outgoing associations, after the BCP 195 profiles of PS3.15,
  with certificates of both sides if configured (`dicom.tls`). A peer that the node connects to has
  to show a certificate that is signed by `ca` (without `ca`: by an authority that the system
  trusts) and has its host in the Subject Alternative Name, or the one that `dicom.peers` names.
- **Access**: a peer is recognized by its AE title together with its host or certificate, and has
  the permissions of `may` (store, find, move, get, commit). A caller that only uses a peer's AE
  title does not get that peer's permissions; if the peer has a `certificate`, it is rejected.
  Unlisted callers may store, query and C-GET if `dicom.accept` is `any`, and are rejected if it is
  `known`. Instances are moved, and reports sent, to configured peers only.
- **Audit**: every operation is logged with caller, address, kind, result and time, without patient
  data."""
