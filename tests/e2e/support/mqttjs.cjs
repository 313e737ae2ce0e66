// MQTT.js against a broker: node mqttjs.cjs URL VERSION. Prints what it saw as one JSON object.
const mqtt = require("mqtt");

const [url, version] = process.argv.slice(2);
const protocolVersion = Number(version);
const five = protocolVersion === 5;
const saw = { messages: [] };

async function next(queue) {
  while (queue.length === 0) await new Promise((wake) => (queue.wake = wake));
  return queue.shift();
}

async function main() {
  const options = { protocolVersion, clientId: `js-${version}`, connectTimeout: 10000,
    reconnectPeriod: 0 };
  if (five) options.properties = { sessionExpiryInterval: 60, receiveMaximum: 10 };
  const client = await mqtt.connectAsync(url, { ...options, clean: true });
  const queue = [];
  client.on("message", (topic, payload, packet) => {
    queue.push({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain,
      user: packet.properties && packet.properties.userProperties });
    if (queue.wake) queue.wake();
  });
  const granted = await client.subscribeAsync({ "js/+": { qos: 1 }, "js/state/#": { qos: 0 } });
  saw.granted = granted.map((g) => g.qos);
  await client.publishAsync("js/one", "hello", { qos: 1,
    properties: five ? { userProperties: { a: "1" } } : undefined });
  await client.publishAsync("js/two", Buffer.alloc(100000, "x"), { qos: 0 });
  await client.publishAsync("js/state/on", "kept", { qos: 1, retain: true });
  for (let i = 0; i < 3; i++) saw.messages.push(await next(queue));
  saw.messages[1].payload = saw.messages[1].payload.length;
  for (let i = 0; i < 200; i++) client.publish("js/many", String(i), { qos: 1 });
  saw.many = [];
  while (saw.many.length < 200) saw.many.push(Number((await next(queue)).payload));
  await client.endAsync();

  const late = await mqtt.connectAsync(url, { ...options, clientId: `js-late-${version}` });
  late.on("message", (topic, payload, packet) => {
    queue.push({ topic, payload: payload.toString(), retain: packet.retain });
    if (queue.wake) queue.wake();
  });
  await late.subscribeAsync("js/state/on");
  saw.retained = await next(queue);
  await late.publishAsync("js/state/on", "", { retain: true, qos: 1 });
  await late.endAsync();
  console.log(JSON.stringify(saw));
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
