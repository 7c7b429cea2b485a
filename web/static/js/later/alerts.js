// Sound and notification for what customers write, off until asked for in the settings.

import { find } from "../dom.js";

const SETTLE_MS = 150; // a tab with the focus comes first
const HEARD_MS = 10_000; // longer than a tab without a line takes to poll
const NEWS_MS = 60_000; // what is older was missed, and stands in the list
// turn the order of letters: a name must not write what stands around it in a window of the system's
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const TONES = [660, 880];

// Once per browser, whatever the number of tabs, and silent while one of them has the focus.
// `app`: {agent, delay, i18n, preferences}; `open(conversationId)` shows a conversation. -> onMessage(event)
export function bindAlerts({ agent, delay, i18n, preferences }, open) {
  const { sound, notifications } = preferences;
  const audio = sound ? new AudioContext() : null;
  // Browsers give no sound to pages nobody has touched yet.
  for (const name of audio ? ["pointerdown", "keydown"] : []) addEventListener(name, () => audio.resume(), { once: true });

  // The tab that gets the lock of an event holds it until the others have heard of it too.
  async function alertOnce({ at, seq, data: { conversation, message } }) {
    if (delay.serverNow() - Date.parse(at) > NEWS_MS) return;
    if (!document.hasFocus()) await pause(SETTLE_MS);
    if (!navigator.locks) { // without https: each tab for itself
      if (!document.hasFocus()) tell(conversation, message);
      return;
    }
    await navigator.locks.request(`omni:alert:${agent.id}:${seq}`, { ifAvailable: true }, (lock) => {
      if (!lock) return null;
      if (!document.hasFocus()) tell(conversation, message);
      return pause(HEARD_MS);
    });
  }

  function tell(conversation, message) {
    if (audio?.state === "running") ding(audio);
    if (notifications && globalThis.Notification?.permission === "granted") notify(conversation, message);
  }

  function notify(conversation, message) {
    const { id } = conversation;
    const name = i18n.nameOf(conversation).replace(TURNING, "");
    const note = new Notification(i18n.t("alert.title", { name }), { body: i18n.line(message), tag: `omni-${id}`, icon: find("link[rel=icon]").href });
    note.onclick = () => {
      note.close();
      window.focus();
      open(id);
    };
  }

  return (event) => (sound || notifications) && alertOnce(event);
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function ding(audio) {
  for (const [place, hertz] of TONES.entries()) {
    const tone = new OscillatorNode(audio, { frequency: hertz });
    const volume = new GainNode(audio, { gain: 0.12 });
    const at = audio.currentTime + place * 0.12;
    volume.gain.setTargetAtTime(0, at + 0.05, 0.05);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.4);
  }
}
