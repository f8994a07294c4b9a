"""What the Conformance Statement says in sentences; a change of behaviour changes them too."""

from __future__ import annotations

from typing import Final

OVERVIEW: Final = """\
rasnode is a DICOM destination. It takes instances of every storage SOP class, keeps their bytes
as they were sent, answers queries about them, hands them out again, and turns series into NIfTI
volumes. It reads no media."""

FLOW: Final = """\
One application entity takes every association. A C-STORE is answered when the instance is on
stable storage; queries see it from then on. Volumes are built afterwards and never delay an
answer. Evidence of completeness comes from storage commitment requests, MPPS, instance
availability notifications and, where configured, from asking the sender by C-FIND."""

STORAGE: Final = """\
Level 2 (full) conformance: every element is kept, private ones included, bytes and transfer
syntax as received. Nothing is coerced. Of the transfer syntaxes that a presentation context
proposes, the first that is known is accepted. The same SOP Instance with other bytes in the same
series of the same study and patient is answered with success, kept beside the first and reported
as a conflict; queries and retrievals give the first. The same SOP Instance UID in another series,
study or of another patient is an instance of its own, found and retrieved as such. What cannot be
understood is kept in a quarantine folder with the reason."""

MATCHING: Final = """\
- Matching follows PS3.4 C.2.2.2. Values are compared character by character, with regard to
  case, except for person names.
- **Person names** (PN) are compared without regard to case. A key without accents matches names
  with and without them; accents that a key has have to be there. The alphabetic, ideographic and
  phonetic groups are compared one by one if the key has an `=`; else its one group may match any
  of the three. Padding and empty components at the end do not count: `DOE^*` matches `DOE`.
- **Wildcards** `*` and `?` in AE, CS, LO, LT, PN, SH, ST, UC, UR and UT; `?` is one character,
  not one byte. `*` alone is universal matching for every VR.
- **Numbers** (IS, DS and binary VRs) are compared as numbers: `7` matches `+7` and `007`.
- **Dates and times**: a key of lower precision covers its whole day, hour, minute or second.
  Ranges of DA and TM are independent unless combined matching was negotiated. DT values without
  an offset count as UTC.
- **Several values** in a key match any of them, unless multiple value matching was negotiated;
  at most 64, but for UIDs. A key matches an attribute with several values if it matches one.
- **Sequences**: one item in the key; an entity matches if one of its items matches all keys of
  it; the matching items are returned, of them what was asked for.
- An entity without a value for an optional key does not match. {empty}
- Hierarchical queries need one value of each unique key above the level. Other keys of levels
  above, which the standard keeps out of such queries, are matched and returned; keys of levels
  below are not supported. Relational queries need no unique keys.
- Keys that are not supported are left out of the responses, whose status is then 0xFF01.
- Retrieve AE Title is in every response, Instance Availability (always ONLINE) if asked for.
- An entity has the attributes of its first instance.
- Priorities are not regarded. Matches come in no order that is promised."""

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
is accepted for storage SOP classes, for C-GET; without it no instance is sent, as PS3.4 C.5.3 has
it, and the Error Comment says so."""

STORAGE_COMMITMENT: Final = """\
**Storage Commitment** is offered to configured peers with the permission `commit`. An instance is
committed if its bytes on disk still have the SHA-256 that they had on arrival. The report comes
on the association that asked, if it is still open, else on a new one to the configured peer; it
is tried again after 5 s to 1 h for seven days, over restarts. Failure reasons: 0x0110 (the file
cannot be read, is lost or has changed), 0x0112 (not here), 0x0119 (another SOP class).

**MPPS** (N-CREATE, N-SET) keeps the state of a step and the lists of its series;
**Instance Availability Notification** (N-CREATE) the lists of its series. Both serve as evidence
of what belongs to a series; other attributes are not kept."""

CHARACTER_SETS: Final = """\
Requests and instances are read in every character set of PS3.3 C.12.1.1.2: ISO_IR 6, 13, 100,
101, 109, 110, 126, 127, 138, 144, 148, 166, their ISO 2022 forms, ISO 2022 IR 58, 87, 149 and
159, ISO_IR 192 (UTF-8), GB18030 and GBK. What a set cannot mean becomes U+FFFD; a set that is
not known is read as ISO_IR 100.

Responses are in the default repertoire where that is enough. Else they are in the character set
of the request if that can carry every value; for a request without one in ISO_IR 100 if that can;
else in ISO_IR 192."""

TRANSFORMATIONS: Final = """\
Instances are sent in the transfer syntax in which they were received if the peer accepts it,
byte for byte. Else they are decoded to Explicit VR Little Endian, or Implicit VR Little Endian,
whichever the peer accepts; pixel values are not changed otherwise. An instance that can be sent
in no way is counted as a failed sub-operation."""

SECURITY: Final = """\
- **TLS** for the DICOM port and for outgoing associations, after the BCP 195 profiles of PS3.15,
  with certificates of both sides if configured (`dicom.tls`). A peer that is connected to has to
  show a certificate that `ca` signed (without `ca`: an authority that the system trusts), with its
  host in the Subject Alternative Name, or the certificate that `dicom.peers` names.
- **Access**: AE titles of peers, with their hosts or certificates, and for each what it may ask
  for (`may`: store, find, move, get, commit). Who only has a peer's title has none of its rights; a
  title whose peer has a `certificate` is rejected without it. Callers that are not configured may
  store, find and get, if `dicom.accept` is `any`, and are rejected if it is `known`. Data are
  moved, and reports sent, to configured peers only.
- **Audit**: every operation is logged with caller, address, kind, result and time, without
  identifiers of patients."""
