// Whole numbers of 64 bits go through the console without losing a digit.
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const file = fileURLToPath(new URL("../src/json.ts", import.meta.url));
const { outputText } = ts.transpileModule(fs.readFileSync(file, "utf8"), {
  compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
});
const { parseJson, printJson, parseTyped } = await import(
  `data:text/javascript;base64,${Buffer.from(outputText).toString("base64")}`
);

test("long whole numbers keep every digit", () => {
  const texts = [
    '{"a":18446744073709551615,"b":-9223372036854775808}',
    "[9007199254740993,[9007199254740993]]",
    '{"text":"9007199254740993 and \\"9007199254740993\\"","n":1}',
    "18446744073709551615",
  ];
  for (const text of texts) assert.equal(printJson(parseJson(text)), text);
});

test("everything else is as JSON has it", () => {
  for (const text of ["0.1234567890123456789", "1.5e300", "1234567890123456.5", "12345678901234567e3",
    '{"a":[1,2.5,null,true,"x"],"b":{"c":-7}}', "9007199254740991"])
    assert.deepEqual(parseJson(text), JSON.parse(text));
  assert.equal(printJson({ tag: "a.b.c", value: 1.5, text: "\u0002" }), JSON.stringify({ tag: "a.b.c", value: 1.5, text: "\u0002" }));
  assert.throws(() => parseJson('{"a":12345678901234567'));
});

test("what a person types", () => {
  assert.equal(parseTyped("18446744073709551615", "uint64"), 18446744073709551615n);
  assert.equal(parseTyped(" -9007199254740993 ", "int64"), -9007199254740993n);
  assert.equal(parseTyped("+5", "int16"), 5);
  assert.equal(parseTyped("45.3", "float"), 45.3);
  assert.equal(parseTyped("true", "bit"), true);
  assert.equal(parseTyped("007", "string"), "007");
  assert.equal(parseTyped("seven", "int16"), "seven");
});
