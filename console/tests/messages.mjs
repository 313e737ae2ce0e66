// The console's own message tables, so that a test names a text by its key and never repeats it.
import fs from "node:fs";
import ts from "typescript";

async function load(language) {
  const text = fs.readFileSync(new URL(`../src/messages/${language}.ts`, import.meta.url), "utf8");
  const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  const code = ts.transpileModule(text, { compilerOptions: options }).outputText;
  const module = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  return module[language];
}

export const messages = { en: await load("en"), zh: await load("zh") };

export function filled(language, key, values = {}) {
  return messages[language][key].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
