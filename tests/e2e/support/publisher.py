"""An MQTT publisher that keeps a ledger of what the broker acknowledged.

Every connection is a new session of a new client, so nothing is sent again behind our back: what a
lost connection leaves unacknowledged is sent once more, and then given up. A message that was sent
but never acknowledged may therefore be stored 0, 1 or 2 times, an acknowledged one 1 or 2 times.
"""

import collections
import json
import threading
import time

import paho.mqtt.client as mqtt

IN_FLIGHT_MAX = 10
CONNECT_PATIENCE_S = 2.0


def value_of(client, seq):
    """A value that no other (client, sequence) has."""
    return client * 1_000_000_000 + seq * 17


class Connection:
    """One session, from CONNECT to the end of the link."""

    def __init__(self, address, client_id):
        self.ended = threading.Event()
        self.up = threading.Event()
        self.acked = collections.deque()
        self.client = mqtt.Client(client_id=client_id, clean_session=True)
        self.client.on_connect = lambda *_: self.up.set()
        self.client.on_publish = lambda _client, _data, mid: self.acked.append(mid)
        self.client.on_disconnect = lambda *_: self.ended.set()
        self.client.max_inflight_messages_set(IN_FLIGHT_MAX)
        self.client.connect(*address, keepalive=5)
        # One pass of the loop at a time, on our own thread: no thread of paho's reconnects for us.

    def turn(self, timeout_s=0.05):
        if self.client.loop(timeout_s) != mqtt.MQTT_ERR_SUCCESS:
            self.ended.set()
        return not self.ended.is_set()


class Publisher(threading.Thread):
    """Publishes {"client", "seq", "value"} at QoS 1 until stopped; `address()` says where."""

    def __init__(self, address, topic, client, rate):
        super().__init__(daemon=True)
        self.address = address
        self.topic = topic
        self.number = client
        self.rate = rate  # new messages a second, at most
        self.next_seq = 0
        self.sent = set()
        self.acked = set()
        self.again = collections.deque()
        self.connections = 0
        self.in_flight = {}
        self._resent = set()
        self._began = time.monotonic()
        self._stopping = threading.Event()

    def run(self):
        while not self._stopping.is_set():
            try:
                connection = Connection(self.address(), f"ledger-{self.number}-{self.connections}")
            except (OSError, KeyError):
                self._stopping.wait(0.1)
                continue
            self.connections += 1
            self._serve(connection)

    def _serve(self, connection):
        in_flight = self.in_flight = {}
        stopping = False
        while connection.turn() and not (stopping and not in_flight):
            while connection.acked:
                seq = in_flight.pop(connection.acked.popleft(), None)
                if seq is not None:
                    self.acked.add(seq)
            stopping = self._stopping.is_set()
            if connection.up.is_set() and not stopping:
                self._fill(connection, in_flight)
        for seq in in_flight.values():
            if seq not in self._resent:
                self._resent.add(seq)
                self.again.append(seq)
        if not connection.ended.is_set():
            connection.client.disconnect()

    def _fill(self, connection, in_flight):
        while len(in_flight) < IN_FLIGHT_MAX:
            if self.again:
                seq = self.again.popleft()
            elif self.next_seq > (time.monotonic() - self._began) * self.rate:
                return
            else:
                seq = self.next_seq
                self.next_seq += 1
            message = {"client": self.number, "seq": seq, "value": value_of(self.number, seq)}
            self.sent.add(seq)
            info = connection.client.publish(self.topic, json.dumps(message), qos=1)
            if info.rc != mqtt.MQTT_ERR_SUCCESS:
                # Not sent: it is not in flight either, but paho may still hold it.
                in_flight[info.mid] = seq
                return
            in_flight[info.mid] = seq

    def stop(self):
        """Waits for what is in flight as long as the link stands."""
        self._stopping.set()
        self.join()
