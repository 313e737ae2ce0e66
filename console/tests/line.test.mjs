// A line as people in the hall see it: the gates are coils and registers of a Modbus server of other
// people, which the test writes. A unit moves along its belt, gates count, one that was carried is
// told, a click leads to a history, and the same is played again from what is stored.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { filled, messages } from "./messages.mjs";
import { pictures, Plant, waitUntil, writeModbus } from "./support.mjs";

const tests = fileURLToPath(new URL("../../tests", import.meta.url));
const coils = { enter: 0, begin: 1, end: 2, good: 3, bad: 4, back: 5 };
const registers = { code_in: 0, code_out: 10, speed: 20 };
const codeBytes = 16;
const beltMm = 3000;
const nearMm = 20;
const languages = { en: "en-US", zh: "zh-CN" };
const sizes = [
  { width: 1280, height: 720 },
  { width: 1920, height: 1080 },
];

const plant = new Plant();
let port;
let began;
before(async () => {
  port = await plant.openServer();
  const config = fs.readFileSync(path.join(tests, "support/line_floor.yaml"), "utf8");
  began = Date.now();
  await plant.openNode(config.replace("@PORT@", port));
  await plant.openBrowser();
  await enterThree();
});
after(() => plant.close());

async function get(route) {
  const answer = await plant.request("GET", route);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function show(name, value) {
  if (name in coils) {
    await writeModbus(port, 5, coils[name], value);
  } else {
    const raw = Buffer.alloc(typeof value === "string" ? codeBytes / 2 : 2);
    if (typeof value === "string") raw.write(value);
    else raw.writeUInt16BE(value);
    await writeModbus(port, 16, registers[name], raw);
  }
  await waitUntil(async () => (await get("/tags")).some((t) => t.tag === name && t.value === value), name);
}

async function pulse(gate) {
  await show(gate, true);
  await show(gate, false);
}

async function unit(serial) {
  return (await get("/lines/floor")).units.find((u) => u.serial === serial);
}

async function carry(serial, mm) {
  for (const [speed, way] of [
    [1000, mm - 300],
    [100, mm - nearMm],
  ]) {
    await show("speed", speed);
    await waitUntil(async () => ((await unit(serial))?.mm ?? 0) >= way, `${serial} at ${way}`);
  }
  await show("speed", 0);
}

async function enter(serial) {
  await show("code_in", serial);
  await pulse("enter");
  await waitUntil(() => unit(serial), `${serial} on the belt`);
}

// A in its check, B carried from the belt to the way out, C on the belt.
async function enterThree() {
  await enter("A");
  await carry("A", beltMm);
  await pulse("begin");
  await pulse("end");
  await waitUntil(async () => (await unit("A"))?.part === "check", "A in its check");
  await waitUntil(async () => {
    const told = await get(`/lines/floor/stays?from=${at(began)}&to=${at(Date.now())}`);
    return told.stays.some((s) => s.station === "press");
  }, "A's stays to be stored");
  await enter("C");
}

function at(ms) {
  return new Date(ms).toISOString();
}

async function signedIn(language) {
  const page = await plant.page(languages[language]);
  await page.setViewportSize(sizes[0]);
  await page.goto(await plant.link());
  await page.getByText(messages[language].navUnits).waitFor();
  return page;
}

async function picture(page, language, name) {
  for (const size of sizes) {
    await page.setViewportSize(size);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= size.width, `${name} is ${wide} wide`);
    await page.screenshot({ path: path.join(pictures, `${name}-${size.width}-${language}.png`) });
  }
  await page.setViewportSize(sizes[0]);
}

test("a unit moves along its belt, a gate counts it, and one that was carried is told", async () => {
  const text = messages.en;
  const page = await signedIn("en");
  await page.getByRole("link", { name: text.navLine, exact: true }).click();
  const mark = page.locator('a.unit[data-serial="C"]');
  await mark.waitFor();
  const before = Number(await mark.getAttribute("data-mm"));
  const left = (await mark.boundingBox()).x;
  await carry("C", before + beltMm / 2);
  await waitUntil(async () => Number(await mark.getAttribute("data-mm")) > before + beltMm / 3, "C to move");
  await waitUntil(async () => (await mark.boundingBox()).x > left + 50, "C's mark to move");
  const gate = page.locator('[data-gate="plc.floor.enter"]');
  assert.equal(await gate.getAttribute("data-pulses"), "2");
  await enter("B");
  await waitUntil(async () => (await gate.getAttribute("data-pulses")) === "3", "the gate to count");
  await gate.locator(".flash").waitFor({ state: "attached" });
  await show("code_out", "B");
  await pulse("good");
  const ghosts = page.locator('table[data-table="breaches"]');
  await ghosts.getByRole("link", { name: "B", exact: true }).first().waitFor();
  await ghosts.getByText(text.lineBreach_moved).first().waitFor();
  await page.locator('table[data-table="alarms"]').getByText("floor/infeed").first().waitFor();
  await page.locator('a.unit[data-serial="A"] rect').last().click();
  await page.getByText(filled("en", "traceOf", { serial: "A" })).waitFor();
  await page.getByRole("cell", { name: "press" }).first().waitFor();
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

for (const language of Object.keys(languages)) {
  const text = messages[language];

  test(`${language}: the line now, and the same time played again by its link`, async () => {
    const page = await signedIn(language);
    await page.goto(`http://${plant.run.http}/#/line/floor`);
    await page.locator("a.unit").first().waitFor();
    await page.getByText(text.lineBreaches).waitFor();
    await picture(page, language, "line");

    const { stays } = await get(`/lines/floor/stays?from=${at(began)}&to=${at(Date.now())}`);
    const press = stays.find((s) => s.station === "press" && s.serial === "A");
    const print = stays.find((s) => s.station === "print" && s.serial === "A");
    const asked = new URLSearchParams({ from: at(began), to: at(Date.now()), at: print.t_in });
    await page.goto(`http://${plant.run.http}/#/line/floor?${asked}`);
    const mark = page.locator('a.unit[data-serial="A"]');
    await mark.waitFor();
    assert.equal(Number(await mark.getAttribute("data-mm")), 500);
    await picture(page, language, "line-past");
    await page.getByRole("button", { name: text.linePlay, exact: true }).click();
    await waitUntil(async () => Number(await mark.getAttribute("data-mm")) > 1000, "A to move again");
    await page.getByRole("button", { name: text.linePause, exact: true }).click();
    assert.ok(new URL(page.url()).hash.includes("at="));
    asked.set("at", at((Date.parse(press.t_in) + Date.parse(press.t_out)) / 2));
    await page.goto(`http://${plant.run.http}/#/line/floor?${asked}`);
    await page.locator('[data-part="press"][data-count="1"]').waitFor();
    asked.set("from", at(began - 7_200_000));
    asked.set("to", at(began - 3_600_000));
    await page.goto(`http://${plant.run.http}/#/line/floor?${asked}`);
    await page.getByText(text.linePastNothing).waitFor();
    await page.goto(`http://${plant.run.http}/#/line/nothing`);
    await page.getByText(filled(language, "lineUnknown", { name: "nothing" })).waitFor();
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}
