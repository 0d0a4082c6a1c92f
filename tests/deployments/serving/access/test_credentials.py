import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.serving.access.credentials import token_of


@given(token=st.from_regex(rb"[A-Za-z0-9_-]{1,80}", fullmatch=True), user=st.from_regex(rb"[a-z]{0,9}", fullmatch=True))
def test_a_token_is_found_wherever_a_client_can_put_it(token, user):
    pair = base64.b64encode(user + b":" + token)
    assert token_of({b"authorization": b"Bearer " + token}) == token
    assert token_of({b"authorization": b"bEaReR  " + token + b" "}) == token
    assert token_of({b"x-api-key": token}) == token
    assert token_of({b"authorization": b"Basic " + pair}) == token


@given(value=st.binary(max_size=60))
def test_whatever_is_sent_it_is_a_token_or_none(value):
    for header in (b"authorization", b"x-api-key"):
        assert isinstance(token_of({header: value}), bytes)
    assert isinstance(token_of({b"authorization": b"Basic " + value}), bytes)


@pytest.mark.parametrize("value", [b"", b"Basic", b"Basic ####", b"Basic dXNlcg==", b"Digest a", b"abc", b"Bearer"])
def test_what_is_no_token_is_none(value):
    assert token_of({b"authorization": value}) == b""


def test_the_header_of_our_own_goes_first():
    assert token_of({b"authorization": b"Basic cHJveHk6cHJveHk=", b"x-api-key": b"ours"}) == b"ours"
