"""What no client sends: packets that break the standard, come byte by byte, or too large."""

import struct

import pytest
from support.mqtt import PATIENCE_S, Party, Raw, connect, packet, text

CONFIG = """name: line1
modules: [broker, api]
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
broker: {packet_bytes_max: 64k, connect_timeout: 500ms, receive_maximum: 4}
"""


@pytest.fixture
def node(start_node):
    return start_node(CONFIG)


def disconnected(raw):
    """The reason of the DISCONNECT that ends this, 0 if it ended without."""
    reason = 0
    while (got := raw.packet()) is not None:
        if got[0] == 0xe0:
            reason = got[1][0] if got[1] else 0
    return reason


@pytest.mark.parametrize("first", [
    b"\x30\x03\0\1a", b"\xc0\0", b"\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\xff",
    b"\x10\xff\xff\xff\x7f", b"\x11\x00", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
])
def test_who_does_not_begin_with_connect_is_closed(node, first):  # [MQTT-3.1.0-1]
    with Raw(node, first) as raw:
        assert raw.packet() is None or raw.packet() is None


def test_an_old_version_is_refused_in_its_own_words(node):
    with Raw(node, packet(0x10, text("MQIsdp") + b"\x03\x02\0\x3c" + text("x"))) as raw:
        assert raw.packet() == (0x20, b"\0\1")
    with Raw(node, packet(0x10, text("MQTT") + b"\x06\x02\0\x3c\0" + text("x"))) as raw:
        assert raw.packet() == (0x20, b"\0\x84\0")


def test_silence_instead_of_connect_is_not_waited_for(node):
    with Raw(node) as raw:
        assert raw.packet() is None


@pytest.mark.parametrize("bad, reason", [
    (connect(), 0x82),  # [MQTT-3.1.0-2]
    (packet(0x36, text("a") + b"\0\1\0"), 0x81),
    (packet(0x34, text("a") + b"\0\1\0"), 0x9b),
    (packet(0x30, text("a/#") + b"\0"), 0x90),
    (packet(0x30, text("") + b"\0"), 0x82),
    (packet(0x30, text("") + b"\3\x23\0\1"), 0x82),
    (packet(0x30, text("a") + b"\3\x23\0\0"), 0x94),
    (packet(0x30, text("a") + b"\3\x23\xff\xff"), 0x94),
    (packet(0x30, text("a") + b"\2\x0b\1"), 0x82),
    (packet(0x80, b"\0\1\0" + text("a") + b"\0"), 0x81),
    (packet(0x82, b"\0\1\0"), 0x82),
    (packet(0x82, b"\0\0\0" + text("a") + b"\0"), 0x82),
    (packet(0x60, b"\0\1"), 0x81),
    (packet(0x62, b"\0\1"), 0x82),
    (packet(0x20, b"\0\0\0"), 0x82),
    (packet(0xf0, b"\x19\0"), 0x82),
    (b"\x30\xff\xff\xff\x01", 0x95),
    (b"\x30\xff\xff\xff\xff\x01", 0x81),
])
def test_breaking_the_protocol_ends_with_its_reason(node, bad, reason):
    with Raw(node, connect() + bad) as raw:
        assert disconnected(raw) == reason
    with Party(node, "next") as party:  # and nobody else has noticed
        party.subscribe("t")
        party.publish("t", "alive")
        assert party.next().payload == b"alive"


def test_who_loses_his_session_hears_why(node):
    with Raw(node, connect("same")) as first:
        assert first.packet()[0] == 0x20
        with Raw(node, connect("same")) as second:
            assert second.packet()[0] == 0x20
            assert disconnected(first) == 0x8e


def test_each_filter_gets_its_own_answer(node):
    filters = [b"fine", b"a/b#", b"#/a", b"", b"a+", b"$share/g/t", b"+/+/#"]
    ask = packet(0x82, b"\0\1\0" + b"".join(text(f) + b"\1" for f in filters))
    with Raw(node, connect() + ask) as raw:
        assert raw.packet()[0] == 0x20
        assert raw.packet() == (0x90, b"\0\1\0\1\x8f\x8f\x8f\x8f\x9e\1")


def test_one_byte_at_a_time(node):
    with Party(node, "sink") as sink:
        sink.subscribe("slow")
        stream = connect("slow") + packet(0x32, text("slow") + b"\0\7\0" + b"payload")
        with Raw(node) as raw:
            raw.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
            for byte in stream:
                raw.send(bytes([byte]))
            assert raw.packet()[0] == 0x20
            assert raw.packet() == (0x40, b"\0\7")
        assert sink.next().payload == b"payload"


def test_many_packets_in_one_write(node):
    stream = connect("burst") + b"".join(
        packet(0x30, text("t") + b"\0" + b"%d" % i) for i in range(1000)) + packet(0xc0)
    with Party(node, "sink") as sink:
        sink.subscribe("t")
        with Raw(node, stream) as raw:
            assert raw.packet()[0] == 0x20 and raw.packet()[0] == 0xd0
        assert [int(m.payload) for m in sink.take(1000)] == list(range(1000))


def test_a_topic_alias_stands_for_its_topic(node):
    with Party(node, "sink") as sink:
        sink.subscribe("long/topic")
        stream = connect("alias") + packet(0x30, text("long/topic") + b"\3\x23\0\5" + b"1")
        stream += packet(0x32, text("") + b"\0\1\3\x23\0\5" + b"2")
        with Raw(node, stream) as raw:
            assert raw.packet()[0] == 0x20 and raw.packet() == (0x40, b"\0\1")
        assert [m.payload for m in sink.take(2)] == [b"1", b"2"]


def test_silence_beyond_the_keep_alive_ends_it(node):  # [MQTT-3.1.2-22]
    with Raw(node, connect("quiet", keepalive=1)) as raw:
        assert raw.packet()[0] == 0x20
        assert disconnected(raw) == 0x8d


def test_pings_keep_it_alive(node):
    with Raw(node, connect("pings", keepalive=1)) as raw:
        assert raw.packet()[0] == 0x20
        raw.socket.settimeout(0.5)
        for _ in range(6):
            raw.send(packet(0xc0))
            assert raw.packet() == (0xd0, b"")
            with pytest.raises(TimeoutError):
                raw.read(1)


def test_a_payload_that_is_not_what_it_says_is_refused(node):
    body = text("t") + b"\0\1" + b"\2\x01\x01" + b"\xff\xfe"
    with Raw(node, connect("utf8") + packet(0x32, body)) as raw:
        assert raw.packet()[0] == 0x20 and raw.packet() == (0x40, b"\0\1\x99")


def test_a_session_may_not_be_brought_to_life_by_disconnect(node):
    bye = packet(0xe0, b"\0\5\x11" + struct.pack(">I", 60))
    with Raw(node, connect() + bye) as raw:
        assert disconnected(raw) == 0x82


def test_the_will_comes_when_it_is_asked_for(node):
    hello = connect("w", flags=0x06, rest=b"\0" + text("gone") + text("asked"))
    with Party(node, "watch") as watch:
        watch.subscribe("gone")
        with Raw(node, hello + packet(0xe0, b"\4")) as raw:
            assert raw.packet()[0] == 0x20
            assert watch.next(PATIENCE_S).payload == b"asked"
        with Raw(node, hello + packet(0xe0)) as raw:
            assert raw.packet()[0] == 0x20
            assert raw.packet() is None
        assert watch.nothing()
