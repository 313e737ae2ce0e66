"""The broker as other people's clients meet it: mosquitto's tools and Paho, MQTT 3.1.1 and 5.0.

What the standard's sentences demand is named by its number where a test is about one of them.
"""

import json
import struct
import subprocess

import pytest
from conftest import wait_until
from paho.mqtt.client import SubscribeOptions
from paho.mqtt.packettypes import PacketTypes
from support.mqtt import PATIENCE_S, Party, Raw, connect, packet, properties, text

CONFIG = """name: line1
modules: [broker, api]
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
"""

both = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def node(start_node):
    return start_node(CONFIG)


def mosquitto(program, node, *arguments, **more):
    host, port = node.mqtt()
    return subprocess.Popen([f"mosquitto_{program}", "-h", host, "-p", str(port),
                             *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **more)


def pub(node, *arguments):
    done = mosquitto("pub", node, *arguments)
    out, err = done.communicate(timeout=PATIENCE_S)
    assert done.returncode == 0, (arguments, out, err)


# ------------------------------------------------------------------------------- mosquitto's tools


@pytest.mark.parametrize("v", ["311", "5"])
@pytest.mark.parametrize("qos", [0, 1])
def test_mosquitto_publishes_and_subscribes(node, v, qos):
    sub = mosquitto("sub", node, "-V", v, "-t", "plant/+/t", "-q", qos, "-C", 3, "-v")
    with Party(node, "probe") as probe:
        probe.subscribe("$SYS/none")
        # The subscription is there when a retained message published later reaches it.
        pub(node, "-V", v, "-t", "plant/0/t", "-m", "kept", "-r", "-q", 1)
        for i in (1, 2):
            pub(node, "-V", v, "-t", f"plant/{i}/t", "-m", f"value {i}", "-q", qos)

        def more():
            probe.publish("plant/3/t", "last", qos=1)
            return sub.poll() is not None

        wait_until(more, "mosquitto_sub to have its messages")
    out = sub.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert len(out) == 3 and sub.returncode == 0
    assert set(out) <= {"plant/0/t kept", "plant/1/t value 1", "plant/2/t value 2",
                        "plant/3/t last"}


def test_mosquitto_gets_what_is_retained_and_its_removal(node):
    pub(node, "-t", "r/1", "-m", "one", "-r", "-q", 1)
    pub(node, "-t", "r/2", "-m", "two", "-r", "-q", 1)
    pub(node, "-t", "r/2", "-n", "-r", "-q", 1)
    sub = mosquitto("sub", node, "-t", "r/#", "-C", 1, "-F", "%t %p %r")
    assert sub.communicate(timeout=PATIENCE_S)[0] == "r/1 one 1\n"


def test_a_large_payload_goes_through_whole(node, tmp_path):
    payload = bytes(i * 7 % 256 for i in range(1_000_000))
    (tmp_path / "large").write_bytes(payload)
    with Party(node, "big") as party:
        party.subscribe("large")
        pub(node, "-t", "large", "-f", tmp_path / "large", "-q", 1)
        assert party.next().payload == payload
        party.publish("large", b"")
        assert party.next().payload == b""


# ------------------------------------------------------------------------------------ both versions


@both
def test_wildcards_reach_what_they_should(node, version):
    names = ["a", "a/b", "a/b/c", "/a", "a/", "b/b"]
    wanted = {"#": set(names), "+": {"a"}, "a/#": {"a", "a/b", "a/b/c", "a/"},
              "a/+": {"a/b", "a/"}, "+/b": {"a/b", "b/b"}, "+/+": {"a/b", "/a", "a/", "b/b"},
              "/+": {"/a"}, "a/b/c": {"a/b/c"}}
    with Party(node, "source", version) as source:
        for n, (wildcard, matching) in enumerate(wanted.items()):
            with Party(node, f"sink{n}", version) as sink:
                assert sink.subscribe(wildcard, "end") == [1, 1]
                for name in names:
                    source.publish(name, name)
                source.publish("end")
                got = set()
                while (message := sink.next()).topic != "end":
                    got.add(message.topic)
                assert got == matching, wildcard


@both
def test_order_is_kept(node, version):
    with Party(node, "source", version) as source, Party(node, "sink", version) as sink:
        sink.subscribe("seq")
        for i in range(500):
            source.paho.publish("seq", str(i), 1)
        assert [int(m.payload) for m in sink.take(500)] == list(range(500))


@both
def test_overlapping_subscriptions_give_one_copy_with_the_highest_qos(node, version):
    with Party(node, "x", version) as party:
        party.subscribe("o/+", qos=0)
        party.subscribe("o/1", qos=1)
        party.publish("o/1", "once")
        assert party.next().qos == 1
        party.publish("o/2", "then")
        assert party.next().payload == b"then"


@both
def test_subscriptions_are_granted_at_most_qos_1(node, version):
    with Party(node, "x", version) as party:
        assert party.subscribe("a", qos=2) == [1]


@both
def test_a_dollar_topic_is_hidden_from_wildcards(node, version):  # [MQTT-4.7.2-1]
    with Party(node, "x", version) as party:
        party.subscribe("#", "+/x")
        party.publish("$mine/x", "hidden")
        party.publish("seen", "seen")
        assert party.next().topic == "seen"
        party.subscribe("$mine/#")
        party.publish("$mine/x", "asked for")
        assert party.next().payload == b"asked for"


@both
def test_a_session_keeps_messages_while_its_client_is_away(node, version):
    keep = properties(PacketTypes.CONNECT, SessionExpiryInterval=60) if version == 5 else None
    first = Party(node, "sleeper", version, clean=False, connect=keep)
    assert not first.flags["session present"]
    first.subscribe("q/#")
    first.close()
    with Party(node, "source", version) as source:
        for i in range(100):
            source.publish("q/x", str(i), qos=1)
        source.publish("q/x", "qos 0 is not kept", qos=0)
        source.publish("q/x", "100")
    with Party(node, "sleeper", version, clean=False, connect=keep) as again:
        assert again.flags["session present"]
        assert [int(m.payload) for m in again.take(101)] == list(range(101))
    with Party(node, "sleeper", version, clean=True) as fresh:
        assert not fresh.flags["session present"]
        fresh.publish("q/x", "nobody is subscribed any more")
        assert fresh.nothing()


@both
def test_a_clean_session_ends_with_its_connection(node, version):
    Party(node, "c", version, clean=True).close()
    with Party(node, "c", version, clean=False) as again:
        assert not again.flags["session present"]


@both
def test_a_second_connection_takes_the_session_over(node, version):  # [MQTT-3.1.4-3]
    first = Party(node, "same", version)
    with Party(node, "same", version) as second:
        first.ended.get(timeout=PATIENCE_S)
        second.subscribe("alive")
        second.publish("alive", "yes")
        assert second.next().payload == b"yes"
    first.paho.loop_stop()


@both
def test_a_will_is_sent_for_who_vanishes_and_not_for_who_says_good_bye(node, version):
    will = {"topic": "gone", "payload": "vanished", "qos": 1, "retain": False}
    with Party(node, "watch", version) as watch:
        watch.subscribe("gone")
        polite = Party(node, "polite", version, will=will)
        polite.close()
        rude = Party(node, "rude", version, will=dict(will, payload="rude"))
        rude.cut()
        assert watch.next().payload == b"rude"
        assert watch.nothing()


@both
def test_retained_messages_come_with_the_flag_only_to_new_subscriptions(node, version):
    with Party(node, "a", version) as a, Party(node, "b", version) as b:
        a.subscribe("state")
        b.publish("state", "on", retain=True)
        assert not a.next().retain
        b.subscribe("state")
        message = b.next()
        assert message.retain and message.payload == b"on"
        b.publish("state", b"", retain=True)
        assert b.next().payload == b""
        with Party(node, "c", version) as c:
            c.subscribe("state")
            assert c.nothing()


def test_retained_messages_survive_a_restart(node):
    with Party(node, "a") as a:
        a.publish("state/1", "kept", retain=True, UserProperty=("k", "v"))
        a.publish("state/2", "removed", retain=True)
        a.publish("state/2", b"", retain=True)
        for i in range(200):
            a.publish("state/fast", str(i), retain=True)
    node.stop()
    node.start()
    with Party(node, "b") as b:
        b.subscribe("state/#")
        got = {m.topic: m for m in b.take(2)}
        assert got["state/1"].payload == b"kept"
        assert got["state/1"].properties.UserProperty == [("k", "v")]
        assert got["state/fast"].payload == b"199"
        assert b.nothing()


# ------------------------------------------------------------------------------------------- 5.0


def test_properties_are_passed_on(node):
    with Party(node, "a") as a, Party(node, "b", 4) as old:
        a.subscribe("p")
        old.subscribe("p")
        a.publish("p", "{}", UserProperty=[("k", "1"), ("k", "2")], ResponseTopic="re/ply",
                  CorrelationData=b"\x00\xff", ContentType="json", PayloadFormatIndicator=1,
                  MessageExpiryInterval=60)
        got = a.next().properties
        assert got.UserProperty == [("k", "1"), ("k", "2")]
        assert got.ResponseTopic == "re/ply" and got.CorrelationData == b"\x00\xff"
        assert got.ContentType == "json" and got.PayloadFormatIndicator == 1
        assert 58 <= got.MessageExpiryInterval <= 60
        assert old.next().payload == b"{}"


def test_connack_says_what_there_is(node):
    with Party(node, "") as party:
        said = party.connack
        assert said.MaximumQoS == 1 and said.SharedSubscriptionAvailable == 0
        assert said.AssignedClientIdentifier.startswith("auto-")
        assert said.ReceiveMaximum == 1024 and said.MaximumPacketSize == 1 << 20


def test_subscription_identifiers_come_back(node):  # [MQTT-3.3.4-3]
    with Party(node, "x") as party:
        party.subscribe("s/#", identifier=7)
        party.subscribe("s/1", identifier=9)
        party.publish("s/1", "x")
        assert sorted(party.next().properties.SubscriptionIdentifier) == [7, 9]
        party.publish("s/2", "x")
        assert party.next().properties.SubscriptionIdentifier == [7]


def test_no_local_and_retain_as_published(node):
    with Party(node, "x") as x, Party(node, "y") as y:
        x.subscribe("t", options=SubscribeOptions(qos=1, noLocal=True))
        y.subscribe("t", options=SubscribeOptions(qos=1, retainAsPublished=True))
        x.publish("t", "mine", retain=True)
        assert y.next().retain
        y.publish("t", "yours")
        assert x.next().payload == b"yours"
        assert not y.next().retain


@pytest.mark.parametrize("handling, first, second", [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling(node, handling, first, second):
    with Party(node, "x") as x:
        x.publish("kept", "kept", retain=True)
        for count in (first, second):
            x.subscribe("kept", options=SubscribeOptions(qos=1, retainHandling=handling))
            assert [m.payload for m in x.take(count)] == [b"kept"] * count
            assert x.nothing()


def test_a_message_that_expired_is_not_delivered(node):
    keep = properties(PacketTypes.CONNECT, SessionExpiryInterval=60)
    first = Party(node, "late", clean=False, connect=keep)
    first.subscribe("e")
    first.close()
    with Party(node, "source") as source:
        source.publish("e", "expires", MessageExpiryInterval=1)
        source.publish("e", "stays", MessageExpiryInterval=100)
        source.publish("kept", "expires", retain=True, MessageExpiryInterval=1)

        def expired():
            source.subscribe("kept")
            return source.nothing()

        wait_until(expired, "the retained message to expire")
    with Party(node, "late", clean=False, connect=keep) as again:
        assert again.next().payload == b"stays"


def test_a_session_expires(start_node):
    node = start_node(CONFIG + "broker: {sys_interval: 100ms}\n")
    brief = properties(PacketTypes.CONNECT, SessionExpiryInterval=1)
    with Party(node, "watch") as watch:
        watch.subscribe("$SYS/broker/clients/total")
        Party(node, "brief", clean=False, connect=brief).close()
        wait_until(lambda: watch.next().payload == b"2", "two sessions")
        wait_until(lambda: watch.next().payload == b"1", "the brief one to be forgotten")
    with Party(node, "brief", clean=False, connect=brief) as again:
        assert not again.flags["session present"]


def test_a_will_waits_for_its_delay(node):
    keep = properties(PacketTypes.CONNECT, SessionExpiryInterval=60)
    will = {"topic": "gone", "payload": "late", "qos": 1,
            "properties": properties(PacketTypes.WILLMESSAGE, WillDelayInterval=2)}
    with Party(node, "watch") as watch:
        watch.subscribe("gone")
        first = Party(node, "back", clean=False, connect=keep, will=will)
        first.cut()
        back = Party(node, "back", clean=False, connect=keep, will=dict(will, payload="later"))
        back.cut()
        assert watch.next().payload == b"later"
        assert watch.nothing()


def test_a_shared_subscription_is_refused(node):
    with Party(node, "x") as party:
        assert party.subscribe("fine", "$share/group/t") == [1, 0x9e]


def test_unsubscribing_ends_it(node):
    with Party(node, "x") as party:
        party.subscribe("t", "end")
        party.unsubscribe("t")
        party.publish("t", "unheard")
        party.publish("end", "heard")
        assert party.next().topic == "end"


def test_receive_maximum_of_a_client_is_respected(node):  # [MQTT-3.3.4-9]
    hello = connect("slow", props=b"\x21\x00\x03") + packet(0x82, b"\0\1\0" + text("t") + b"\1")
    with Raw(node, hello) as raw, Party(node, "source") as source:
        assert raw.packet()[0] == 0x20 and raw.packet()[0] == 0x90
        for i in range(10):
            source.publish("t", str(i))
        seen = [raw.packet()[1] for _ in range(3)]
        raw.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            raw.packet()
        raw.socket.settimeout(PATIENCE_S)
        for i in range(10):
            raw.send(packet(0x40, seen[i][3:5]))
            if len(seen) < 10:
                seen.append(raw.packet()[1])
        assert [int(body[6:]) for body in seen] == list(range(10))


def test_what_is_larger_than_a_client_takes_is_left_out(node):  # [MQTT-3.1.2-25]
    small = properties(PacketTypes.CONNECT, MaximumPacketSize=100)
    with Party(node, "small", connect=small) as party, Party(node, "source") as source:
        party.subscribe("t")
        source.publish("t", "x" * 200)
        source.publish("t", "fits")
        assert party.next().payload == b"fits"


def test_in_flight_messages_come_again_with_dup(node):  # [MQTT-4.4.0-1]
    hello = connect("dup", flags=0, props=b"\x11" + struct.pack(">I", 60))
    with Raw(node, hello + packet(0x82, b"\0\1\0" + text("t") + b"\1")) as raw:
        assert raw.packet()[0] == 0x20 and raw.packet()[0] == 0x90
        with Party(node, "source") as source:
            for i in range(3):
                source.publish("t", str(i))
        first = [raw.packet() for _ in range(3)]
        assert [head for head, _ in first] == [0x32] * 3
        raw.send(packet(0x40, first[0][1][3:5]))
        raw.send(packet(0xc0))
        assert raw.packet()[0] == 0xd0
    with Raw(node, hello) as raw:
        assert raw.packet() is not None
        again = [raw.packet() for _ in range(2)]
        assert [head for head, _ in again] == [0x3a] * 2
        assert [body for _, body in again] == [body for _, body in first[1:]]


# -------------------------------------------------------------------------------------- who may what


def test_a_wrong_password_is_refused(node):
    for version, code in ((5, 0x86), (4, 4)):
        refused = Party(node, "x", version, user="engineer", password="wrong")
        assert getattr(refused.code, "value", refused.code) == code
        refused.paho.loop_stop()


@pytest.mark.parametrize("topic", ["plant1/press1/fast/set", "set/set", "$SYS/broker/uptime"])
def test_writing_needs_an_engineer(node, topic):
    with Raw(node, connect("anon") + packet(0x32, text(topic) + b"\0\1\0" + b'{"a": 1}')) as raw:
        assert raw.packet()[0] == 0x20
        head, body = raw.packet()
        assert (head, body[:3]) == (0x40, b"\0\1\x87")
    wait_until(lambda: "may not publish" in node.output, "the refusal in the log")


def test_a_write_is_answered_with_its_correlation(node):
    with Party(node, "hmi", user="engineer", password=node.token) as hmi:
        hmi.subscribe("answers/hmi")
        hmi.publish("plant1/press1/fast/set", json.dumps({"setpoint": 5}),
                    ResponseTopic="answers/hmi", CorrelationData=b"\x01\x02")
        answer = hmi.next()
        assert answer.properties.CorrelationData == b"\x01\x02"
        (what,) = json.loads(answer.payload).values()
        assert "error" in what and what["text"]
        for bad in (b"5", b"{", b"[]", b"{}"):
            hmi.publish("plant1/press1/fast/set", bad, ResponseTopic="answers/hmi")
            (what,) = json.loads(hmi.next().payload).values()
            assert what["error"] and what["text"]


def test_another_user_cannot_take_a_session(node):
    with Party(node, "mine", user="engineer", password=node.token):
        stranger = Party(node, "mine")
        assert stranger.code.value == 0x87
        stranger.paho.loop_stop()


def test_sys_topics_tell_about_the_broker(start_node):
    node = start_node(CONFIG + "broker: {sys_interval: 100ms}\n")
    with Party(node, "x") as party:
        party.subscribe("$SYS/broker/clients/connected")
        assert int(party.next().payload) >= 1


def test_an_unknown_option_is_named_with_its_place(start_node):
    with pytest.raises(AssertionError) as problem:
        start_node(CONFIG + "broker: {queue_message_max: 4}\n")
    assert "queue_messages_max" in str(problem.value)
