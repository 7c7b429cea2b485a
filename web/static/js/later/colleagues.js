// Who else of the company is here, what they look at, who types. No DOM. Nothing of it is stored anywhere; typing that is
// not repeated has ended.

const TYPING_MS = 6_000;
const CUSTOMER_TYPING_MS = 30_000; // Chatwoot does not repeat it as we do

export class Colleagues {
  online = 0;
  #agents = new Map();
  #typing = new Map(); // conversation id -> until when its customer types
  #now;

  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  // `frame`: presence (whole, or what changed) or typing, as docs/protocol.md has them.
  apply(frame) {
    if (frame.type === "typing") return void this.#typing.set(frame.conversationId, frame.on ? this.#now() + CUSTOMER_TYPING_MS : 0);
    this.online = frame.online ?? this.online;
    if (frame.whole) this.#agents.clear();
    for (const agent of frame.agents ?? []) this.#agents.set(agent.id, { ...agent, until: this.#now() + TYPING_MS });
    for (const id of frame.gone ?? []) this.#agents.delete(id);
  }

  // The whole of it again, for whoever comes later.
  get frame() {
    return { type: "presence", online: this.online, whole: true, agents: this.others(null), gone: [] };
  }

  // -> [{id, name, viewing, typing}] without the agent `selfId`, by name
  others(selfId) {
    return [...this.#agents.values()].filter(({ id }) => id !== selfId).sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ until, ...agent }) => ({ ...agent, typing: agent.typing && until > this.#now() }));
  }

  isCustomerTyping(conversationId) {
    return (this.#typing.get(conversationId) ?? 0) > this.#now();
  }
}
