// Says under which name a reply goes out; asked anew when that may have changed. Where it is the name that an agent expects, the button
// tells it; else a line above the composer.

import { pass } from "./api.js";
import { find, setAttrs, setText, throttle } from "./dom.js";

const ASK_EVERY_MS = 1_000;
const REFUSED = /^(own_token_refused|chatwoot_(401|403|denied))$/; // the token, or what its owner may do

export class SenderLine {
  #line = find("#sender");
  #button = find("#composer .primary");
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
    const { state, name } = sender ?? {};
    this.#isOwn = Boolean(sender) && state !== "integration";
    // The integration's name is expected by who has no own one anywhere.
    const isQuiet = state === "own" || (state === "integration" && this.#senders.every((one) => /^(integration|stopped)$/.test(one.state)));
    const text = sender && this.#app.i18n.t(`composer.sender.${state}`, { name });
    this.#line.hidden = !sender || isQuiet;
    setAttrs(this.#line, { "data-refused": /^(refused|fallback|stopped)$/.test(state) });
    setAttrs(this.#button, { title: isQuiet && text });
    setText(find("span", this.#line), text ?? "");
  }

  // What became of a message: that a token was refused, or taken again, shows in nothing else. All pages of a company hear of it, so
  // nothing else has them ask.
  hear({ agentId, deliveryState, deliveryError }) {
    const isTaken = this.#isOwn && deliveryState === "sent" && (agentId === this.#app.agent.id || !this.#line.hidden);
    if (isTaken || REFUSED.test(deliveryError?.code)) this.renew();
  }

  async #renew() {
    const found = await this.#app.api.ownTokens().catch(pass);
    if (!found) return;
    this.#senders = found.map(({ integrationId, sender }) => ({ integrationId, ...sender }));
    this.show(this.#integrationId);
  }
}
