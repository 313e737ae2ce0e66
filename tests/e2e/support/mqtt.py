"""MQTT as other people speak it: Paho's client made synchronous, and a raw socket for what no client
would send."""

import queue
import socket
import struct

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30
QUIET_S = 0.2  # how long nothing may come before we believe that nothing comes


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Party:
    """One client: every message, acknowledgement and end of connection is in a queue."""

    def __init__(self, node, client_id="", version=5, clean=True, user=None, password=None,
                 will=None, keepalive=60, connect=None, manual_ack=False):
        self.version = version
        self.messages = queue.Queue()
        self.published = queue.Queue()
        self.subscribed = queue.Queue()
        self.connected = queue.Queue()
        self.ended = queue.Queue()
        options = {} if version == 5 else {"clean_session": clean}
        protocol = paho.MQTTv5 if version == 5 else paho.MQTTv311
        self.paho = paho.Client(client_id=client_id, protocol=protocol, **options)
        self.paho.on_message = lambda c, u, m: self.messages.put(m)
        self.paho.on_publish = lambda c, u, mid: self.published.put(mid)
        self.paho.on_subscribe = lambda c, u, mid, granted, *p: self.subscribed.put(granted)
        self.paho.on_connect = lambda c, u, flags, rc, *p: self.connected.put((flags, rc, *p))
        self.paho.on_disconnect = lambda c, u, rc, *p: self.ended.put(rc)
        self.paho.reconnect_delay_set(PATIENCE_S, PATIENCE_S)
        if user is not None or password is not None:
            self.paho.username_pw_set(user, password)
        if will:
            self.paho.will_set(**will)
        host, port = node.mqtt()
        more = {"clean_start": clean, "properties": connect} if version == 5 else {}
        self.paho.connect(host, port, keepalive, **more)
        self.paho.loop_start()
        answer = self.connected.get(timeout=PATIENCE_S)
        self.flags, self.code = answer[0], answer[1]
        self.connack = answer[2] if len(answer) > 2 else None

    def subscribe(self, *filters, qos=1, options=None, identifier=None):
        more = {}
        if identifier:
            more["properties"] = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=identifier)
        if options:
            self.paho.subscribe([(f, options) for f in filters], **more)
        else:
            self.paho.subscribe([(f, qos if self.version != 5 else paho.SubscribeOptions(qos=qos))
                                 for f in filters], **more)
        return [int(getattr(g, "value", g)) for g in self.subscribed.get(timeout=PATIENCE_S)]

    def unsubscribe(self, topic):
        done = queue.Queue()
        self.paho.on_unsubscribe = lambda *a: done.put(a)
        self.paho.unsubscribe(topic)
        done.get(timeout=PATIENCE_S)

    def publish(self, topic, payload=b"", qos=1, retain=False, **values):
        """Returns when it is acknowledged (QoS 1) or written."""
        more = {"properties": properties(PacketTypes.PUBLISH, **values)} if values else {}
        self.paho.publish(topic, payload, qos, retain, **more).wait_for_publish(PATIENCE_S)

    def next(self, timeout_s=PATIENCE_S):
        return self.messages.get(timeout=timeout_s)

    def take(self, count):
        return [self.next() for _ in range(count)]

    def nothing(self):
        """True if no message comes. What was sent before is flushed by a round trip."""
        try:
            self.messages.get(timeout=QUIET_S)
        except queue.Empty:
            return True
        return False

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def cut(self):
        """The connection is gone without a word."""
        self.paho.loop_stop()
        self.paho._sock_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def text(v):
    v = v.encode() if isinstance(v, str) else v
    return struct.pack(">H", len(v)) + v


def varint(n):
    out = b""
    while True:
        out += bytes([n % 128 | (0x80 if n > 127 else 0)])
        n //= 128
        if n == 0:
            return out


def packet(head, body=b""):
    return bytes([head]) + varint(len(body)) + body


def connect(client_id="raw", version=5, flags=2, keepalive=60, props=b"", rest=b""):
    block = varint(len(props)) + props if version == 5 else b""
    return packet(0x10, text("MQTT") + bytes([version, flags]) + struct.pack(">H", keepalive)
                  + block + text(client_id) + rest)


class Raw:
    """A socket with packets on it."""

    def __init__(self, node, hello=b""):
        self.socket = socket.create_connection(node.mqtt(), PATIENCE_S)
        if hello:
            self.send(hello)

    def send(self, data):
        self.socket.sendall(data)

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data

    def packet(self):
        """(first byte, body); None when the server closed."""
        try:
            head = self.read(1)[0]
            length = shift = 0
            while True:
                b = self.read(1)[0]
                length |= (b & 127) << shift
                shift += 7
                if b < 128:
                    return head, self.read(length)
        except (EOFError, ConnectionResetError):
            return None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
