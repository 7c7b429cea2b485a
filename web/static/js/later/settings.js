// The settings' page: browsers ask for the permission to show notifications only while something is being clicked.

import { find } from "../dom.js";

const box = find("#notifications");
// Browsers show none to pages that come without TLS.
if (!isSecureContext) find("#insecure").hidden = false;
box.addEventListener("change", async () => {
  if (!box.checked) return;
  box.checked = "Notification" in globalThis && (await Notification.requestPermission()) === "granted";
  find("#refused").hidden = box.checked;
});
