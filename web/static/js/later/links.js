// What can be pressed in a text: addresses of the web and of mail, and phone numbers. Only http, https, mailto and tel are ever
// linked. server/core/pages/page_links.py does the same; a test compares the two. No DOM.

// What no address holds: space, controls and marks that turn the direction of writing.
const spaces = String.raw`\u0000-\u0020\u007f-\u00a0\u061c\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff`;
export const isSpace = (sign) => new RegExp(`[${spaces}]`, "u").test(sign);
const inAddress = String.raw`[^${spaces}<>"\x60\\^\{\|\}]`;
const urlShape = String.raw`(?<![A-Za-z0-9])https?://${inAddress}+|(?<![A-Za-z0-9@\/.])www\.${inAddress}+`;
const mailShape = String.raw`(?<![A-Za-z0-9._+@\-])[A-Za-z0-9][A-Za-z0-9._+\-]{0,63}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,5}(?![A-Za-z0-9@])`;
const phoneShape = String.raw`(?<![A-Za-z0-9\u09e6-\u09ef_+\/=&?#.\-])(?:\+ ?)?[0-9\u09e6-\u09ef](?:[ \(\)\-]{0,2}[0-9\u09e6-\u09ef]){7,16}(?![A-Za-z0-9\u09e6-\u09ef_])`;
export const linkShapes = `(?<url>${urlShape})|(?<mail>${mailShape})|(?<phone>${phoneShape})`;
const whole = (shape) => new RegExp(`^(?:${shape})$`, "u");
const address = whole(String.raw`(?=https?://[^\/?#@]+(?:[\/?#]|$))${inAddress}+`);
const mail = whole(mailShape);
const target = whole(`mailto:(?:${mailShape})|tel:\\+?[0-9\\-]{3,20}`);
const ENDS = ".,;:!?'*_~]\u0964…";
const MOST = 2_000;

export const safeAddress = (text) => (text && [...text].length <= MOST && address.test(text) ? text : null);

export const outside = (href, label, title = null) =>
  ["a", { href, target: "_blank", rel: "noopener noreferrer nofollow", dir: "auto", ...(title !== null && { title }) }, [label]];

// The link somebody wrote with a label; null where its target is none of ours to open. Where it leads is said with it.
export function targetLink(href, label) {
  if (safeAddress(href)) return outside(href, label || href, label !== href ? href : null);
  return target.test(href) ? ["a", { href, dir: "auto", title: href }, [label || href]] : null;
}

export const mailLink = (text) => (mail.test(text) ? ["a", { href: `mailto:${text}`, dir: "auto" }, [text]] : text);

export function phoneLink(text) {
  const digits = dialled(text);
  return /^\+?[0-9]{3,20}$/.test(digits) ? ["a", { href: `tel:${digits}`, dir: "ltr" }, [text]] : text;
}

// What linkShapes found, as a link or as text, and how much of it that takes: the sign that ends a sentence is none of an address.
export function foundLink(kind, text) {
  if (kind === "mail") return [mailLink(text), text.length];
  if (kind === "phone") return [isPhone(text) ? phoneLink(text) : text, text.length];
  const taken = withoutEnd(text);
  const shown = text.slice(0, taken);
  const href = safeAddress(shown.startsWith("http") ? shown : `https://${shown}`);
  return [href ? outside(href, shown) : shown, taken];
}

function withoutEnd(text) {
  let taken = text.length;
  const hasBracket = text.includes("(");
  while (taken > 1 && (ENDS.includes(text[taken - 1]) || (text[taken - 1] === ")" && !hasBracket))) taken--;
  return taken;
}

const latin = (text) => text.replace(/[\u09e6-\u09ef]/g, (digit) => digit.charCodeAt() - 0x9e6);
const dialled = (text) => latin(text).replace(/[ ()-]/g, "");

// International, or with the 0 of one's own country. Numbers of orders and dates are not.
function isPhone(text) {
  const { length } = dialled(text);
  if (/^[0-3]?[0-9]-[01]?[0-9]-[0-9]{4}/.test(latin(text))) return false;
  if (text.startsWith("+")) return length >= 9 && length <= 16;
  return dialled(text).startsWith("0") && length >= 9 && length <= 12;
}
