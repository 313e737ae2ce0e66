// The frame: navigation, language, sign-in, and the page that the address names (#/…).
import { useEffect, useState } from "preact/hooks";
import { api, ApiError, type NodeInfo } from "./api";
import { zoneName } from "./format";
import { type Language, LanguageContext, languageInitial, languageStore, useText } from "./i18n";
import { AlarmsPage } from "./pages/alarms";
import { DevicesPage } from "./pages/devices";
import { LinePage } from "./pages/line";
import { UnitPage } from "./pages/unit";
import { UnitsPage } from "./pages/units";
import { WhereUsedPage } from "./pages/where_used";
import { WhyPage } from "./pages/why";
import { routeOf } from "./route";

function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    if (!location.hash) location.replace("#/devices");
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return hash;
}

function Page({ hash }: { hash: string }) {
  const { words, asked } = routeOf(hash);
  const [area, detail] = words;
  if (area === "units" && detail) return <UnitPage serial={detail} asked={asked} />;
  if (area === "units") return <UnitsPage asked={asked} />;
  if (area === "line") return <LinePage name={detail ?? ""} asked={asked} />;
  if (area === "why") return <WhyPage defect={detail ?? ""} asked={asked} />;
  if (area === "where-used") return <WhereUsedPage asked={asked} />;
  if (area === "alarms") return <AlarmsPage />;
  return <DevicesPage />;
}

function SignIn({ onDone }: { onDone: () => void }) {
  const t = useText();
  const [token, setToken] = useState("");
  const [wrong, setWrong] = useState(false);
  const send = (event: Event) => {
    event.preventDefault();
    api.signIn(token).then(onDone, () => setWrong(true));
  };
  return (
    <main class="sign-in">
      <h2>{t("signInTitle")}</h2>
      <p>{t("signInText")}</p>
      <form onSubmit={send}>
        <label>
          {t("signInToken")}
          <input
            type="password"
            name="token"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit">{t("signInButton")}</button>
      </form>
      {wrong && (
        <p role="alert" class="bad">
          {t("signInWrong")}
        </p>
      )}
    </main>
  );
}

function Frame({ language, setLanguage }: FrameProps) {
  const t = useText();
  const hash = useHash();
  const [node, setNode] = useState<NodeInfo | null>(null);
  // Unknown until the node has answered: before that neither pages nor sign-in are shown.
  const [signedIn, setSignedIn] = useState<boolean | null>(null);
  const ask = () =>
    api.node().then(
      (info) => {
        setNode(info);
        setSignedIn(true);
      },
      (problem) => setSignedIn(!(problem instanceof ApiError && problem.status === 401)),
    );
  useEffect(() => void ask(), []);
  useEffect(() => {
    document.title = node ? `${node.name} · ${t("appName")}` : t("appName");
  }, [node, t]);
  const link = (path: string, text: string) => (
    <a href={path} aria-current={hash.startsWith(path) ? "page" : undefined}>
      {text}
    </a>
  );
  return (
    <>
      <header>
        <strong>{t("appName")}</strong>
        {signedIn && (
          <nav>
            {link("#/devices", t("navDevices"))}
            {link("#/line", t("navLine"))}
            {link("#/units", t("navUnits"))}
            {link("#/why", t("navWhy"))}
            {link("#/where-used", t("navWhereUsed"))}
            {link("#/alarms", t("navAlarms"))}
          </nav>
        )}
        <span class="grow" />
        {signedIn && <span class="node">{t("timesIn", { zone: zoneName() })}</span>}
        {node && (
          <span class="node">
            {t("node")} {node.name}
          </span>
        )}
        <select
          name="language"
          aria-label={t("language")}
          value={language}
          onChange={(event) => setLanguage(event.currentTarget.value as Language)}
        >
          <option value="en">{t("languageEnglish")}</option>
          <option value="zh">{t("languageChinese")}</option>
        </select>
      </header>
      {signedIn === false && <SignIn onDone={() => void ask()} />}
      {signedIn && (
        <main>
          <Page hash={hash} />
        </main>
      )}
    </>
  );
}

interface FrameProps {
  language: Language;
  setLanguage: (language: Language) => void;
}

export function App() {
  const [language, setLanguage] = useState<Language>(languageInitial);
  useEffect(() => languageStore(language), [language]);
  return (
    <LanguageContext.Provider value={language}>
      <Frame language={language} setLanguage={setLanguage} />
    </LanguageContext.Provider>
  );
}
