// Words, numbers and times in the agent's language. No DOM. The server prints the same texts with the same
// catalogue (server/core/pages/page_locale.py), so month names come from the catalogue and not from Intl.

const MINUTE_MS = 60_000;
// The first with the name of an Instagram account before it: more is a customer's own text.
const wordsOfShares = [[/^[A-Za-z0-9._]{0,100} mentioned you in the story: *$/, "story_mention"], [/^Shared post$/, "share"], [/^Shared story$/, "sharedStory"]];

export function createI18n({ lang, digits, strings, kinds = {}, hasInboxes, now = () => new Date(), serverNow = now }) {
  const plurals = new Intl.PluralRules(lang);
  const numbers = new Intl.NumberFormat(`${lang}-u-nu-${digits}`, { useGrouping: false, maximumFractionDigits: 1 });
  const months = strings["time.months"].split(" ");

  const number = (value) => numbers.format(value);

  // `vars.n` chooses between `key.one` and `key.other` where the catalogue has them. Some keys end with a name that comes
  // from outside (a priority, say): one that the catalogue lacks is its own word.
  function t(key, vars = {}) {
    const plural = "n" in vars ? `${key}.${plurals.select(vars.n)}` : key;
    const text = strings[plural] ?? strings[key];
    if (text === undefined) return key.slice(key.indexOf(".") + 1);
    return text.replace(/\{(\w+)\}/g, (whole, name) =>
      name in vars ? (typeof vars[name] === "number" ? number(vars[name]) : vars[name]) : whole);
  }

  // To the next tenth: nothing takes no time.
  const seconds = (ms) => t("time.seconds", { n: Math.max(1, Math.ceil(ms / 100)) / 10 });

  // Digits of an id are not translated: it is a name.
  const nameOf = ({ id, externalUserName }) => externalUserName || t("row.nameless", { id: String(id) });

  // What Chatwoot writes for a post or a story that came without words; undefined for another text.
  function shared(kind, content) {
    const found = ["link", "image", "video"].includes(kind) && wordsOfShares.find(([words]) => words.test(content));
    return found ? t(`linkType.${found[1]}`) : undefined;
  }

  // A message in one line. The line of the server's that stands for one without a text begins with its kind in English: that word is
  // said in the page's language.
  function line({ kind, content: written }) {
    const ours = shared(kind, written);
    if (ours) return ours;
    const english = kinds[kind] ?? "";
    const content = isStandIn(kind, written) ? "" : written;
    const isOurs = !content || content === english || content.startsWith(`${english}: `);
    if (!kind || kind === "text" || !isOurs) return content;
    const more = content.slice(english.length).replace(/^: /, "");
    return t(`kind.${kind}`) + (more && `: ${more}`);
  }

  const has = (key) => key in strings;
  const clock = (iso) => {
    const at = new Date(iso);
    return [at.getHours(), at.getMinutes()].map((n) => number(n).padStart(2, number(0))).join(":");
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

  function span(minutes) {
    if (minutes < 60) return t("time.minutes", { n: minutes });
    const hours = Math.floor(minutes / 60);
    return hours < 48 ? t("time.hours", { n: hours }) : t("time.days", { n: Math.floor(hours / 24) });
  }

  // How long a customer has waited: null below a quarter of an hour, where a number would only be noise.
  function waiting(iso) {
    const minutes = Math.floor((now() - new Date(iso)) / MINUTE_MS);
    return minutes >= 15 ? { level: minutes < 60 ? "warn" : "bad", text: span(minutes) } : null;
  }

  // How long the channel still takes replies (`left`, in ms), or why it does not; "" where it has no such window.
  function replyWindow({ channel, replyUntil, replyWindow: state, replyClosedReason }) {
    const left = state === "open" ? new Date(replyUntil) - serverNow() : 0;
    if (left > 0) return { isClosed: false, left, text: t("window.open", { time: span(Math.floor(left / MINUTE_MS)) }) };
    if (!state) return { isClosed: false, text: "" };
    const isPerhapsOpen = state === "open" && /FacebookPage|Instagram/.test(channel); // Chatwoot may have the longer window
    return { isClosed: !isPerhapsOpen, text: t(`window.${isPerhapsOpen ? "perhaps" : (replyClosedReason ?? "expired")}`) };
  }

  return { hasInboxes, t, has, line, shared, nameOf, number, clock, seconds, day, listTime, full, waiting, replyWindow };
}

// A group of WhatsApp: each customer in it has a name of their own, and it has no address.
export const isGroup = ({ contact }) => contact?.email?.endsWith("@g.us");

// Chatwoot's own word for what the message shows besides, or the address of a sticker's picture.
export function isStandIn(kind, content) {
  return kind === "sticker" ? content.startsWith("![") : content === { call: "Voice Call", articles: "articles" }[kind];
}

function daysBetween(earlier, later) {
  const start = (at) => Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
  return Math.round((start(later) - start(earlier)) / 86_400_000);
}
