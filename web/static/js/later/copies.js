// Who gets a copy of an e-mail. No DOM.

const ADDRESS = /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/; // as the server checks it
const REPLY_ADDRESS = /^reply\+[0-9a-f-]{36}@/i; // Chatwoot's own, by which answers find their conversation

// As Chatwoot's own page fills it in (email.ts of @chatwoot/utils): everybody of the customer's last mail, without ourselves. The answer
// goes to the contact: whoever wrote in their place gets a copy. `own`: addresses of the company's inboxes -> {to, cc, bcc}
export function recipients(messages, contactEmail, own) {
  const { from, to = [], cc = [], bcc = [] } = messages.findLast(isMail)?.details.email ?? {};
  const contact = contactEmail ?? from ?? "";
  const gone = new Set([contact, ...own].map((address) => address.toLowerCase()));
  const others = (found) => found.map(bare).filter((address) => address && !gone.has(address.toLowerCase()) && !REPLY_ADDRESS.test(address));
  const copies = unique(others([...cc, ...to, ...(from ? [from] : [])]));
  return { to: contact, cc: copies, bcc: unique(others(bcc)).filter((address) => !copies.includes(address)) };
}

// Whether it is a mail of the customer's.
export const isMail = ({ senderType, deleted, details }) => senderType === "customer" && !deleted && Boolean(details?.email);

// What is written in a field -> its addresses.
export const addresses = (text) => unique(text.split(/[\s,;]+/).filter(Boolean));

// The first that is no address; undefined where all are.
export const wrongOf = (found) => found.find((address) => !ADDRESS.test(address) || address.length > 254);

const bare = (address) => /<([^<>]+)>\s*$/.exec(address)?.[1] ?? address.trim();

function unique(found) {
  return found.filter((address, index) => found.findIndex((other) => other.toLowerCase() === address.toLowerCase()) === index);
}
