// The console as a person uses it, in both languages: signs in by the one-time link, sees a value
// change, writes a tag and sees the device take it, looks at alarms and at a unit's history.
// Texts are named by their keys in the message tables. Pictures go to build/screenshots.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { filled, messages } from "./messages.mjs";
import { pictures, Plant, readRegisters, waitUntil } from "./support.mjs";

const languages = { en: "en-US", zh: "zh-CN" };
const setpointRegister = 16;

function config(port) {
  return `
name: line1
listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}
devices:
  - name: plc1
    driver: modbus-tcp
    address: 127.0.0.1:${port}
    place: plant1/line1/press
    groups:
      - name: press
        interval: 100ms
        tags:
          - {name: serial, address: "1!400001.20", type: string}
          - {name: state, address: "1!400011", type: uint16}
          - {name: result, address: "1!400012", type: uint16}
          - {name: force, address: "1!400013", type: float, uom: kN, interpolate: linear}
          - {name: position, address: "1!400015", type: float, uom: mm, interpolate: linear}
          - {name: setpoint, address: "1!400017", type: float, uom: kN}
          - {name: oil, address: "1!300001", type: int16, scale: 0.1, uom: "°C"}
  - name: plc2
    driver: modbus-tcp
    address: 127.0.0.1:1
    place: plant1/line1/oven
    groups:
      - {name: oven, interval: 1s, tags: [{name: zone1, address: "1!400001", type: float}]}
tracks:
  - {name: press1, station: press, unit: plc1.press.serial,
     begin: {signal: plc1.press.state, edge: rising},
     end: {signal: plc1.press.state, edge: falling},
     result: plc1.press.result, signals: [plc1.press]}
characteristics:
  - {name: force_max, station: press, lower: 12, upper: 18, uom: kN}
rules:
  - name: press_row
    sql: SELECT unit_id() AS unit, max(force) AS force_max, 'OIL-7' AS lot, 'rev B' AS recipe,
      CASE WHEN max(force) > 1 THEN 'dent' ELSE '' END AS fault FROM "plc1.press" GROUP BY UNITWINDOW('press1')
    actions: [{trace: {operation: press, measures: [force_max], consumes: [lot], defects: [fault],
      factors: {method: [recipe]}}}]
  - name: pressing_hard
    sql: SELECT force FROM "plc1.press" WHERE force > 5
    actions: [{alarm: {severity: major}}]
`;
}

const plant = new Plant();
before(() => plant.open(config));
after(() => plant.close());

async function picture(page, language, name) {
  await page.screenshot({ path: path.join(pictures, `${name}-${language}.png`), fullPage: true });
}

async function signedIn(language) {
  const page = await plant.page(languages[language]);
  await page.goto(await plant.link());
  await page.getByText(messages[language].navDevices).waitFor();
  return page;
}

function row(page, key) {
  return page.locator(`tr[data-key="${key}"]`);
}

async function setpointOfDevice() {
  return (await readRegisters(plant.pressPort, setpointRegister, 2)).readFloatBE(0);
}

for (const language of Object.keys(languages)) {
  const text = messages[language];

  test(`${language}: without a link there is only the sign-in page`, async () => {
    const page = await plant.page(languages[language]);
    await page.goto(`http://${plant.run.http}/`);
    await page.getByRole("heading", { name: text.signInTitle }).waitFor();
    assert.equal(await page.getByText(text.navDevices).count(), 0);
    await picture(page, language, "sign-in");
    await page.locator("input[name=token]").fill("wrong");
    await page.getByRole("button", { name: text.signInButton }).click();
    await page.getByText(text.signInWrong).waitFor();
    await page.locator("input[name=token]").fill(plant.token);
    await page.getByRole("button", { name: text.signInButton }).click();
    await page.getByText(text.navDevices).waitFor();
    await page.context().close();
  });

  test(`${language}: the link signs in once`, async () => {
    const link = await plant.link();
    const page = await plant.page(languages[language]);
    await page.goto(link);
    await page.getByText(text.navDevices).waitFor();
    await page.context().close();
    const other = await plant.page(languages[language]);
    await other.goto(link);
    await other.getByRole("heading", { name: text.signInTitle }).waitFor();
    assert.equal(await other.getByText(text.navDevices).count(), 0);
    await other.context().close();
  });

  test(`${language}: a value changes while one looks`, async () => {
    const page = await signedIn(language);
    await page.getByText(text.live, { exact: true }).waitFor();
    const value = row(page, "plc1.press.force").locator("td.value");
    const seen = new Set();
    await waitUntil(async () => seen.add(await value.innerText()) && seen.size >= 4, "four values");
    const device = row(page, "plc1");
    await device.getByText(text.state_online).waitFor();
    assert.notEqual(await row(page, "plc2").locator(".badge").innerText(), text.state_online);
    await picture(page, language, "devices");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test(`${language}: a tag is written and the device takes it`, async () => {
    const page = await signedIn(language);
    const wanted = language === "en" ? 14.25 : 15.75;
    const tag = row(page, "plc1.press.setpoint");
    await tag.getByRole("button", { name: text.write }).click();
    await page.getByLabel(filled(language, "writeNewValue", { tag: "plc1.press.setpoint" })).waitFor();
    await page.locator("input[name=value]").fill(String(wanted));
    await page.getByRole("button", { name: text.writeSend }).click();
    await page.getByText(filled(language, "writeOk", { value: String(wanted) })).waitFor();
    assert.equal(await setpointOfDevice(), wanted);
    await waitUntil(
      async () => (await tag.locator("td.value").innerText()) === String(wanted),
      "the page to show what the device has",
    );
    await picture(page, language, "written");
    await page.context().close();
  });

  test(`${language}: what the device refuses is said, and nothing is taken`, async () => {
    const page = await signedIn(language);
    await row(page, "plc1.press.position").getByRole("button", { name: text.write }).click();
    await page.locator("input[name=value]").fill("1");
    await page.getByRole("button", { name: text.writeSend }).click();
    const status = page.getByRole("status");
    await status.waitFor();
    assert.ok((await status.innerText()).startsWith(filled(language, "writeFailed", { text: "" })));
    await picture(page, language, "refused");
    await page.context().close();
  });

  test(`${language}: a unit's history`, async () => {
    const page = await signedIn(language);
    await page.getByRole("link", { name: text.navUnits }).click();
    const units = page.locator("tbody tr");
    await waitUntil(async () => (await units.count()) >= 2, "two units");
    await picture(page, language, "units");
    const serial = await units.last().locator("a").first().innerText();
    await page.locator("input[name=serial]").fill(serial);
    await page.getByRole("button", { name: text.searchButton }).click();
    await page.getByText(filled(language, "traceOf", { serial })).waitFor();
    await page.getByText(text.measures).waitFor();
    await page.getByText("force_max").waitFor();
    await page.locator(".curve canvas").first().waitFor();
    await page.locator(".graph canvas").first().waitFor();
    await page.locator("[data-curve] canvas").waitFor();
    assert.ok(Number(await page.locator("[data-curve]").getAttribute("data-curve")) > 100);
    await page.getByRole("cell", { name: "rev B" }).waitFor();
    await page.getByRole("cell", { name: text.kind_method, exact: true }).waitFor();
    await page.getByRole("cell", { name: text.link_consumption }).waitFor();
    await picture(page, language, "unit");
    // What was known before it was made, by a link that another browser opens as well.
    const past = "2020-01-01T00:00:00.000Z";
    const other = await signedIn(language);
    await other.goto(`${page.url()}?as_of=${encodeURIComponent(past)}`);
    await other.getByText(filled(language, "traceNotFound", { serial })).waitFor();
    await other.getByRole("link", { name: text.asOfNow }).click();
    await other.getByRole("cell", { name: "rev B" }).waitFor();
    await other.goBack();
    await other.getByText(filled(language, "traceNotFound", { serial })).waitFor();
    await other.context().close();
    // The oil's own page: what was made with it.
    await page.getByRole("link", { name: "OIL-7" }).click();
    await page.getByText(filled(language, "traceOf", { serial: "OIL-7" })).waitFor();
    await page.getByRole("link", { name: serial, exact: true }).waitFor();
    await picture(page, language, "lot");
    // From the bad ones to the question why; two units answer nothing, and that is the answer.
    await page.getByRole("link", { name: text.navUnits }).click();
    await page.locator("input[name=bad]").check();
    await page.getByRole("link", { name: "dent" }).first().click();
    await page.getByText(filled(language, "whyOf", { defect: "dent" })).waitFor();
    await page.getByText(text.why_inconclusive).waitFor();
    await picture(page, language, "why");
    await page.getByRole("link", { name: text.navUnits }).click();
    await page.locator("input[name=serial]").fill(serial);
    await page.getByRole("button", { name: text.searchButton }).click();
    await page.getByText(filled(language, "traceOf", { serial })).waitFor();
    await page.locator("a", { hasText: text.back }).click();
    await page.locator("input[name=serial]").fill("NOBODY");
    await page.getByRole("button", { name: text.searchButton }).click();
    await page.getByText(filled(language, "traceNotFound", { serial: "NOBODY" })).waitFor();
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test(`${language}: an alarm is seen and acknowledged`, async () => {
    const page = await signedIn(language);
    await page.getByRole("link", { name: text.navAlarms }).click();
    const name = text.acknowledge;
    const waiting = page
      .locator("tbody tr", { hasText: "pressing_hard" })
      .filter({ has: page.getByRole("button", { name }) });
    await waiting.first().waitFor();
    await picture(page, language, "alarms");
    // By its number: what is acknowledged and over makes room for the next of its kind.
    const alarm = row(page, await waiting.first().getAttribute("data-key"));
    await alarm.getByRole("button", { name }).click();
    await alarm.getByText("admin").waitFor();
    assert.equal(await alarm.getByRole("button").count(), 0);
    await page.context().close();
  });
}

test("the language can be chosen and is remembered", async () => {
  const page = await signedIn("en");
  await page.locator("select[name=language]").selectOption("zh");
  await page.getByText(messages.zh.navDevices).waitFor();
  await page.reload();
  await page.getByText(messages.zh.navDevices).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh");
  await page.context().close();
});
