"""Which reactions go, and what their own person reads of them."""

from __future__ import annotations

import pytest

from sender.reactions import ReactionsSent
from shared.codec import control
from shared.reactions import SECONDS_APART
from shared.transport.link import Channel


def accepted() -> ReactionsSent:
    reactions = ReactionsSent()
    reactions.accepted = True
    return reactions


def numbers(reactions: ReactionsSent) -> list[int]:
    messages = reactions.messages()
    assert all(channel is Channel.CONTROL for channel, _ in messages)
    read = [control.unpack_control(data) for _, data in messages]
    return [each.number for each in read if isinstance(each, control.Reaction)]


def test_a_key_goes_over_once_and_the_user_reads_what_becomes_of_it() -> None:
    reactions = accepted()
    assert reactions.line(0.0) == ""
    reactions.react(3, 10.0)
    assert reactions.line(10.0) == "your reaction: surprise"
    assert numbers(reactions) == [3] and numbers(reactions) == []
    reactions.told("performs: anger", 10.4)  # of which nothing is known here
    assert reactions.line(10.5) == "your reaction: surprise"
    assert reactions.line(14.0) == ""
    reactions.told("performs: surprise", 15.0)  # the link is slow
    assert reactions.line(15.5) == "they see your reaction: surprise"
    assert reactions.line(18.1) == ""
    reactions.told("performs: surprise", 19.0)  # it says so once
    assert reactions.line(19.0) == ""


def test_soon_after_another_none_goes() -> None:
    reactions = accepted()
    for now in (10.0, 10.1, 10.0 + SECONDS_APART):
        reactions.react(1, now)
    assert numbers(reactions) == [1] and reactions.sent == 1
    reactions.react(2, 13.0)
    assert numbers(reactions) == [2]


def test_a_side_that_takes_none_is_sent_none() -> None:
    reactions = ReactionsSent()
    reactions.react(1, 10.0)
    assert numbers(reactions) == [] and reactions.sent == 0
    assert reactions.line(10.0) == "the other side takes no reactions"
    reactions.told("performs: happiness", 10.0)
    assert reactions.line(10.0) == "the other side takes no reactions"


def test_a_number_without_an_expression_is_refused() -> None:
    for number in (0, 7):
        with pytest.raises(ValueError, match="from 1 to 6"):
            accepted().react(number, 0.0)
