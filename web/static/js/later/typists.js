// Who types as Chatwoot tells: customers, and agents in its own page. No DOM. Nothing of it is stored anywhere; it ends by itself.

const TYPING_MS = 30_000; // Chatwoot does not repeat it as our pages do

export class Typists {
  #typing = new Map(); // conversation id -> Map: an agent's name, or null for the customer -> until when
  #now;

  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  // A frame `typing`, as docs/protocol.md has it.
  apply({ conversationId, name = null, on }) {
    const typing = this.#typing.get(conversationId) ?? new Map();
    if (on) typing.set(name, this.#now() + TYPING_MS);
    else typing.delete(name);
    if (typing.size) this.#typing.set(conversationId, typing);
    else this.#typing.delete(conversationId);
  }

  isCustomerTyping(conversationId) {
    return this.#names(conversationId).includes(null);
  }

  // -> [{name}]
  agents(conversationId) {
    return this.#names(conversationId).filter((name) => name !== null).map((name) => ({ name }));
  }

  #names(conversationId) {
    return [...(this.#typing.get(conversationId) ?? [])].filter(([, until]) => until > this.#now()).map(([name]) => name);
  }
}
