// A rack gives its units out in any order: of A and B one was pressed, and nobody knows which. The
// pages say what is only possible, how likely it is, and whom it may have been instead.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { filled, messages } from "./messages.mjs";
import { pictures, Plant, waitUntil, writeModbus } from "./support.mjs";

const config = (port) => `name: line1
listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}
devices:
  - name: plc
    driver: modbus-tcp
    address: 127.0.0.1:${port}
    groups:
      - name: floor
        interval: 20ms
        tags:
          - {name: rack, address: "1!00001", type: bit}
          - {name: begin, address: "1!00002", type: bit}
          - {name: end, address: "1!00003", type: bit}
          - {name: code, address: "1!400001.8", type: string}
tracks:
  - name: floor
    parts:
      - {buffer: rack, order: random, to: press}
      - {station: press}
    gates:
      - {signal: plc.floor.rack, into: rack, unit: plc.floor.code}
      - {signal: plc.floor.begin, into: press}
      - {signal: plc.floor.end, out_of: press}
rules:
  - name: pressing
    sql: >-
      SELECT unit_id() AS unit, count(begin) AS readings, 'r1' AS ram FROM "plc.floor"
      GROUP BY UNITWINDOW('floor', 'press')
    actions: [{trace: {operation: pressing, measures: [readings], factors: {machine: [ram]}}}]
`;
const coils = { rack: 0, begin: 1, end: 2 };
const codeRegister = 0;
const codeBytes = 16;
const languages = { en: "en-US", zh: "zh-CN" };

const plant = new Plant();
let port;
before(async () => {
  port = await plant.openServer();
  await plant.openNode(config(port));
  await plant.openBrowser();
  for (const serial of ["A", "B"]) {
    const raw = Buffer.alloc(codeBytes);
    raw.write(serial);
    await writeModbus(port, 16, codeRegister, raw);
    await isShown("code", serial);
    await pulse("rack");
  }
  await pulse("begin");
  await pulse("end");
  for (const serial of ["A", "B"])
    await waitUntil(async () => (await get(`/trace/${serial}`)).measures.length === 1, `${serial}'s measure`);
});
after(() => plant.close());

async function get(route) {
  const answer = await plant.request("GET", route);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function isShown(tag, value) {
  return waitUntil(async () => (await get("/tags")).some((t) => t.tag === tag && t.value === value), tag);
}

async function pulse(gate) {
  for (const value of [true, false]) {
    await writeModbus(port, 5, coils[gate], value);
    await isShown(gate, value);
  }
}

for (const language of Object.keys(languages)) {
  const text = messages[language];
  const half = new RegExp(`${text.possiblePercent.split("{")[0]}(50|49\\.9) %`);

  test(`${language}: who may have been in the press is only possible, everywhere`, async () => {
    const page = await plant.page(languages[language]);
    await page.goto(await plant.link());
    await page.getByText(text.navUnits).waitFor();

    await page.goto(`http://${plant.run.http}/#/units/A`);
    const others = page.locator('table[data-table="steps"] [data-others="B"]');
    await others.waitFor();
    assert.match(await others.innerText(), half);
    await others.getByRole("link", { name: "B", exact: true }).waitFor();
    for (const table of ["measures", "factors"]) {
      const cells = page.locator(`table[data-table="${table}"]`);
      await cells.getByText(text.howCertain, { exact: true }).waitFor();
      assert.match(await cells.locator("tbody td").last().innerText(), half);
    }
    await page.screenshot({ path: path.join(pictures, `possible-unit-${language}.png`), fullPage: true });

    await page.goto(`http://${plant.run.http}/#/where-used?from=${encodeURIComponent("ram=r1")}`);
    const status = page.locator('p[role="status"]');
    await status.waitFor();
    const { expected } = await get(`/containment?from=${encodeURIComponent("ram=r1")}`);
    const said = { count: "2", expected: String(Number(Number(expected).toPrecision(6))) };
    assert.ok((await status.innerText()).includes(filled(language, "whereUsedPossible", said)));
    const rows = await page.locator('table[data-table="containment"] tbody tr').allInnerTexts();
    assert.equal(rows.length, 2);
    for (const row of rows) assert.match(row, half);

    await page.goto(`http://${plant.run.http}/#/units?station=press`);
    const units = page.locator("tbody tr").filter({ hasText: "press" });
    await units.nth(1).waitFor();
    for (const row of await units.allInnerTexts()) assert.match(row, half);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}
