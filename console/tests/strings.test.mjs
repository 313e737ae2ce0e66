// No text that a user can see stands outside the two message tables: the sources are parsed, and
// every literal in a place that is shown has to be empty, a number, or come from a table.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { messages } from "./messages.mjs";

const source = fileURLToPath(new URL("../src", import.meta.url));
const page = fileURLToPath(new URL("../index.html", import.meta.url));

// What a browser shows or reads aloud.
const shownAttributes = /^(title|aria-.*|placeholder|alt|label|nothing|text)$/;
// Attributes whose words are names, not texts.
const nameValues = { "aria-current": ["page"], "aria-live": ["polite"] };
const shownProperties = /^(title|label|text|placeholder)$/;

function sources(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "messages" ? [] : sources(full);
    return /\.tsx?$/.test(entry.name) ? [full] : [];
  });
}

// Spaces and punctuation between two texts are layout; a letter is a text.
function isText(literal) {
  return /\p{L}/u.test(literal);
}

// The literals that an expression can come to: through ?:, &&, ||, ??, templates and brackets.
function literals(node) {
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return [node];
  if (ts.isTemplateExpression(node))
    return [node.head, ...node.templateSpans.map((span) => span.literal)];
  if (ts.isParenthesizedExpression(node)) return literals(node.expression);
  if (ts.isConditionalExpression(node))
    return [...literals(node.whenTrue), ...literals(node.whenFalse)];
  if (ts.isBinaryExpression(node)) return [...literals(node.left), ...literals(node.right)];
  if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) return literals(node.body);
  return [];
}

function shown(node) {
  if (ts.isJsxText(node)) return [node];
  if (ts.isJsxExpression(node) && node.expression && !ts.isJsxAttribute(node.parent))
    return literals(node.expression);
  if (ts.isJsxAttribute(node) && shownAttributes.test(node.name.getText()) && node.initializer) {
    const value = ts.isJsxExpression(node.initializer)
      ? node.initializer.expression
      : node.initializer;
    const names = nameValues[node.name.getText()] ?? [];
    return literals(value).filter((l) => !names.includes(l.text));
  }
  if (ts.isPropertyAssignment(node) && shownProperties.test(node.name.getText()))
    return literals(node.initializer);
  if (ts.isPropertyAssignment(node) && node.name.getText() === "cell")
    return literals(node.initializer);
  return [];
}

function strays(file, text) {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found = [];
  const visit = (node) => {
    for (const literal of shown(node)) {
      if (!isText(literal.text)) continue;
      const { line } = tree.getLineAndCharacterOfPosition(literal.getStart());
      found.push(`${file}:${line + 1}: ${literal.text.trim()}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return found;
}

test("no text outside the message tables", () => {
  const files = sources(source);
  assert.ok(files.length > 5);
  const found = files.flatMap((file) => strays(file, fs.readFileSync(file, "utf8")));
  assert.deepEqual(found, []);
});

test("the page itself has no text", () => {
  const html = fs.readFileSync(page, "utf8").replace(/<script[\s\S]*?<\/script>/g, "");
  assert.equal(html.replace(/<[^>]*>/g, "").trim(), "");
});

test("strays are found wherever they can hide", () => {
  const hidden = [
    "<p>Hello</p>",
    "<p>{'Hello'}</p>",
    "<p>{ok ? t('a') : 'Hello'}</p>",
    "<p title='Hello' />",
    "<p aria-label={`Hello ${x}`} />",
    "<Table columns={[{ title: 'Hello' }]} />",
    "<Table columns={[{ cell: (r) => 'Hello' }]} />",
    "<p>{`Hello ${x}`}</p>",
  ];
  for (const text of hidden) assert.equal(strays("stray.tsx", `const a = ${text};`).length, 1, text);
});

test("both tables have the same keys, the same places to fill, and no empty text", () => {
  const { en, zh } = messages;
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  for (const key of Object.keys(en)) {
    assert.ok(en[key].trim() && zh[key].trim(), key);
    const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
    assert.deepEqual(places(zh[key]), places(en[key]), key);
  }
});

test("every message is used", () => {
  const text = sources(source)
    .map((file) => fs.readFileSync(file, "utf8"))
    .join("\n");
  const lists = new Set([...text.matchAll(/\bword\("(\w+)"/g)].map((found) => found[1]));
  const unused = Object.keys(messages.en).filter(
    (key) => !lists.has(key.split("_")[0]) && !text.includes(`"${key}"`),
  );
  assert.deepEqual(unused, []);
});
