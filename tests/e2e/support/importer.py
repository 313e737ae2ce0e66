"""An MQTT 5.0 publisher of a group's past: many messages on their way, and what a PUBACK says."""

import json
import struct

from support.mqtt import Raw, packet, text

PUBACK = 0x40
REASON_STRING = 31
WINDOW = 64


def hello(token, user="import"):
    login = text(user) + text(token) if token else b""
    flags = 0x02 | (0xC0 if token else 0)
    body = text("MQTT") + bytes([5, flags]) + struct.pack(">H", 60) + b"\0" + text("importer")
    return packet(0x10, body + login)


def publish_packet(topic, payload, packet_id):
    return packet(0x32, text(topic) + struct.pack(">H", packet_id) + b"\0" + payload)


def puback(body):
    """(packet identifier, reason code, reason string)"""
    (packet_id,) = struct.unpack(">H", body[:2])
    reason = body[2] if len(body) > 2 else 0
    words = ""
    if len(body) > 4 and body[4] == REASON_STRING:
        words = body[7:].decode()
    return packet_id, reason, words


class Importer:
    def __init__(self, node, topic, token=None):
        self.topic = topic
        self.raw = Raw(node, hello(node.token if token is None else token))
        self.connack = self.raw.packet()
        self.next_id = 0

    def send(self, payload, topic=None):
        """Its packet identifier."""
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        self.next_id = self.next_id % 65535 + 1
        self.raw.send(publish_packet(topic or self.topic, payload, self.next_id))
        return self.next_id

    def acked(self):
        """The next (packet identifier, reason, words); None when the connection is gone."""
        answer = self.raw.packet()
        if answer is None:
            return None
        assert answer[0] == PUBACK, answer
        return puback(answer[1])

    def put(self, payload, topic=None):
        """Sends one and waits: (reason, words)."""
        sent = self.send(payload, topic)
        packet_id, reason, words = self.acked()
        assert packet_id == sent
        return reason, words

    def put_all(self, payloads):
        """Several on their way at a time; all must be taken."""
        waiting = 0
        for payload in payloads:
            self.send(payload)
            waiting += 1
            if waiting == WINDOW:
                assert self.acked()[1] == 0
                waiting -= 1
        for _ in range(waiting):
            assert self.acked()[1] == 0

    def close(self):
        self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
