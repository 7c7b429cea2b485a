// Words, numbers and times in the agent's language. No DOM. The server prints the same texts with the same
// catalogue (server/core/page_locale.py), so month names come from the catalogue and not from Intl.

const LOCALES = { en: "en-GB", bn: "bn-BD" };
const MINUTE_MS = 60_000;

export function createI18n({ lang, digits, strings, now = () => new Date() }) {
  const locale = `${LOCALES[lang] ?? LOCALES.en}-u-nu-${digits}`;
  const plurals = new Intl.PluralRules(locale);
  const numbers = new Intl.NumberFormat(locale, { useGrouping: false });
  const twoDigits = new Intl.NumberFormat(locale, { useGrouping: false, minimumIntegerDigits: 2 });
  const tenths = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
  const months = strings["time.months"].split(" ");

  const number = (value) => numbers.format(value);

  // `vars.n` chooses between `key.one` and `key.other` where the catalogue has them.
  function t(key, vars = {}) {
    const plural = "n" in vars ? `${key}.${plurals.select(vars.n)}` : key;
    const text = strings[plural] ?? strings[key];
    if (text === undefined) return key;
    return text.replace(/\{(\w+)\}/g, (whole, name) =>
      name in vars ? (typeof vars[name] === "number" ? number(vars[name]) : String(vars[name])) : whole);
  }

  const seconds = (ms) => t("time.seconds", { n: tenths.format(ms / 1000) });

  const has = (key) => key in strings;
  const clock = (iso) => {
    const at = new Date(iso);
    return `${twoDigits.format(at.getHours())}:${twoDigits.format(at.getMinutes())}`;
  };

  const date = (at, withYear) =>
    `${number(at.getDate())} ${months[at.getMonth()]}` + (withYear ? ` ${number(at.getFullYear())}` : "");

  function day(iso) {
    const at = new Date(iso);
    const ago = daysBetween(at, now());
    if (ago === 0) return t("time.today");
    return ago === 1 ? t("time.yesterday") : date(at, at.getFullYear() !== now().getFullYear());
  }

  const listTime = (iso) => (daysBetween(new Date(iso), now()) === 0 ? clock(iso) : day(iso));

  const full = (iso) => `${date(new Date(iso), true)}, ${clock(iso)}`;

  // How long a customer has waited: null below a quarter of an hour, where a number would only be noise.
  function waiting(iso) {
    const minutes = Math.floor((now() - new Date(iso)) / MINUTE_MS);
    if (!(minutes >= 15)) return null;
    if (minutes < 60) return { level: "warn", text: t("time.minutes", { n: minutes }) };
    const hours = Math.floor(minutes / 60);
    return { level: "bad", text: hours < 48 ? t("time.hours", { n: hours }) : t("time.days", { n: Math.floor(hours / 24) }) };
  }

  // How long the channel still takes replies, or why it does not; "" where it has no such window.
  function replyWindow({ canReply, replyUntil, replyWindow, replyClosedReason }) {
    const minutes = replyUntil ? Math.floor((new Date(replyUntil) - now()) / MINUTE_MS) : 0;
    const isOver = minutes < 0;
    if (canReply === false || replyWindow === "closed" || isOver) {
      return { isClosed: true, text: t(`window.${replyClosedReason ?? (isOver ? "expired" : "channel")}`) };
    }
    const time = minutes < 60 ? t("time.minutes", { n: minutes }) : t("time.hours", { n: Math.floor(minutes / 60) });
    return { isClosed: false, text: replyUntil ? t("window.open", { time }) : "" };
  }

  return { lang, t, has, number, clock, seconds, day, listTime, full, waiting, replyWindow };
}

function daysBetween(earlier, later) {
  const start = (at) => Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
  return Math.round((start(later) - start(earlier)) / 86_400_000);
}
