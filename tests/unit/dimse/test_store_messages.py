"""The short ways to read and to answer a C-STORE-RQ say what the long ones do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.dimse.scp.store.store_messages import (
    CommandReader,
    StoreAnswer,
    StoreCommand,
    StoreRequest,
    response,
    stored,
)
from node.dimse.upper_layer.messages import C_STORE_RQ, DATA_SET, Value, encode_command

UIDS = st.one_of(
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,12}){0,4}", fullmatch=True),
    st.text(alphabet="1.\0 \xe9x", max_size=70),
)
COMMANDS = st.fixed_dictionaries(
    {
        "AffectedSOPClassUID": st.sampled_from(["1.2.840.10008.5.1.4.1.1.2", "1.2.3", ""]),
        "AffectedSOPInstanceUID": UIDS,
        "MessageID": st.integers(0, 0xFFFF),
        "Priority": st.sampled_from([0, 1]),
    },
    optional={
        "MoveOriginatorMessageID": st.just(7),
        "MoveOriginatorApplicationEntityTitle": st.sampled_from(["A", "OTHER"]),
    },
)


@given(st.lists(COMMANDS, min_size=1, max_size=6))
def test_a_request_says_the_same_after_others(commands: list[dict[str, Value]]) -> None:
    reader = CommandReader()
    for command in commands:
        whole = {**command, "CommandField": C_STORE_RQ, "CommandDataSetType": DATA_SET}
        encoded = encode_command(whole)
        assert reader.read(encoded) == CommandReader().read(encoded)


def test_a_request_like_the_last_is_read_again() -> None:
    reader = CommandReader()
    for number in (1, 2, 300, 65535):
        command: dict[str, Value] = {
            "AffectedSOPClassUID": "1.2.3",
            "CommandField": C_STORE_RQ,
            "MessageID": number,
            "CommandDataSetType": DATA_SET,
            "AffectedSOPInstanceUID": f"1.9.{number}",
        }
        assert reader.read(encode_command(command)) == StoreCommand(
            number, "1.2.3", f"1.9.{number}"
        )


@given(st.integers(0, 127), st.integers(0, 0xFFFF), UIDS, UIDS)
def test_0000_is_said_as_any_other_status(
    context: int, message_id: int, sop_class: str, sop_instance: str
) -> None:
    request = StoreRequest(
        2 * context + 1, message_id, sop_class, sop_instance, "1.2.840.10008.1.2"
    )
    assert stored(request) == response(request, StoreAnswer(0x0000))
