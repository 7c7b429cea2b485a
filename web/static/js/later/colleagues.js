// Who else of the company is here, what they look at, who types. No DOM. Nothing of it is stored anywhere; typing that is
// not repeated has ended. What Chatwoot tells of typing: typists.js.

const TYPING_MS = 6_000;

export class Colleagues {
  online = 0;
  #agents = new Map();
  #now;

  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  // `frame`: presence (whole, or what changed), as docs/protocol.md has it; of any other nothing is taken.
  apply(frame) {
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
}
