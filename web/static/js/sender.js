// The line at the composer that says under which name a reply goes out; asked anew when that may have changed.

import { pass } from "./api.js";
import { find, setAttrs, setText, throttle } from "./dom.js";

const ASK_EVERY_MS = 1_000;

export class SenderLine {
  #line = find("#sender");
  #senders;
  #app;
  #integrationId = null;
  #isOwn = false; // an own token is connected, which may be refused
  renew = throttle(() => this.#renew(), ASK_EVERY_MS);

  // `senders`: [{integrationId, state, name}], as the page was made with them
  constructor(app, senders) {
    this.#app = app;
    this.#senders = senders;
  }

  // Of a conversation that can be answered; null: of none.
  show(integrationId) {
    this.#integrationId = integrationId;
    const sender = this.#senders.find((one) => one.integrationId === integrationId);
    this.#line.hidden = !sender;
    this.#isOwn = sender !== undefined && sender.state !== "integration";
    if (!sender) return;
    const isRefused = sender.state === "refused" || sender.state === "fallback";
    setAttrs(this.#line, { "data-refused": isRefused });
    setText(find("span", this.#line), this.#app.i18n.t(`composer.sender.${sender.state}`, { name: sender.name }));
    find("a", this.#line).hidden = !isRefused;
  }

  // What became of a message of the agent's: that its token was refused, or taken again, shows in nothing else.
  hear({ agentId, deliveryState }) {
    if (this.#isOwn && agentId === this.#app.agent.id && deliveryState !== "sending") this.renew();
  }

  async #renew() {
    const found = await this.#app.api.ownTokens().catch(pass);
    if (!found) return;
    this.#senders = found.map(({ integrationId, sender }) => ({ integrationId, ...sender }));
    this.show(this.#integrationId);
  }
}
