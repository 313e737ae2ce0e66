// A board's true path, found on the page by typing its serial: a plant tells six hours in which its
// oven was too cold, and what the page shows is held against the plant's own ledger, in both
// languages, in a zone that is not UTC, on the same day and on the day after.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { filled, messages } from "./messages.mjs";
import { pictures, Plant, waitUntil } from "./support.mjs";

const zone = "Asia/Shanghai";
const dayMs = 86_400_000;
const fault = "zone_drift";
const defect = "cold_solder";
const scenario = `faults: [{fault: ${fault}, start: 0h, length: 6h}]\n`;
const rowMs = 1_000; // the past has a row a second
const slackMs = 100;
const goodOnesMin = 20;
const settledMs = 1_800_000; // what left that long before the end is through for certain
const languages = { en: { locale: "en-US", daysLater: 0 }, zh: { locale: "zh-CN", daysLater: 1 } };

const plant = new Plant();
let board;
let panel;
before(async () => {
  await plant.openPast("6h", scenario, 5);
  board = chosenBoard(plant.ledger);
  panel = plant.ledger[board.parent];
  await allStored();
});
after(() => plant.close());

// Repaired, because of the fault; everything that was done to its siblings too is over by now.
function chosenBoard(ledger) {
  const last = Math.max(...Object.values(ledger).map((row) => row.t));
  return Object.values(ledger).find(
    (row) =>
      row.kind === "board" &&
      row.t < last - settledMs * 1000 &&
      row.steps.some((step) => step.station === "rework") &&
      row.defects.some((d) => d.defect === defect && d.cause === fault),
  );
}

async function told(statement) {
  const answer = await plant.request("POST", "/sql", { sql: statement });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return JSON.parse(text).rows;
}

// Every cold joint of the ledger, and the board's steps.
async function allStored() {
  const joints = Object.values(plant.ledger)
    .filter((row) => row.kind === "panel" && row.status === "split")
    .flatMap((row) => row.defects.filter((d) => d.defect === defect).map((d) => [row.serial, d]))
    .map(([serial, d]) => `${serial} ${d.board}.${d.position}`);
  const want = new Set(joints).size;
  await waitUntil(async () => {
    const [row] = await told(
      `SELECT count(DISTINCT serial || ' ' || position) AS n FROM defects WHERE defect = '${defect}'`,
    );
    if (Number(row.n) < want) throw new Error(`${row.n} of ${want} joints`);
    return true;
  }, "the cold joints to be stored");
  await waitUntil(async () => {
    const answer = await plant.request("GET", `/trace/${board.serial}?curves=false`);
    const { steps = [] } = await answer.json();
    return steps.length >= panel.steps.length + board.steps.length;
  }, "the board's steps to be stored");
}

// The page as at `now`, so that "today" is the same for the page and for the test.
async function signedIn(language, now) {
  const page = await plant.page(languages[language].locale, zone);
  await page.clock.setFixedTime(now);
  await page.goto(await plant.link());
  await page.getByText(messages[language].navUnits).waitFor();
  return page;
}

// A table as people read it: {title: text} a row, and the moments' own times as [ms].
async function read(page, name) {
  const table = page.locator(`table[data-table="${name}"]`);
  await table.waitFor();
  return table.evaluate((node) => {
    const texts = (row) => [...row.cells].map((cell) => cell.innerText.trim());
    const titles = texts(node.tHead.rows[0]);
    return [...node.tBodies[0].rows].map((row) => ({
      ...Object.fromEntries(texts(row).map((text, i) => [titles[i], text])),
      moments: [...row.querySelectorAll("time")].map((time) => Date.parse(time.dateTime)),
    }));
  });
}

function shownTime(ms, now) {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-CA", {
      timeZone: zone,
      hourCycle: "h23",
      ...{ year: "numeric", month: "2-digit", day: "2-digit" },
      ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 },
    })
      .formatToParts(ms)
      .map((part) => [part.type, part.value]),
  );
  const clock = `${parts.hour}:${parts.minute}:${parts.second}.${parts.fractionalSecond}`;
  const day = new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" });
  return day.format(ms) === day.format(now) ? clock : `${day.format(ms)} ${clock}`;
}

// As a date-time control has it.
function controlText(ms) {
  const [day, clock] = shownTime(ms, ms - 7 * dayMs).split(" ");
  return `${day}T${clock.slice(0, 8)}`;
}

function near(ms, us, what) {
  const off = Math.abs(ms - us / 1000);
  assert.ok(off <= rowMs + slackMs, `${what}: ${off} ms from the ledger's ${us}`);
}

function checkPath(rows, text, now) {
  const truth = [
    ...panel.steps.map((step) => ({ ...step, of: panel.serial })),
    ...board.steps.map((step) => ({ ...step, of: board.serial })),
  ].sort((a, b) => a.t_in - b.t_in);
  assert.deepEqual(
    rows.map((row) => [row[text.station], row[text.operator], row[text.asPartOf], row[text.order]]),
    truth.map((step) => [step.station, step.operator, step.of, panel.order]),
  );
  rows.forEach((row, i) => {
    near(row.moments[0], truth[i].t_in, `${truth[i].station}, in`);
    near(row.moments[1], truth[i].t_out, `${truth[i].station}, out`);
    assert.equal(row[text.tIn], shownTime(row.moments[0], now));
    assert.equal(row[text.tOut], shownTime(row.moments[1], now));
  });
}

// What the machines found is the ledger's, where the ledger says; the electrical test and it alone
// names what it saw of it besides.
function checkDefects(rows, text) {
  const optical = rows.filter((row) => row[text.operation] !== "ict");
  const named = new Set(board.defects.map((d) => `${d.defect} ${d.board}.${d.position}`));
  assert.deepEqual(
    new Set(optical.map((row) => `${row[text.defect]} ${row[text.position]}`)),
    named,
  );
}

function checkOrigin(rows, text) {
  const from = (kind) =>
    rows
      .filter((row) => row[text.linkKind] === text[kind])
      .map((row) => `${row[text.parent]} > ${row[text.child]}`)
      .sort();
  assert.deepEqual(from("link_split"), [`${panel.serial} > ${board.serial}`]);
  assert.deepEqual(
    from("link_consumption"),
    panel.consumed.map((used) => `${used.lot} > ${panel.serial}`).sort(),
  );
}

async function checkSiblings(page) {
  const list = page.locator("[data-siblings]");
  await list.waitFor();
  const others = panel.children.filter((serial) => serial !== board.serial);
  assert.deepEqual((await list.locator("a").allInnerTexts()).sort(), others.sort());
}

async function checkBand(page, language) {
  await page.locator("select[name=station]").selectOption("reflow");
  const band = page.locator("[data-band]");
  await band.locator("canvas").waitFor();
  await page.getByText(messages[language].bandTitle).waitFor();
  const [places, units, curve] = await Promise.all(
    ["data-band", "data-units", "data-curve"].map((name) => band.getAttribute(name)),
  );
  assert.ok(Number(places) > 100 && Number(curve) > 100, `${places} ${curve}`);
  assert.ok(Number(units) >= goodOnesMin, units);
}

// What a lot or a factor reaches is, of what left long enough ago, all that the ledger says, and
// nothing else. `has` says which panels it was on.
async function checkReached(page, has) {
  const rows = await read(page, "containment");
  const status = page.getByRole("status");
  assert.equal(await status.getAttribute("data-count"), `${rows.length}`);
  const panels = Object.values(plant.ledger).filter((row) => row.kind === "panel" && has(row));
  const family = (row) => [row.serial, ...(row.children ?? [])];
  const serials = new Set(rows.map((row) => Object.values(row)[0]));
  const last = Math.max(...Object.values(plant.ledger).map((row) => row.t));
  const settled = panels.filter((row) => row.t < last - settledMs * 1000).flatMap(family);
  assert.ok(settled.length > 10);
  assert.deepEqual(settled.filter((serial) => !serials.has(serial)), []);
  const all = new Set(panels.flatMap(family));
  assert.deepEqual([...serials].filter((serial) => !all.has(serial)), []);
}

async function picture(page, language, name) {
  await page.screenshot({ path: path.join(pictures, `${name}-${language}.png`), fullPage: true });
}

for (const language of Object.keys(languages)) {
  const text = messages[language];

  test(`${language}: a board's true path is found by its serial`, async () => {
    const now = Date.now() + languages[language].daysLater * dayMs;
    const page = await signedIn(language, now);
    await page.getByRole("link", { name: text.navUnits }).click();
    await page.locator("input[name=serial]").fill(board.serial);
    await page.getByRole("button", { name: text.searchButton }).click();
    await page.getByText(filled(language, "traceOf", { serial: board.serial })).waitFor();
    assert.equal(await page.getByText(zone).count(), 1);
    checkPath(await read(page, "steps"), text, now);
    checkDefects(await read(page, "defects"), text);
    checkOrigin(await read(page, "links"), text);
    await checkSiblings(page);
    await picture(page, language, "board");
    await page
      .locator('table[data-table="links"]')
      .getByRole("link", { name: panel.serial })
      .first()
      .click();
    await page.getByText(filled(language, "traceOf", { serial: panel.serial })).waitFor();
    await checkBand(page, language);
    await picture(page, language, "panel");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test(`${language}: whom its lot, its operator and a time at a station have reached`, async () => {
    const page = await signedIn(language, Date.now());
    const at = `http://${plant.run.http}/`;
    await page.goto(`${at}#/units/${board.serial}`);
    const { lot } = panel.consumed[1];
    await page.locator('table[data-table="links"]').getByRole("link", { name: lot }).click();
    await page.getByText(filled(language, "traceOf", { serial: lot })).waitFor();
    const forward = filled(language, "whereUsedOf", { serial: lot });
    await page.getByRole("link", { name: forward }).click();
    await checkReached(page, (row) => row.consumed.some((used) => used.lot === lot));
    assert.equal(new URL(page.url()).hash, `#/where-used?from=${lot}`);
    await picture(page, language, "where-used");

    await page.goto(`${at}#/units/${board.serial}`);
    const { operator } = panel.steps[0];
    const factors = await read(page, "factors");
    const exact = page.locator('table[data-table="factors"] td a[title*="."]');
    assert.ok((await exact.count()) > 5);
    for (const cell of await exact.all()) {
      const shown = await cell.innerText();
      assert.ok(shown.replace(/\D/g, "").replace(/^0+/, "").length <= 6, shown);
      const value = Number(await cell.getAttribute("title"));
      assert.ok(Math.abs(Number(shown) - value) <= Math.abs(value) * 1e-5, `${shown} ${value}`);
    }
    assert.ok(factors.some((row) => row[text.value] === operator));
    const link = page.locator('table[data-table="factors"]').getByRole("link", { name: operator });
    await link.first().click();
    const operatorAt = (row, who) => row.steps.some((step) => step.operator === who);
    await checkReached(page, (row) => operatorAt(row, operator));

    // By hand, in the zone of the page: what was at the printer while the panel was. Then by link.
    const [{ t_in, t_out }] = panel.steps;
    await page.goto(`${at}#/where-used`);
    await page.getByRole("heading", { name: text.navWhereUsed, exact: true }).waitFor();
    await page.locator("select[name=what]").selectOption("station");
    await page.locator("input[name=name]").fill("printer");
    await page.locator("input[name=since]").fill(controlText(t_in / 1000 + rowMs));
    await page.locator("input[name=until]").fill(controlText(t_out / 1000 - rowMs));
    await page.getByRole("button", { name: text.whereUsedAsk }).click();
    const family = [panel.serial, ...panel.children].sort();
    const serials = async (where) =>
      (await read(where, "containment")).map((row) => row[text.serial]).sort();
    assert.deepEqual(await serials(page), family);
    const other = await signedIn(language, Date.now());
    await other.goto(page.url());
    assert.deepEqual(await serials(other), family);
    assert.equal(await other.locator("input[name=name]").inputValue(), "printer");
    assert.deepEqual([...page.problems, ...other.problems], []);
    await other.context().close();
    await page.context().close();
  });

  test(`${language}: from its defect to the cause`, async () => {
    const page = await signedIn(language, Date.now());
    await page.goto(`http://${plant.run.http}/#/units/${board.serial}`);
    const found = page.locator('table[data-table="defects"]');
    await found.getByRole("link", { name: defect }).first().click();
    await page.getByText(filled(language, "whyOf", { defect })).waitFor();
    await page.getByText(text.why_causes).waitFor();
    const first = page.locator("section.cause").first();
    assert.equal(await first.getAttribute("data-cause"), "zone5");
    assert.equal(await first.getAttribute("data-operation"), "reflow");
    const heading = await first.locator("h3").innerText();
    assert.ok(heading.startsWith(`zone5 ${text.side_notabove} `), heading);
    assert.ok(heading.endsWith(text.cause_cause), heading);
    await first.getByText("reflow").waitFor();
    await page.locator(".graph canvas").first().waitFor();
    await picture(page, language, "cause");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}
