"""The attributes that the index keeps are those of the standard."""

from __future__ import annotations

from pydicom.datadict import dictionary_VR, tag_for_keyword

from node.core.query_keys import ATTRIBUTES, DERIVED


def test_tags_and_value_representations_are_those_of_the_standard() -> None:
    for attribute in (*ATTRIBUTES, *DERIVED):
        assert tag_for_keyword(attribute.keyword) == attribute.tag
        assert dictionary_VR(attribute.tag) == attribute.vr
