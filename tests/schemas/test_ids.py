"""Ids follow from their causes, as UUIDv5 says."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import NAMESPACE, derived_id, is_uuid


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_derived_id_is_the_uuid5_of_its_parts(parts: list[str]) -> None:
    assert derived_id(*parts) == str(uuid.uuid5(NAMESPACE, "/".join(parts)))
    assert is_uuid(derived_id(*parts))


def test_only_the_canonical_form_is_a_uuid() -> None:
    sound = derived_id("a")

    assert not any(
        is_uuid(text)
        for text in (
            "",
            sound.upper(),
            sound + "\n",
            sound.replace("-", ""),
            f"{{{sound}}}",
            sound[:-1] + "g",
        )
    )
