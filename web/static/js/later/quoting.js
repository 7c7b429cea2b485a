// Which messages can be answered as a quote. No DOM.

// As Chatwoot's own page has it (INBOX_FEATURE_MAP of useInbox.js): of these channels the customer's messages, and but for Messenger ours.
const CHANNELS = ["Channel::FacebookPage", "Channel::WebWidget", "Channel::TwitterProfile", "Channel::Whatsapp", "Channel::Telegram", "Channel::Api"];
const QUOTE_POINTS = 160;

export function mayBeQuoted({ id, chatwootMessageId, senderType, deleted, deliveryState, ...message }, channel) {
  if (!id || !chatwootMessageId || deleted || message.private || !CHANNELS.includes(channel)) return false;
  return senderType === "customer" || (channel !== "Channel::FacebookPage" && !["sending", "failed"].includes(deliveryState));
}

// What is kept of it until the answer is sent, and shown above the field.
export function quoteOf(message, i18n) {
  return { id: message.id, name: message.senderName ?? "", text: [...i18n.line(message)].slice(0, QUOTE_POINTS).join("") };
}
