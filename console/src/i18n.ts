// The language: the browser's unless the user chose one, kept in localStorage.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { en, type MessageKey, type Messages } from "./messages/en";
import { zh } from "./messages/zh";

export type Language = "en" | "zh";

const tables: Record<Language, Messages> = { en, zh };
const storageKey = "lotline.language";

export function languageInitial(): Language {
  const stored = localStorage.getItem(storageKey);
  if (stored === "en" || stored === "zh") return stored;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function languageStore(language: Language): void {
  localStorage.setItem(storageKey, language);
  document.documentElement.lang = language;
}

export const LanguageContext = createContext<Language>("en");

export type Translate = (key: MessageKey, values?: Record<string, string>) => string;

// t("traceOf", {serial}) fills {serial}; t is made anew only when the language changes.
export function useText(): Translate {
  const table = tables[useContext(LanguageContext)];
  return (key, values) =>
    table[key].replace(/\{(\w+)\}/g, (whole, name: string) => values?.[name] ?? whole);
}

// A word of the server's closed lists ("online", "pass"): its translation, or itself if new.
export function useWord(): (list: string, word: string) => string {
  const table = tables[useContext(LanguageContext)] as Record<string, string>;
  return (list, word) => table[`${list}_${word}`] ?? word;
}
