// A counter has come around: two units bore the serial C-7, two days apart. The page of a unit tells
// the last of them, says that there were others, and leads to them.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { filled, messages } from "./messages.mjs";
import { pictures, Plant, waitUntil } from "./support.mjs";

const plant = new Plant();
const folder = path.join(plant.folder, "aoi");
const config = `name: line1
listen: {mqtt: 127.0.0.1:0, http: 127.0.0.1:0}
streams:
  - name: aoi
    source: file
    folder: ${folder}
    settle: 0s
    time: at
    columns: {serial: string, at: timestamp, defect: string, height: double}
rules:
  - name: inspected
    sql: SELECT serial, defect, height FROM aoi
    actions: [{trace: {operation: inspect, station: aoi, unit: serial, defects: [defect], measures: [height]}}]
historian:
  serials_reused: [{match: "C-*", after: 12h}]
`;
const lines = `serial,at,defect,height
C-7,2026-01-05T08:00:00Z,open,1.5
C-7,2026-01-05T09:00:00Z,,1.25
C-7,2026-01-07T08:00:00Z,,2.5
`;
const languages = { en: "en-US", zh: "zh-CN" };

before(async () => {
  fs.mkdirSync(folder);
  await plant.openNode(config);
  await plant.openBrowser();
  fs.writeFileSync(path.join(folder, "1.csv"), lines);
  await waitUntil(async () => {
    const answer = await plant.request("GET", "/trace/C-7");
    return answer.ok && (await answer.json()).bearers.length === 2;
  }, "both units");
});
after(() => plant.close());

for (const language of Object.keys(languages)) {
  const text = messages[language];

  test(`${language}: who else bore the serial is told, and found`, async () => {
    const page = await plant.page(languages[language], "UTC");
    await page.goto(await plant.link());
    await page.getByText(text.navUnits).waitFor();
    await page.goto(`http://${plant.run.http}/#/units/C-7`);
    await page.getByText(filled(language, "bearersNote", { serial: "C-7" })).waitFor();
    const rows = page.locator('table[data-table="bearers"] tbody tr');
    const measures = page.locator('table[data-table="measures"] tbody');
    assert.equal(await rows.count(), 2);
    assert.equal(await rows.nth(1).getByRole("link").count(), 0); // it is told already
    assert.match(await measures.innerText(), /2\.5/);
    assert.doesNotMatch(await measures.innerText(), /1\.25/);
    await page.screenshot({ path: path.join(pictures, `bearers-${language}.png`), fullPage: true });

    await rows.first().getByRole("link").click();
    await measures.getByText("1.25").waitFor();
    assert.doesNotMatch(await measures.innerText(), /2\.5/);
    await page.locator('table[data-table="defects"]').getByText("open").waitFor();
    assert.match(new URL(page.url()).hash, /^#\/units\/C-7\?at=2026-01-05/);
    assert.equal(await rows.first().getByRole("link").count(), 0);
    const used = page.getByRole("link", { name: filled(language, "whereUsedOf", { serial: "C-7" }) });
    assert.match(await used.getAttribute("href"), /until=2026-01-05T09/);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });
}
